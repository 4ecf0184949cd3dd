"""The verbs as Qdrant Edge answers them: the engine in a process beside ours, over a directory of this machine."""
