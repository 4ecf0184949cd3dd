"""One family of operations a file."""
