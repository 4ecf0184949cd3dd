"""One process at a time in an index directory."""

import fcntl
from pathlib import Path

from domain.errors import IndexInUseError


class DirectoryLock:
    """Held from construction to `release`, or until the process ends, whatever ends it."""

    def __init__(self, directory: Path) -> None:
        """Raises IndexInUseError if another holds it, OSError if the directory cannot be written."""
        self._file = (directory / "lock").open("ab")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise IndexInUseError(in_use(directory)) from error

    def release(self) -> None:
        """Let the next one in."""
        self._file.close()


def in_use(directory: Path) -> str:
    """What to do about an index that another process has open."""
    return (
        f"The index in {directory} is open in another process. Stop that one, or use its API (index and search: --url)."
    )
