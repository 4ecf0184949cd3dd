"""What it takes for files to survive a loss of power, and to tell a full disk from other failures."""

import errno
import os
from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The error numbers of a write for which there is no room, or no quota."""


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
