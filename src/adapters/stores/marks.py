"""Marks that several processes make, take over and remove in one file system, without locks."""

import contextlib
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from adapters.durability import full_disk_named


class Marks:
    """Directories in `folder`; in each, a file for each time that the mark was taken over.

    Making a directory, and renaming one to a name that is taken, are exclusive on every file system. No file is locked,
    and none is linked. A mark is removed by way of `incoming`, which is on the same file system.
    """

    def __init__(self, folder: Path, *, incoming: Path) -> None:
        self.folder = folder
        self._incoming = incoming

    def make(self, name: str) -> bool:
        """Whether this call made the mark. Raises StorageFullError."""
        with full_disk_named(self.folder), contextlib.suppress(FileExistsError):
            (self.folder / name).mkdir()
            return True
        return False

    def take_over(self, name: str, marked_at: datetime) -> bool:
        """Whether the mark of this time is the caller's now. Raises StorageFullError.

        The mark stays. Of several that take it over at once, one makes the next numbered file in it.
        """
        mark = self.folder / name
        with (
            full_disk_named(self.folder),
            contextlib.suppress(FileExistsError, FileNotFoundError),
            _opened(mark) as directory,
        ):
            number, at = _latest(directory)
            if at != marked_at:
                return False
            os.close(os.open(str(number + 1), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600, dir_fd=directory))
            # Meanwhile others may have taken it over, removed it and made another of this name.
            return mark.stat().st_ino == os.fstat(directory).st_ino
        return False

    def remove(self, name: str) -> None:
        """Remove the mark at once, whatever is in it; one that is not there is passed over."""
        gone = self._incoming / uuid4().hex
        with contextlib.suppress(FileNotFoundError):
            (self.folder / name).rename(gone)
            shutil.rmtree(gone, ignore_errors=True)

    def present(self, names: Collection[str]) -> set[str]:
        """Those of the names that are marked."""
        return {name for name in names if (self.folder / name).exists()}

    def times(self) -> Mapping[str, datetime]:
        """When each mark was made, or taken over last."""
        times: dict[str, datetime] = {}
        for mark in self.folder.iterdir():
            with contextlib.suppress(FileNotFoundError, NotADirectoryError), _opened(mark) as directory:
                _, times[mark.name] = _latest(directory)
        return times


def modified_at(status: os.stat_result) -> datetime:
    """When a file was written, or a directory's names changed."""
    return datetime.fromtimestamp(status.st_mtime, UTC)


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    """A descriptor, which means the same directory whatever its name becomes."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _latest(mark: int) -> tuple[int, datetime]:
    """How often a mark was taken over, and when that, or making it, happened last."""
    number = max((int(name) for name in os.listdir(mark) if name.isdecimal()), default=0)
    return number, modified_at(os.stat(str(number), dir_fd=mark) if number else os.fstat(mark))
