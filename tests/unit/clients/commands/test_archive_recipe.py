"""The commands of docs/archive.md, run."""

import plistlib
import re
import shlex
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.unit.clients.commands.syncing import Synced

PAGE = (Path(__file__).parents[4] / "docs" / "archive.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Those of the page, without the program's own name."""
    shell = [shlex.split(line, comments=True) for block in blocks("sh") for line in block.splitlines()]
    systemd = [shlex.split(line) for line in re.findall(r"^ExecStart=(.*)$", PAGE, flags=re.MULTILINE)]
    launchd = [plistlib.loads(block.encode())["ProgramArguments"] for block in blocks("xml")]
    return [arguments for _, *arguments in (*shell, *systemd, *launchd)]


def test_each_command_of_the_page_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with capture_logs():
        synced = Synced(tmp_path, capsys, name="Pictures")
        synced.files("2019/beach.jpg", "2019/hat.jpg", "private/me.jpg", "Scans/a/draft-1.jpg")
        [ignored] = blocks("gitignore")
        (synced.root / ".lookalikeignore").write_text(ignored)
        kinds = set()
        for command in commands():
            arguments = [re.sub(r"^(~|%h|/Users/me)/", f"{tmp_path}/", argument) for argument in command]
            if "--watch" in arguments:
                arguments[arguments.index("--watch")] = "--keep-missing"  # would not end; tested by itself
                arguments = [argument for argument in arguments if argument != "--poll"]
            code, output, errors = synced(*arguments)
            assert code == 0, errors
            assert "2" in output or "beach.jpg" in output
            kinds.add(arguments[0])
        assert kinds == {"sync", "list", "search", "show"}
        assert synced.sync()[1] == "0 created, 2 existed, 0 failed; passed over: 2 excluded\n"
