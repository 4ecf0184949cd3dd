"""Fixtures for all tests."""

pytest_plugins = ("tests.qdrant_server",)
