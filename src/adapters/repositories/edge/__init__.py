"""The embedded repository: Qdrant's engine in a process of its own."""
