"""Fixtures for all tests."""

import gc
import os
import signal
from collections.abc import Iterator

import pytest

pytest_plugins = ("tests.qdrant_server",)


def pytest_configure() -> None:
    """Each worker of xdist keeps to a core: models start threads for every core they see, in each worker anew.

    Ctrl-C is what some tests press: processes that a shell started in the background ignore it, and so would all that
    tests start.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker.startswith("gw") and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker[2:]) % len(cores)]})


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    """What is still there was not let go, however soon a collection would find it."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
