"""The command, in a process of its own, as users run it, or in this one, which has loaded all libraries already."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest

from entrypoints.cli.main import main

LOOKALIKE = Path(sys.executable).parent / "lookalike"
WITHOUT_DETECTOR = {"DETECTOR__RUNTIME": "none"}
"""Settings for commands that need no objects: loading models takes longer than all else that they do."""


def environment(data_dir: Path, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours without any LOOKALIKE_ setting but those given, by their names without that prefix."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("LOOKALIKE_")}
    ours = {
        "DATA_DIR": str(data_dir),
        "STORAGE__RESERVE_BYTES": "0",
        "CLIENT__STATE_DIR": str(data_dir.parent / "state"),
    } | dict(settings or {})
    return others | {f"LOOKALIKE_{name}": value for name, value in ours.items()} | {"PYTHONFAULTHANDLER": "1"}


def start(
    *arguments: str | Path,
    data_dir: Path,
    settings: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    program: Sequence[str | Path] = (LOOKALIKE,),
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*program, *arguments],
        cwd=data_dir.parent,  # where no .env is
        env=environment(data_dir, settings),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lookalike(
    *arguments: str | Path, data_dir: Path, settings: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run one command to its end. One that hangs is made to say where."""
    process = start(*arguments, data_dir=data_dir, settings=settings)
    try:
        stdout, stderr = process.communicate(timeout=100)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        raise AssertionError(f"It hangs: {process.communicate()[1]}") from None
    except BaseException:
        process.kill()
        process.communicate()
        raise
    assert "Traceback" not in stderr, stderr
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def lookalike_here(
    *arguments: str | Path, data_dir: Path, settings: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """As `lookalike` does, without a process."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, environment(data_dir, settings), clear=True),
        chdir(data_dir.parent),
        redirect_stdout(stdout),
        redirect_stderr(stderr),
        pytest.raises(SystemExit) as ended,
    ):
        main([*map(str, arguments)])
    return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), stdout.getvalue(), stderr.getvalue())


class Command:
    """The command in this process, which has loaded OpenVINO already."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch = monkeypatch
        self.capsys = capsys
        self.more: Sequence[str] = ()
        """Arguments that every command gets at its end."""
        monkeypatch.chdir(directory)
        self.set(
            DATA_DIR=str(directory / "data"), STORAGE__RESERVE_BYTES="0", CLIENT__STATE_DIR=str(directory / "state")
        )

    def set(self, **settings: str) -> None:
        for name, value in settings.items():
            self.monkeypatch.setenv(f"LOOKALIKE_{name}", value)

    def __call__(self, *arguments: str | Path) -> tuple[int | str | None, str, str]:
        """Exit code, standard output and standard error."""
        with pytest.raises(SystemExit) as ended:
            main([*map(str, arguments), *self.more])
        output, errors = self.capsys.readouterr()
        return ended.value.code, output, errors
