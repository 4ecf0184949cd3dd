"""Qdrant: one repository on eight verbs, which a server or the embedded engine answers."""
