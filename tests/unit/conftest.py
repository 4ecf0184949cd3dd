"""What is the same for all tests that take no process but their own."""

import subprocess
from multiprocessing.process import BaseProcess
from typing import NoReturn

import pytest


@pytest.fixture(autouse=True)
def no_other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that start one take seconds each, and are in tests/integration."""

    def refuse(*_: object, **__: object) -> NoReturn:
        pytest.fail("A test that starts a process belongs to tests/integration.")

    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    monkeypatch.setattr(BaseProcess, "start", refuse)
