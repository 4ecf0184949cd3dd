"""Serving: connections, starting and stopping, and what every request and answer goes through."""
