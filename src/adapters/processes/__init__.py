"""Processes of our own beside this one, which speak with it over a socket."""
