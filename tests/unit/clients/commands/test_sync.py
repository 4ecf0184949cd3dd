"""`lookalike sync`: what it does to the index for what has become of the files."""

import asyncio
import os
import shlex
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from lookalike_client import Key
from lookalike_client.commands.interruption import Interruption
from lookalike_client.names import id_of
from tests.fakes import JournalledRepository
from tests.unit.clients.commands.syncing import Synced, write


@pytest.fixture
def synced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Synced]:
    with capture_logs():  # which would stand among the output of commands
        yield Synced(tmp_path, capsys)


def stored(synced: Synced) -> dict[str, Any]:
    return asyncio.run(synced.images())


def test_exactly_what_has_changed_is_done(synced: Synced) -> None:
    synced.files(*(f"{number:02d}.png" for number in range(60)))
    assert synced.sync()[:2] == (0, "60 created, 0 existed, 0 failed\n")
    before = stored(synced)
    for number in range(5):
        asyncio.run(synced.edit(f"photos/{number:02d}.png", number=number))
        (synced.root / "moved").mkdir(exist_ok=True)
        (synced.root / f"{number:02d}.png").rename(synced.root / "moved" / f"new {number}.png")
        (synced.root / f"{10 + number}.png").unlink()
        write(synced.root / f"{20 + number}.png", 5000 + number)
        write(synced.root / f"added/{number}.png", 6000 + number)

    code, output, errors = synced.sync()

    summary = "5 created, 5 replaced, 5 renamed, 5 removed, 45 existed, 0 failed\n"
    assert (code, output, "Traceback" in errors) == (0, summary, False)
    after = stored(synced)
    assert after.keys() == {f"photos/{path.relative_to(synced.root)}" for path in synced.root.rglob("*.png")}
    for number in range(5):
        old, new = before[f"photos/{number:02d}.png"], after[f"photos/moved/new {number}.png"]
        assert (new.sha256, new.created_at, new.metadata) == (old.sha256, old.created_at, {"number": number})
        assert new.source == str(synced.root / "moved" / f"new {number}.png")
        assert new.filename == f"new {number}.png"
        assert after[f"photos/{20 + number}.png"].sha256 != before[f"photos/{20 + number}.png"].sha256
    assert synced.sync()[:2] == (0, "0 created, 60 existed, 0 failed\n")
    assert synced.sent == 0


def test_it_agrees_with_index(synced: Synced) -> None:
    synced.files("a.png", "2019/100% wool.png", "2019/größe\n.png", "2019/cafe\u0301.png")
    assert synced("index", synced.root)[1] == "4 created, 0 existed, 0 failed\n"
    assert (synced.sync()[1], synced.sent) == ("0 created, 4 existed, 0 failed\n", 0)
    (synced.root / "a.png").rename(synced.root / "b%.png")
    assert synced.sync("--yes")[1] == "0 created, 1 renamed, 3 existed, 0 failed\n"
    assert (synced("index", synced.root)[1], synced.sent) == ("0 created, 4 existed, 0 failed\n", 0)
    assert stored(synced)["photos/b%25.png"].filename == "b%.png"


def test_nothing_is_read_listed_or_loaded_where_nothing_has_changed(
    synced: Synced, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced.files("a.png", "b.png")
    synced.sync()
    synced.sync()
    monkeypatch.setattr("hashlib.file_digest", lambda *_: pytest.fail("read"))
    assert synced.sync()[1] == "0 created, 2 existed, 0 failed\n"
    assert synced.requests == ["GET /v1/images"] * 2  # whose the name is, and the newest change
    # A change on the service is noticed all the same.
    monkeypatch.undo()
    assert synced("delete", "photos/a.png")[0] == 0
    assert synced.sync()[1] == "1 created, 1 existed, 0 failed\n"


def test_a_file_that_failed_is_named_once_and_tried_again_when_it_changes(synced: Synced) -> None:
    synced.files("a.png")
    (synced.root / "b.png").write_bytes(b"no picture")
    (synced.root / "c.png").symlink_to("nowhere")
    code, output, errors = synced.sync()
    assert (code, output) == (1, "1 created, 0 existed, 2 failed\n")
    assert f"{synced.root}/b.png: The content is no picture" in errors
    code, output, errors = synced.sync()
    assert (code, output) == (0, "0 created, 1 existed, 0 failed, 2 failed before (1 no picture inside, 1 not sent)\n")
    assert (errors, synced.sent) == ("", 0)
    assert (synced.sync("--again")[0], synced.sent) == (1, 1)
    write(synced.root / "b.png", 7)
    assert synced.sync()[:2] == (0, "1 created, 1 existed, 0 failed, 1 failed before (1 not sent)\n")


def test_a_file_that_failed_on_one_index_is_tried_on_another(synced: Synced, monkeypatch: pytest.MonkeyPatch) -> None:
    synced.files("a.png")
    (synced.root / "b.png").write_bytes(b"no picture")
    assert synced.sync()[0] == 1
    assert synced.sync()[0] == 0
    synced.begin_anew()
    monkeypatch.setattr(JournalledRepository, "identity", UUID(int=2))
    synced("index", write(synced.root.with_name("others") / "c.png", 1))
    assert synced.sync()[:2] == (1, "1 created, 0 existed, 1 failed\n")


def test_two_files_of_one_key_are_told_once(synced: Synced) -> None:
    synced.files("cafe\u0301.png", "caf\u00e9.png")
    assert synced.sync()[:2] == (1, "1 created, 0 existed, 1 failed\n")
    assert synced.sync()[:2] == (0, "0 created, 1 existed, 0 failed, 1 failed before (1 not sent)\n")


@pytest.mark.parametrize("kind", ["gone", "empty", "without pictures"])
def test_a_folder_that_is_away_loses_nothing(synced: Synced, kind: str) -> None:
    synced.files("a.png", "b.png")
    synced.sync()
    elsewhere = synced.root.rename(synced.root.with_name("elsewhere"))
    if kind != "gone":
        synced.root.mkdir()
    if kind == "without pictures":
        (synced.root / "README").write_text("Mount the drive here.")

    code, output, errors = synced.sync("--yes")

    assert (code, output) == (3, "")
    assert errors.startswith(f"lookalike: {synced.root} ")
    assert "Nothing was removed: perhaps a drive is not mounted." in errors
    assert stored(synced).keys() == {"photos/a.png", "photos/b.png"}
    if kind == "without pictures":
        (synced.root / "README").unlink()
    if kind != "gone":
        synced.root.rmdir()
    elsewhere.rename(synced.root)
    assert synced.sync()[:2] == (0, "0 created, 2 existed, 0 failed\n")


@pytest.mark.parametrize("moment", ["/v1/images/batch", "/v1/images"])
def test_a_folder_that_vanishes_in_the_middle_loses_nothing(synced: Synced, moment: str) -> None:
    synced.files(*(f"{number}.png" for number in range(30)))
    synced.sync()
    (synced.root / "0.png").unlink()
    synced.files("new.png", *(f"more/{number}.png" for number in range(40)))

    def unplug(path: str) -> None:
        unplugged = synced.root.with_name("unplugged")
        if path == moment and not unplugged.exists():
            synced.root.rename(unplugged)
            synced.root.mkdir()  # the empty mount point

    synced.before_request = unplug
    code, _, errors = synced.sync("--yes")

    assert (code, f"{synced.root} is empty. Nothing was removed" in errors) == (3, True)
    assert stored(synced).keys() >= {f"photos/{number}.png" for number in range(30)}


def test_files_below_a_folder_that_cannot_be_listed_are_not_gone(
    synced: Synced, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced.files("a.png", "share/b.png", "share/deep/c.png")
    synced.sync()
    (synced.root / "share" / "b.png").unlink()
    scandir = os.scandir

    def failing(path: Any = ".") -> Any:
        if Path(path) == synced.root / "share":
            raise OSError(5, "Input/output error", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    code, output, errors = synced.sync("--yes")
    assert (code, output) == (1, "0 created, 1 existed, 1 failed\n")
    assert "share: The folder cannot be read: Input/output error." in errors
    monkeypatch.undo()
    assert synced.sync("--yes")[:2] == (0, "0 created, 1 removed, 2 existed, 0 failed\n")


def test_more_than_a_tenth_is_removed_by_consent_alone(synced: Synced, monkeypatch: pytest.MonkeyPatch) -> None:
    synced.files(*(f"{number}.png" for number in range(10)))
    synced.sync()
    assert synced.sync()[1] == "0 created, 10 existed, 0 failed\n"
    for number in range(2):
        (synced.root / f"{number}.png").unlink()
    for _ in range(2):
        assert synced.sync()[:2] == (2, "0 created, 8 existed, 0 failed\n"), "it is told again"
    synced.files("new.png")

    code, output, errors = synced.sync()
    assert (code, output) == (2, "1 created, 8 existed, 0 failed\n")
    assert "2 of the 10 pictures" in errors
    assert "--yes" in errors
    assert len(stored(synced)) == 11
    assert synced.sync("--keep-missing")[0] == 0
    assert synced.sync("--dry-run")[1] == (
        "remove photos/0.png\nremove photos/1.png\n2 to remove, 9 existed\n"
        "More than a tenth of the 11 pictures would be removed: that is asked first, or needs --yes.\n"
    )
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for answer, removed in ((False, ""), (True, "2 removed, ")):
        monkeypatch.setattr("typer.confirm", lambda _, answer=answer: answer)
        assert synced.sync()[1] == f"0 created, {removed}9 existed, 0 failed\n"
    assert "models loaded" not in synced.requests
    assert len(stored(synced)) == 9


def test_pictures_of_other_folders_stay(synced: Synced, tmp_path: Path) -> None:
    other = tmp_path / "another computer" / "photos"
    write(other / "theirs.png", 1)
    synced("index", other, "--as", "photos")
    synced.files("a.png")
    code, _, errors = synced.sync()
    assert (code, "Choose another with --as NAME" in errors) == (2, True)
    assert synced.sync("--as", "photos", "--yes")[:2] == (0, "1 created, 0 existed, 0 failed\n")
    assert stored(synced).keys() == {"photos/a.png", "photos/theirs.png"}


def test_a_name_belongs_to_the_folder_that_used_it_first(synced: Synced, tmp_path: Path) -> None:
    synced.files("a.png", "b.png")
    synced.sync()
    other = tmp_path / "another computer" / "photos"
    write(other / "theirs.png", 1)
    assert synced("index", other, "--as", "photos")[0] == 0
    assert synced.sync()[:2] == (0, "0 created, 2 existed, 0 failed\n")
    third = tmp_path / "third" / "photos"
    write(third / "c.png", 2)
    code, _, errors = synced("sync", third)
    assert code == 2
    assert "The name photos belongs to the folder" in errors
    assert "Choose another with --as NAME; if that folder has moved here, say --as photos." in errors
    assert "PATH" not in errors


def test_pictures_that_a_move_has_left_behind_are_told(synced: Synced) -> None:
    synced.files(*(f"{number}.png" for number in range(30)))
    synced.sync()
    before, synced.root = synced.root, synced.root.rename(synced.root.with_name("moved"))
    for number in range(13):
        (synced.root / f"{number}.png").unlink()
    code, output, errors = synced.sync("--as", "photos", "--yes")
    assert (code, output) == (0, "0 created, 17 existed, 0 failed\n")
    assert f"13 pictures of photos/ come from {before}/, a folder that is not here, and stay." in errors
    # Back again, they are that folder's, whose pictures are all that have its name.
    synced.root = synced.root.rename(before)
    code, _, errors = synced.sync("--as", "photos")
    assert (code, "13 of the 30 pictures" in errors) == (2, True)
    synced.root = synced.root.rename(synced.root.with_name("moved"))
    command = shlex.split(synced.sync("--as", "photos")[2].partition("remove them: ")[2])
    assert synced(*command[1:4], "--yes")[:2] == (0, "13 deleted\n")
    assert len(stored(synced)) == 17


def test_what_is_passed_over_is_neither_sent_nor_removed(synced: Synced) -> None:
    synced.files("a.png", "b.png", "private/c.png", "private/keep/d.png", "e.tif")
    synced("index", synced.root)
    synced.files("@eaDir/a.png", ".trash/b.png", "private/f.png")
    for name in ("._a.png", "notes.txt", "a.NEF", ".DS_Store"):
        (synced.root / name).write_bytes(b"")
    (synced.root / ".lookalikeignore").write_text("# not these\n/private/\n")

    passed_over = "1 RAW, 2 excluded, 3 hidden, 1 not a picture by its name, 1 system folder"
    expected = f"0 created, 2 existed, 0 failed; passed over: {passed_over}\n"
    assert synced.sync("--exclude", "*.tif", "--yes")[:2] == (0, expected)
    assert stored(synced).keys() >= {"photos/private/c.png", "photos/e.tif"}
    assert synced("index", synced.root, "--exclude", "*.tif")[1] == expected
    code, _, errors = synced.sync("--exclude", "!")
    assert (code, "no pattern as .gitignore has them" in errors) == (2, True)


def test_what_is_passed_over_stays_however_its_name_is_composed(
    synced: Synced, monkeypatch: pytest.MonkeyPatch
) -> None:
    decomposed = ("cafe\u0301.png", "e\u0301te\u0301/1.png", "deep/cafe\u0301/x.png")
    synced.files("a.png", *decomposed)
    synced.sync()
    (synced.root / ".lookalikeignore").write_text("e\u0301te\u0301/\n")
    (synced.root / "deep" / "cafe\u0301" / "x.png").unlink()
    monkeypatch.setattr("lookalike_client.pictures.MAX_PICTURE_BYTES", 10_000)
    with (synced.root / "cafe\u0301.png").open("ab") as large:
        large.write(bytes(20_000))
    expected = "0 created, 1 removed, 1 existed, 0 failed; passed over: 1 excluded, 1 too large\n"
    assert synced.sync("--yes")[:2] == (0, expected)
    assert stored(synced).keys() == {"photos/a.png", "photos/caf\u00e9.png", "photos/\u00e9t\u00e9/1.png"}


def test_ctrl_c_while_files_are_read_leaves_all_as_it_was(synced: Synced, monkeypatch: pytest.MonkeyPatch) -> None:
    synced.files("a.png")
    synced("index", synced.root)
    interruption = Interruption()
    interruption.requested = True
    monkeypatch.setattr("lookalike_client.commands.sync.finish_on_interrupt", lambda: nullcontext(interruption))
    code, output, errors = synced.sync()
    assert (code, output) == (130, "")
    assert errors.startswith("Interrupted. Run the same command again")


def test_links_to_nowhere_are_told_where_there_is_no_index_yet(synced: Synced) -> None:
    synced.root.mkdir()
    (synced.root / "a.png").symlink_to("nowhere")
    code, output, errors = synced.sync()
    assert (code, output) == (1, "0 created, 0 existed, 1 failed\n")
    assert errors == f"{synced.root}/a.png: It is no regular file, or a link to one that is gone."


def test_a_dry_run_changes_nothing(synced: Synced) -> None:
    synced.files(*(f"{number}.png" for number in range(20)))
    synced.sync()
    before = stored(synced)
    (synced.root / "1.png").rename(synced.root / "one.png")
    (synced.root / "2.png").unlink()
    write(synced.root / "3.png", 99)
    write(synced.root / "new.png", 98)
    (synced.root / "empty.png").touch()
    (synced.root / "link.png").symlink_to("nowhere")
    code, output, _ = synced.sync("--dry-run")
    assert code == 0
    assert output.splitlines() == [
        "create photos/new.png",
        "replace photos/3.png",
        "rename photos/1.png -> photos/one.png",
        "remove photos/2.png",
        f"fail {synced.root}/link.png: It is no regular file, or a link to one that is gone.",
        f"fail {synced.root}/empty.png: It is empty.",
        "1 to create, 1 to replace, 1 to rename, 1 to remove, 2 to fail, 17 existed",
    ]
    kept = synced.sync("--dry-run", "--keep-missing")[1]
    assert "remove" not in kept
    assert "rename photos/1.png -> photos/one.png" in kept
    assert stored(synced) == before


def test_a_picture_that_others_have_deleted_is_sent_where_it_was_to_be_renamed(synced: Synced) -> None:
    synced.files("a.png", "b.png")
    synced.sync()
    (synced.root / "a.png").rename(synced.root / "c.png")

    async def delete_first(path: str) -> None:
        if path == "/v1/images/rename":
            await synced.repository.delete([id_of(Key("photos/a.png"))])

    synced.before_request = delete_first
    assert synced.sync("--yes")[:2] == (0, "1 created, 1 existed, 0 failed\n")
    assert stored(synced).keys() == {"photos/b.png", "photos/c.png"}
