"""Notes on disk of the images that are being changed: those that are left tell what a killed process was doing."""

import asyncio
import errno
import fcntl
import os
import time
import weakref
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO
from uuid import UUID, uuid4

from adapters.durability import FULL, sync_folder
from domain.callers import raise_if_over
from domain.errors import BusyError, ConfigurationError, UnavailableError
from domain.images import ImageId

PATIENCE_SECONDS = 60.0
"""Longer than any change takes, or any look at what was cut short."""

_POLL_SECONDS = 0.01
_NOTE = ".note"
_BITS_BEYOND_A_PLACE = 128 - 62
"""Of an id as a number; what is above them is a place in a file. Two images share one by a chance of 1 in 10^17."""
_NO_IMAGES_PLACE = 1 << 62
"""Beyond the places of all images: where it can be locked, those can."""

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
"""The error numbers of a file system, often one of a network, that offers no locks."""


class ChangeNotes:
    """Notes in `folder`, shared by any number of processes.

    A note is an empty file that is named by the image, so that a disk without room for data still takes it. Locks of
    the operating system, which end with their holder, tell whether a change is under way: each change holds `changes`
    with others, and a pause alone. Changes pass through the `gate`, which a pause closes first. Otherwise changes that
    overlap would keep it waiting for ever.

    Each change locks one byte of `images` for every image, far beyond the file's end, at the place that the id names.
    So one process never deletes the files that another is about to acknowledge. These locks belong to the process: they
    keep only others away, and all end when it closes the file by any descriptor, so one stays open.

    Notes younger than `settle_after` seconds are left alone: a server may still be about to do what the dead process
    asked of it.
    """

    def __init__(self, folder: Path, *, settle_after: float) -> None:
        self._folder = folder
        self._settle_after = settle_after
        self._interrupted: Sequence[Path] = ()
        self._gate = folder / "gate"
        self._changes = folder / "changes"
        self._images = folder / "images"
        self._images_descriptor: int | None = None

    def open(self) -> None:
        """Make the folder. Raises OSError, and ConfigurationError where files cannot be locked."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for lock in (self._gate, self._changes):
            lock.touch()
        if self._images_descriptor is None:
            self._images_descriptor = os.open(self._images, os.O_RDWR | os.O_CREAT, 0o666)
            weakref.finalize(self, os.close, self._images_descriptor)
        with _opened(self._gate) as gate, _errors_named(self._folder), suppress(BlockingIOError):
            fcntl.flock(gate, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.lockf(self._images_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _NO_IMAGES_PLACE)
            fcntl.lockf(self._images_descriptor, fcntl.LOCK_UN, 1, _NO_IMAGES_PLACE)

    @asynccontextmanager
    async def changing(self, ids: Collection[ImageId]) -> AsyncIterator[None]:
        """See ImageStore."""
        with ExitStack() as locks:
            with _errors_named(self._folder):
                gate, changes = await self._opened_locks(locks)
                await _lock(gate, fcntl.LOCK_SH)
                # This comes at once, since a pause that held `changes` would hold the gate too. Changes that lingered
                # in the gate could overlap there, and keep a pause waiting for ever.
                await _lock(changes, fcntl.LOCK_SH)
                gate.close()
                await self._lock_images(ids, locks)
                notes = await asyncio.to_thread(self._write, ids)
            yield
            with _errors_named(self._folder):
                await asyncio.to_thread(_remove, notes)

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[Sequence[ImageId]]:
        """See ImageStore."""
        with ExitStack() as locks:
            with _errors_named(self._folder):
                for file in await self._opened_locks(locks):
                    await _lock(file, fcntl.LOCK_EX)
                # No change is under way, so every note is of one that was cut short.
                interrupted = await asyncio.to_thread(self._old_notes)
            self._interrupted = list(interrupted)
            yield sorted(set(interrupted.values()))

    async def forget_interrupted(self) -> None:
        """See ImageStore."""
        with _errors_named(self._folder):
            await asyncio.to_thread(_remove, self._interrupted)

    async def noted(self) -> Collection[ImageId]:
        """See ImageStore."""
        with _errors_named(self._folder):
            return set((await asyncio.to_thread(self._notes)).values())

    async def _opened_locks(self, until: ExitStack) -> Sequence[BinaryIO]:
        """The files of the gate and of the changes, opened together: a free thread may be long in coming."""
        files = await asyncio.to_thread(lambda: [_opened(path) for path in (self._gate, self._changes)])
        return [until.enter_context(file) for file in files]

    async def _lock_images(self, ids: Collection[ImageId], until: ExitStack) -> None:
        """Keep other processes from changing them. All lock in one order, so that no two wait for each other."""
        descriptor = self._images_descriptor
        assert descriptor is not None, "the notes are opened first"  # noqa: S101
        for place in sorted({id_.int >> _BITS_BEYOND_A_PLACE for id_ in ids}):
            lock = partial(fcntl.lockf, descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            await _lock_by(lock, self._images)
            until.callback(_unlock, descriptor, place)

    def _notes(self) -> Mapping[Path, ImageId]:
        """All notes there are; files that others named are none."""
        images = {note: _image(note) for note in self._folder.glob(f"*{_NOTE}")}
        return {note: id_ for note, id_ in images.items() if id_ is not None}

    def _old_notes(self) -> Mapping[Path, ImageId]:
        latest = time.time() - self._settle_after
        return {note: id_ for note, id_ in self._notes().items() if note.stat().st_mtime <= latest}

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


async def _lock(file: BinaryIO, kind: int) -> None:
    """Lock a file until it is closed. Raises BusyError, DeadlinePassedError."""
    await _lock_by(partial(fcntl.flock, file, kind | fcntl.LOCK_NB), Path(file.name))


async def _lock_by(lock: Callable[[], None], path: Path) -> None:
    """Lock what `lock` does, in the file at `path`. It polls: a waiting thread could be the one that the holder needs.

    Raises BusyError, and DeadlinePassedError as soon as the caller waits no more.
    """
    give_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        raise_if_over()
        try:
            lock()
        except BlockingIOError:
            if time.monotonic() > give_up:
                raise BusyError(
                    f"Others have been at work on the stored pictures for {PATIENCE_SECONDS:g} s. Send it again; if it "
                    f"stays so, look for a process that hangs and has {path} open."
                ) from None
            await asyncio.sleep(_POLL_SECONDS)
        else:
            return


def _unlock(descriptor: int, place: int) -> None:
    with suppress(OSError):  # of a network, say: the change is complete, and the lock ends with this process
        fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, place)


def _opened(path: Path) -> BinaryIO:
    return path.open("rb", buffering=0)


def _image(note: Path) -> ImageId | None:
    """None for a name that no change has given."""
    try:
        return UUID(note.name.partition(".")[0])
    except ValueError:
        return None


@contextmanager
def _errors_named(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise ConfigurationError(
                f"Files in {folder} cannot be locked: {error.strerror}. Keep the pictures on a file system that offers "
                "flock and lockf, as local ones do and NFS does from version 4 on."
            ) from error
        raise UnavailableError(
            f"The notes of changes in {folder} cannot be kept: {error.strerror or error}. Look after that disk."
        ) from error
