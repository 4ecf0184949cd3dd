"""The command line: one family of commands a file. What `--help` does not need is imported when a command runs."""
