"""The web page and the documentation in a real browser."""
