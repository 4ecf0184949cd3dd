"""What it takes for files to survive a loss of power, and to tell a full disk from other failures."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from domain.errors import StorageFullError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The error numbers of a write for which there is no room, or no quota."""


@contextlib.contextmanager
def full_disk_named(where: Path) -> Iterator[None]:
    """Raise StorageFullError where a write finds no room."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise StorageFullError(f"No room is left in {where}: {error.strerror}. Make room, or delete images.") from error


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable: a file's own fsync does not."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, content: bytes) -> None:
    """Write a file and sync it. The caller syncs its folder."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_durably(path: Path, content: bytes, *, draft: Path) -> None:
    """Replace a file by way of a draft beside it: after a crash at any point it is the old or the new one, whole."""
    write_durably(draft, content)
    draft.replace(path)
    sync_folder(path.parent)
