import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli.command import WITHOUT_DETECTOR, lookalike_here, start
from tests.pictures import a_picture


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder


def pictures(folder: Path, *numbers: int) -> None:
    for number in numbers:
        (folder / f"{number:02d}.png").write_bytes(a_picture(number))


def index(folder: Path, *options: str, data_dir: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    return lookalike_here("index", folder, *options, data_dir=data_dir, settings=WITHOUT_DETECTOR | settings)


def listed(data_dir: Path) -> dict[str, Any]:
    """Metadata by filename."""
    found = json.loads(lookalike_here("list", "--limit", "1000", "--json", data_dir=data_dir).stdout)
    assert found["total"] == len(found["items"])
    return {image["filename"]: image["metadata"] for image in found["items"]}


SLOW = """
import sys
from pathlib import Path
from entrypoints.cli.main import main
from lookalike_client import pictures

slow, pipe, *arguments = sys.argv[1:]
read = pictures.read_picture

def read_slowly(new, max_bytes):
    if new.picture == Path(slow):
        Path(pipe).read_bytes()
    return read(new, max_bytes)

pictures.read_picture = read_slowly
main(arguments)
"""
"""Reading one picture waits until somebody has opened and closed the pipe, so the test knows where indexing is."""


def start_slow(slow: Path, pipe: Path, *arguments: str | Path, data_dir: Path) -> "subprocess.Popen[str]":
    os.mkfifo(pipe)
    program = (sys.executable, "-c", SLOW)
    return start(slow, pipe, *arguments, data_dir=data_dir, settings=WITHOUT_DETECTOR, program=program)


def test_bad_pictures_are_named_with_their_reasons_and_the_others_indexed(folder: Path, data_dir: Path) -> None:
    pictures(folder, *range(3))
    (folder / "broken.png").write_bytes(a_picture(1)[:200])
    (folder / "text.jpg").write_text("no picture")
    (folder / "twin of größe.png").write_bytes(a_picture(2))
    (folder / "gone.png").symlink_to("nowhere")
    (folder / "large.bmp").write_bytes(b"BM" + b"\0" * 100_000)
    os.mkfifo(folder / "pipe.png")  # that nobody writes
    options = ("--metadata", '{"brand": "acme"}')

    first = index(folder, *options, data_dir=data_dir, HTTP__MAX_UPLOAD_BYTES="90000")
    second = index(folder, *options, data_dir=data_dir, HTTP__MAX_UPLOAD_BYTES="90000")

    assert (first.returncode, second.returncode) == (1, 1)
    assert "4 created, 0 existed, 5 failed" in first.stdout
    assert "0 created, 4 existed, 5 failed" in second.stdout
    told = dict(line.split(": ", 1) for line in first.stderr.splitlines() if line.startswith(str(folder)))
    assert {Path(path).name for path in told} == {"broken.png", "text.jpg", "gone.png", "large.bmp", "pipe.png"}
    assert told[str(folder / "gone.png")] == "The file cannot be read: No such file or directory."
    assert told[str(folder / "pipe.png")] == "The file cannot be read: It is no regular file."
    assert "at most 90000 are accepted" in told[str(folder / "large.bmp")]
    names = ("00.png", "01.png", "02.png", "twin of größe.png")
    assert listed(data_dir) == {name: {"brand": "acme"} for name in names}


def test_metadata_replaces_that_of_pictures_that_existed_and_is_told(folder: Path, data_dir: Path) -> None:
    pictures(folder, 0)

    kept_by_hand = index(folder, "--metadata", '{"price": 5, "note": "by hand"}', data_dir=data_dir)
    without = index(folder, data_dir=data_dir)
    before = listed(data_dir)
    replaced = index(folder, "--metadata", '{"album": "2026"}', data_dir=data_dir)

    assert kept_by_hand.stdout == "1 created, 0 existed, 0 failed\n"
    assert without.stdout == "0 created, 1 existed, 0 failed\n"
    assert before == {"00.png": {"price": 5, "note": "by hand"}}
    assert replaced.stdout == "0 created, 1 existed (metadata replaced), 0 failed\n"
    assert listed(data_dir) == {"00.png": {"album": "2026"}}


def test_ctrl_c_finishes_what_is_in_hand_and_the_next_run_the_rest(
    folder: Path, data_dir: Path, tmp_path: Path
) -> None:
    pictures(folder, *range(80))
    pipe = tmp_path / "pipe"

    process = start_slow(folder / "20.png", pipe, "index", folder, data_dir=data_dir)  # amid the second batch
    with pipe.open("wb"):
        process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)

    assert process.returncode == 130, stderr
    created = int(stdout.split()[0])
    assert 32 <= created < 80
    assert stdout == f"{created} created, 0 existed, 0 failed\n"
    assert "Run the same command again" in stderr
    assert "Traceback" not in stderr

    rest = index(folder, data_dir=data_dir)

    assert rest.returncode == 0, rest.stderr
    assert f"{80 - created} created, {created} existed, 0 failed" in rest.stdout
    assert listed(data_dir) == {f"{number:02d}.png": {} for number in range(80)}


def test_a_second_process_is_told_that_the_index_is_open(folder: Path, data_dir: Path, tmp_path: Path) -> None:
    pictures(folder, *range(4))
    pipe = tmp_path / "pipe"

    process = start_slow(folder / "03.png", pipe, "index", folder, data_dir=data_dir)
    with pipe.open("wb"):
        refused = lookalike_here("list", data_dir=data_dir)
    stdout, stderr = process.communicate(timeout=60)

    assert refused.returncode == 2
    assert refused.stderr.startswith("lookalike: ")
    assert "open in another process" in refused.stderr
    assert (process.returncode, stdout) == (0, "4 created, 0 existed, 0 failed\n"), stderr
