"""One process at a time in an index directory."""

import sys
from pathlib import Path
from typing import BinaryIO

from domain.errors import IndexInUseError

if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class DirectoryLock:
    """Held from construction to `release`, or until the process ends, whatever ends it."""

    def __init__(self, directory: Path) -> None:
        """Raises IndexInUseError if another holds it, OSError if the directory cannot be written."""
        self._file = (directory / "lock").open("ab")
        try:
            _lock(self._file)
        except OSError as error:
            self._file.close()
            raise IndexInUseError(
                f"The index in {directory} is open in another process. Stop that one, or use its API "
                "(index and search: --url)."
            ) from error

    def release(self) -> None:
        """Let the next one in."""
        self._file.close()
