"""Which shard of an index directory is the index: one small file, replaced atomically."""

import json
import os
import shutil
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from adapters.repositories.edge.directory_lock import DirectoryLock
from domain.embeddings import EmbeddingSpace
from domain.errors import ConfigurationError, IndexDamagedError

FORMAT = 2
"""The layout's version: 2 added objects. No release wrote another one, so there is nothing to upgrade, and every other
one is refused. A release that raises it upgrades format 2 in `Manifest.read`.
"""

_FILE = "manifest.json"
_SHARDS = "shard-*"


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """A shard's directory, relative to the index directory, and the space of its vectors."""

    directory: str
    space: EmbeddingSpace


@dataclass(frozen=True, slots=True)
class Manifest:
    """The shard that is the index (None: its creation was interrupted), and the one that is to replace it."""

    current: ShardEntry | None = None
    replacement: ShardEntry | None = None

    @classmethod
    def read(cls, directory: Path) -> "Manifest | None":
        """The directory's manifest, or None where there is no index.

        Raises IndexDamagedError, and ConfigurationError for another format.
        """
        path = directory / _FILE
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            version = int(stored["format"])
            if version == FORMAT:
                return cls(_entry(stored["current"]), _entry(stored["replacement"]))
        except FileNotFoundError as error:
            if any(directory.glob(_SHARDS)):
                raise IndexDamagedError(
                    f"{path} is missing although there are shards beside it: put it back. {way_out(directory)}"
                ) from error
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise IndexDamagedError(f"{path} cannot be read: {error!r}. {way_out(directory)}") from error
        raise ConfigurationError(
            f"The index in {directory} has format {version}; this version reads format {FORMAT}. "
            + (
                "Run the newer version that wrote it."
                if version > FORMAT
                else f"Move {directory} away and index the pictures anew."
            )
        )

    def write(self, directory: Path) -> None:
        """Replace the directory's manifest: after a crash at any point, it is the old one whole or this one whole."""
        stored = {"format": FORMAT, "current": _stored(self.current), "replacement": _stored(self.replacement)}
        draft = directory / f"{_FILE}.tmp"
        with draft.open("w", encoding="utf-8") as file:
            json.dump(stored, file, indent=2, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(directory / _FILE)
        _sync_directory(directory)

    def remove_leftovers(self, directory: Path) -> None:
        """Delete the shards that interrupted creations and promotions left: those not named here."""
        named = {entry.directory for entry in (self.current, self.replacement) if entry is not None}
        for shard in directory.glob(_SHARDS):
            if shard.name not in named:
                shutil.rmtree(shard)


def check_directory(directory: Path, *, must_exist: bool) -> None:
    """Raise what shows of an index directory at a glance: that another process has it open, or its manifest is damaged.

    Raises IndexInUseError, IndexDamagedError, and ConfigurationError for another format or where no index is there.
    """
    manifest = None
    try:
        if directory.is_dir():
            DirectoryLock(directory).release()
            manifest = Manifest.read(directory)
    except OSError as error:
        raise ConfigurationError(unusable(directory, error)) from error
    if must_exist and (manifest is None or manifest.current is None):
        raise no_index(directory)


def no_index(directory: Path) -> ConfigurationError:
    """What to do where there is none."""
    return ConfigurationError(f"There is no index in {directory}. Index pictures first.")


def unusable(directory: Path, error: OSError) -> str:
    """What to do about a directory that the file system refuses."""
    return (
        f"The index directory {directory} cannot be used: {error.strerror or error} ({error.filename or directory}). "
        "Name a data directory that this process may write to, or move what is in the way."
    )


def way_out(directory: Path) -> str:
    """What to do about a damaged index."""
    return f"Move {directory} away, and then restore a backup (lookalike restore) or index the pictures anew."


def free_shard_name(directory: Path, space: EmbeddingSpace) -> str:
    """A name for a new shard of `space` that nothing in the directory has."""
    first = f"shard-{space.fingerprint}"
    candidates = (first if number == 1 else f"{first}-{number}" for number in count(1))
    return next(name for name in candidates if not (directory / name).exists())


def _entry(stored: Any) -> ShardEntry | None:  # noqa: ANN401 - JSON
    if stored is None:
        return None
    return ShardEntry(directory=str(stored["directory"]), space=EmbeddingSpace.from_mapping(stored["space"]))


def _stored(entry: ShardEntry | None) -> dict[str, Any] | None:
    return None if entry is None else {"directory": entry.directory, "space": entry.space.as_mapping()}


def _sync_directory(directory: Path) -> None:
    """Make a rename durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
