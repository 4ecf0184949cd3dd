"""Qdrant: one repository on nine verbs, which a server or the embedded engine answers."""
