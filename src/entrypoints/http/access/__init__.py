"""Which callers may call what, and how often."""
