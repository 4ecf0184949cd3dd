"""Importing a table: reading it, what its rows mean, and the run that brings their pictures in."""
