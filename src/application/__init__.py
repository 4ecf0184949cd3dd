"""Use cases: what the service does, one a file."""
