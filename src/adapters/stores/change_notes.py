"""Which images are being changed, noted on disk: what is left of the notes tells what a killed process was at."""

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import UUID, uuid4

from adapters.stores.durability import FULL, sync_folder
from domain.errors import BusyError
from domain.images import ImageId

PATIENCE_SECONDS = 60.0
"""Longer than any change takes, or any look at what was cut short."""

_POLL_SECONDS = 0.01
_NOTE = ".note"


class ChangeNotes:
    """Notes in `folder`, shared by any number of processes.

    A note is an empty file that is named by the image, so that a disk without room for data still takes it. Locks of
    the operating system, which end with their holder, tell whether anybody is at work: each change holds `changes`
    with others, and a pause alone. Changes pass through the `gate`, which a pause closes first: else changes that
    overlap would keep it waiting for ever.

    Notes younger than `settle_after` seconds are left alone: an index that others keep may still be about to do what
    the process asked of it that died.
    """

    def __init__(self, folder: Path, *, settle_after: float) -> None:
        self._folder = folder
        self._settle_after = settle_after
        self._interrupted: Sequence[Path] = ()
        self._gate = folder / "gate"
        self._changes = folder / "changes"

    def open(self) -> None:
        """Make the folder. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for lock in (self._gate, self._changes):
            lock.touch()

    @asynccontextmanager
    async def changing(self, ids: Collection[ImageId]) -> AsyncIterator[None]:
        """See ImageStore."""
        with ExitStack() as locks:
            with ExitStack() as passing:
                await _lock(passing, self._gate, fcntl.LOCK_SH)
                await _lock(locks, self._changes, fcntl.LOCK_SH)
            notes = await asyncio.to_thread(self._write, ids)
            yield
            await asyncio.to_thread(_remove, notes)

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[Sequence[ImageId]]:
        """See ImageStore."""
        with ExitStack() as locks:
            await _lock(locks, self._gate, fcntl.LOCK_EX)
            await _lock(locks, self._changes, fcntl.LOCK_EX)
            # Nobody is at work, so that all of the notes are of work that was cut short.
            self._interrupted = await asyncio.to_thread(self._old_notes)
            yield sorted({UUID(note.name.partition(".")[0]) for note in self._interrupted})

    async def forget_interrupted(self) -> None:
        """See ImageStore."""
        await asyncio.to_thread(_remove, self._interrupted)

    def _old_notes(self) -> Sequence[Path]:
        latest = time.time() - self._settle_after
        return [note for note in self._folder.glob(f"*{_NOTE}") if note.stat().st_mtime <= latest]

    def _write(self, ids: Collection[ImageId]) -> Sequence[Path]:
        token = uuid4().hex  # two processes may change one image
        notes = [self._folder / f"{id_}.{token}{_NOTE}" for id_ in ids]
        try:
            for note in notes:
                note.touch()
            sync_folder(self._folder)
        except OSError as error:
            if error.errno not in FULL:
                raise
            # Deleting must stay possible, and what cannot be noted can hardly be written.
        return notes


def _remove(notes: Iterable[Path]) -> None:
    for note in notes:
        note.unlink(missing_ok=True)


async def _lock(held: ExitStack, path: Path, kind: int) -> None:
    """Lock a file until `held` ends. Polled, since a thread that waits could be the one that the holder needs."""
    file: BinaryIO = held.enter_context(await asyncio.to_thread(_opened, path))
    give_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                raise BusyError(
                    f"Others have been at work on the stored pictures for {PATIENCE_SECONDS:g} s. Send it again; if it "
                    f"stays so, look for a process that hangs and has {path} open."
                ) from None
            await asyncio.sleep(_POLL_SECONDS)
        else:
            return


def _opened(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC), "rb")
