"""What commands remember of their sources between two runs, in a small SQLite file of the user's.

It saves work, and tells which pictures a table or a folder has brought. What is indexed is asked of the service.
"""

import json
import os
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from lookalike_client import LookalikeError

FILE = "sources.sqlite3"
FORMAT = 1
"""Kept as the file's `user_version`."""

BUSY_SECONDS = 30.0
"""How long to wait for another command that writes."""


class StateError(LookalikeError):
    """The file cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A source as it was when it was last looked at. What does not apply to it, or is not known, is None."""

    name: str
    """Of its picture in the scope, such as the key."""
    source: str | None = None
    """A path or an address."""
    size: int | None = None
    """Bytes."""
    mtime_ns: int | None = None
    """When the file was changed, as `os.stat` tells."""
    etag: str | None = None
    last_modified: str | None = None
    """What the far side said of the bytes, to ask it for others only (RFC 9110)."""
    sha256: str | None = None
    looked_at: float | None = None
    """When it was last looked at, in seconds since 1970."""
    outcome: str | None = None
    """What became of it: a word of the command's own."""
    error: str | None = None
    """Why it failed."""


_COLUMNS = [field.name for field in fields(Remembered)]
_CREATE = f"CREATE TABLE source (scope, {', '.join(_COLUMNS)}, PRIMARY KEY (scope, name)) WITHOUT ROWID"
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM source WHERE scope = ?"  # noqa: S608 - our own names
_SELECT_NAMED = f"{_SELECT} AND name IN (SELECT value FROM json_each(?))"  # noqa: S608 - likewise
_HELD_BY_OTHERS = """SELECT DISTINCT name FROM source WHERE name IN (SELECT value FROM json_each(?2)) AND scope != ?1
AND json_extract(scope, '$[0]') = json_extract(?1, '$[0]') AND json_extract(scope, '$[1]') = json_extract(?1, '$[1]')"""
_REPLACE = f"REPLACE INTO source VALUES (?{', ?' * len(_COLUMNS)})"  # noqa: S608 - likewise


def scope_of(index: str, kind: str, name: str) -> str:
    """What the sources of one table or folder are remembered under: the id of the index, and what they are to it."""
    return json.dumps([index, kind, name], ensure_ascii=False)


def default_folder() -> Path:
    """Where programs of this user keep such files on this system."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "lookalike"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "lookalike"
    configured = Path(os.environ.get("XDG_STATE_HOME", ""))  # relative ones are to be ignored, says its specification
    return (configured if configured.is_absolute() else Path.home() / ".local" / "state") / "lookalike"


class State:
    """The file, open. Several commands may use it at once."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def get(self, scope: str, names: Iterable[str]) -> dict[str, Remembered]:
        """What is remembered of these, by name."""
        return {found.name: found for found in self._rows(_SELECT_NAMED, scope, json.dumps(list(names)))}

    def all(self, scope: str) -> Iterator[Remembered]:
        """Everything in a scope, by name. Nothing may be written meanwhile."""
        return self._rows(f"{_SELECT} ORDER BY name", scope)

    def held_by_others(self, scope: str, names: Iterable[str]) -> set[str]:
        """Which of these are remembered in another scope of the same kind and index too."""
        with _naming(self._path):
            return {name for [name] in self._connection.execute(_HELD_BY_OTHERS, (scope, json.dumps(list(names))))}

    def remember(self, scope: str, sources: Iterable[Remembered]) -> None:
        """Keep these in the place of what there is under their names; when this returns, a crash loses none."""
        with _naming(self._path), self._connection:
            self._connection.executemany(_REPLACE, ((scope, *astuple(source)) for source in sources))

    def forget(self, scope: str, names: Iterable[str]) -> None:
        """Keep nothing of these."""
        with _naming(self._path), self._connection:
            self._connection.executemany(
                "DELETE FROM source WHERE scope = ? AND name = ?", ((scope, name) for name in names)
            )

    def _rows(self, query: str, *values: str) -> Iterator[Remembered]:
        with _naming(self._path):
            for row in self._connection.execute(query, values):
                yield Remembered(**dict(zip(_COLUMNS, row, strict=True)))


@contextmanager
def open_state(folder: Path | None) -> Iterator[State]:
    """The file in a folder, or in the default one; made where there is none. Raises StateError."""
    path = (default_folder() if folder is None else folder) / FILE
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS)
    with closing(connection):
        with _naming(path), connection:
            connection.execute("BEGIN IMMEDIATE")
            [found] = connection.execute("PRAGMA user_version").fetchone()
            if found == 0:
                connection.execute(_CREATE)
                connection.execute(f"PRAGMA user_version = {FORMAT}")
            elif found != FORMAT:
                raise StateError(
                    f"{path} has format {found}, which this version does not read: it reads {FORMAT}. Set "
                    "LOOKALIKE_CLIENT__STATE_DIR to another folder."
                )
        yield State(connection, path)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn errors of the system and of SQLite into StateErrors that name the file and the setting for its folder."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise StateError(
            f"{path}, which remembers what was imported, cannot be used: {reason}. LOOKALIKE_CLIENT__STATE_DIR names "
            "another folder for it."
        ) from error
