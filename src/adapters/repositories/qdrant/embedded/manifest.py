"""An index directory: which of its shards is the index, by one small file that is replaced atomically, and its lock."""

import fcntl
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID, uuid4

from adapters.durability import replace_durably
from adapters.repositories.qdrant.layout import FORMAT, IndexKind, check_format
from domain.embeddings import EmbeddingSpace
from domain.errors import ConfigurationError, IndexDamagedError, IndexInUseError, IndexMissingError, Remedy

_FILE = "manifest.json"
_SHARDS = "shard-*"


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """A shard's directory, relative to the index directory, and the space of its vectors."""

    directory: str
    space: EmbeddingSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardLayout:
    """What a shard holds, and how much of the disk it leaves free."""

    vectors: Sequence[str]
    dimension: int
    indexes: Mapping[str, IndexKind]
    reserve_bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """The shard that is the index (None: its creation was interrupted), and the one that is to replace it."""

    identity: UUID
    """Which index this is, whatever shard it is in."""
    current: ShardEntry | None = None
    replacement: ShardEntry | None = None

    @classmethod
    def read(cls, directory: Path) -> "Manifest":
        """The directory's manifest, or one of a new index where there is none.

        Raises IndexDamagedError, and ConfigurationError for another format.
        """
        path = directory / _FILE
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            check_format(f"The index in {directory}", int(stored["format"]))
            return cls(UUID(stored["identity"]), _entry(stored["current"]), _entry(stored["replacement"]))
        except FileNotFoundError as error:
            if any(directory.glob(_SHARDS)):
                what = f"{path} is missing although there are shards beside it: put it back."
                raise damaged(what, directory) from error
            return cls(uuid4())
        except (ValueError, KeyError, TypeError) as error:
            raise damaged(f"{path} cannot be read: {error!r}.", directory) from error

    def write(self, directory: Path) -> None:
        """Replace the directory's manifest, then remove the leftovers.

        After a crash at any point, it is the old one whole or this one whole.
        """
        stored = {"format": FORMAT, **asdict(self), "identity": str(self.identity)}
        content = json.dumps(stored, indent=2, ensure_ascii=False).encode()
        replace_durably(directory / _FILE, content, draft=directory / f"{_FILE}.tmp")
        self.remove_leftovers(directory)

    def remove_leftovers(self, directory: Path) -> None:
        """Delete the shards that interrupted creations and promotions left: those not named here."""
        named = {entry.directory for entry in (self.current, self.replacement) if entry is not None}
        for shard in directory.glob(_SHARDS):
            if shard.name not in named:
                shutil.rmtree(shard)


def locked(directory: Path) -> BinaryIO:
    """Let one process at a time into an index directory, until the file is closed or the process ends.

    Raises IndexInUseError if another is there, OSError if the directory cannot be written.
    """
    file = (directory / "lock").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise in_use(directory) from error
    return file


def check_directory(directory: Path, *, must_exist: bool) -> None:
    """Raise what a glance at an index directory shows: that another process has it open, or its manifest is damaged.

    Raises IndexInUseError, IndexDamagedError, and ConfigurationError for another format or where no index is there.
    """
    manifest = None
    try:
        if directory.is_dir():
            locked(directory).close()
            manifest = Manifest.read(directory)
    except OSError as error:
        raise unusable(directory, error) from error
    if must_exist and (manifest is None or manifest.current is None):
        raise no_index(directory)


def in_use(directory: Path) -> IndexInUseError:
    """The error of an index that another process has open."""
    return IndexInUseError(
        f"The index in {directory} is open in another process.", remedy=Remedy.STOP_OR_ASK_THE_OTHER_PROCESS
    )


def cannot_be_opened(shard: Path, reason: str) -> IndexDamagedError:
    """The error with the engine's reason, in one line."""
    first_line, *_ = [*reason.strip().splitlines(), "no reason is known"]
    return damaged(f"The index in {shard} cannot be opened: {first_line[:300]}.", shard.parent)


def no_index(directory: Path) -> IndexMissingError:
    """The error of a directory without an index."""
    return IndexMissingError(f"There is no index in {directory}. Index pictures first.")


def unusable(directory: Path, error: OSError) -> ConfigurationError:
    """The error of a directory that the file system refuses."""
    return ConfigurationError(
        f"The index directory {directory} cannot be used: {error.strerror or error} ({error.filename or directory}). "
        "Name a data directory that this process may write to, or move what is in the way."
    )


def damaged(what: str, directory: Path) -> IndexDamagedError:
    """The error of a damaged index, of which `what` says what is wrong."""
    return IndexDamagedError(f"{what} Move {directory} away.", remedy=Remedy.RESTORE_A_BACKUP)


def free_shard_name(directory: Path, space: EmbeddingSpace) -> str:
    """A name for a new shard of `space` that nothing in the directory has."""
    first = f"shard-{space.fingerprint}"
    candidates = (first if number == 1 else f"{first}-{number}" for number in count(1))
    return next(name for name in candidates if not (directory / name).exists())


def _entry(stored: Any) -> ShardEntry | None:  # noqa: ANN401 - JSON
    if stored is None:
        return None
    return ShardEntry(directory=str(stored["directory"]), space=EmbeddingSpace.from_mapping(stored["space"]))
