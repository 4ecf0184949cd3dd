"""The commands of an operator, who has the files, a family a file; the others are in `lookalike_client.commands`.

What `--help` does not need is imported when a command runs.
"""
