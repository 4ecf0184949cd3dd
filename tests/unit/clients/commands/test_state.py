"""What commands remember between two runs."""

import os
import sqlite3
from pathlib import Path

import pytest

from lookalike_client.commands import state
from lookalike_client.commands.state import Remembered, StateError, open_state, scope_of

TABLE = scope_of("index", "table", "/products.csv")
OTHER = scope_of("index", "table", "/others.csv")


def test_what_was_remembered_is_there_after_the_file_was_closed(tmp_path: Path) -> None:
    hat = Remembered(
        name="hat/1", source="https://shop.example/hat.jpg", etag='"1"', sha256="a" * 64, outcome="created"
    )
    shoe = Remembered(name="schuh-größe", source="/photos/shoe.jpg", size=2**40, mtime_ns=2**62, error="because")
    with open_state(tmp_path / "new" / "folder") as opened:
        opened.remember(TABLE, [hat, shoe])
        opened.remember(OTHER, [Remembered(name="hat/1")])
    with open_state(tmp_path / "new" / "folder") as opened:
        assert opened.get(TABLE, ["schuh-größe", "hat/1", "unknown"]) == {"hat/1": hat, "schuh-größe": shoe}
        assert list(opened.all(OTHER)) == [Remembered(name="hat/1")]
        opened.remember(TABLE, [Remembered(name="hat/1", outcome="exists")])
        opened.forget(TABLE, ["schuh-größe"])
        assert list(opened.all(TABLE)) == [Remembered(name="hat/1", outcome="exists")]
        assert list(opened.all(OTHER)) == [Remembered(name="hat/1")]


def test_names_that_others_of_the_same_kind_and_index_hold_are_told(tmp_path: Path) -> None:
    with open_state(tmp_path) as opened:
        opened.remember(TABLE, [Remembered(name="mine"), Remembered(name="both")])
        opened.remember(OTHER, [Remembered(name="both"), Remembered(name="theirs")])
        opened.remember(scope_of("another index", "table", "/others.csv"), [Remembered(name="mine")])
        opened.remember(scope_of("index", "folder", "/photos"), [Remembered(name="mine")])
        assert opened.held_by_others(TABLE, ["mine", "both", "neither"]) == {"both"}


def test_a_file_that_cannot_be_used_is_named_with_the_way_out(tmp_path: Path) -> None:
    file = tmp_path / state.FILE
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(StateError, match=r"sources.sqlite3.*not a database.*LOOKALIKE_CLIENT__STATE_DIR"):
        open_state(tmp_path).__enter__()
    file.unlink()
    with sqlite3.connect(file) as newer:
        newer.execute("PRAGMA user_version = 999")
    newer.close()
    with pytest.raises(StateError, match="has format 999"):
        open_state(tmp_path).__enter__()
    with pytest.raises(StateError, match=r"Not a directory|File exists"):
        open_state(file / "below").__enter__()


def test_a_full_disk_is_told_and_what_was_there_stays(tmp_path: Path) -> None:
    with open_state(tmp_path) as opened:
        opened.remember(TABLE, [Remembered(name="kept")])
        opened._connection.execute("PRAGMA max_page_count = 3")
        with pytest.raises(StateError, match="full"):
            opened.remember(TABLE, (Remembered(name=str(number), error="x" * 1000) for number in range(100)))
        assert [each.name for each in opened.all(TABLE)] == ["kept"]


def test_the_folder_is_where_the_system_keeps_such_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert state.default_folder() == tmp_path / ".local" / "state" / "lookalike"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert state.default_folder() == tmp_path / ".local" / "state" / "lookalike"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert state.default_folder() == tmp_path / "state" / "lookalike"
    monkeypatch.setattr("sys.platform", "darwin")
    assert state.default_folder() == tmp_path / "Library" / "Application Support" / "lookalike"
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", os.fspath(tmp_path / "Local"))
    assert state.default_folder() == tmp_path / "Local" / "lookalike"
