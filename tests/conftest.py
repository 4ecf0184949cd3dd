"""Fixtures for all tests."""

import os

pytest_plugins = ("tests.qdrant_server",)


def pytest_configure() -> None:
    """Each worker of xdist keeps to a core: models start threads for every core they see, in each worker anew."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker.startswith("gw") and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker[2:]) % len(cores)]})
