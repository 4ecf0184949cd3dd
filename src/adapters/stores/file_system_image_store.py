"""Originals and thumbnails as files."""

import asyncio
import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from uuid import UUID

from typing_extensions import override

from adapters.durability import FULL, sync_folder
from adapters.stores.change_notes import ChangeNotes
from adapters.stores.data_format import FORMAT, FORMAT_FILE, check_format
from domain.errors import ConfigurationError, ImageNotFoundError, StorageFullError
from domain.images import ImageId
from domain.ports.image_store import FileSizes, ImageStore, OpenedOriginal

log = logging.getLogger(__name__)

_INCOMING = "incoming"


class FileSystemImageStore(ImageStore):
    """`originals/` and `thumbnails/` under `root`, in 256 folders each by the first two hex digits of the id.

    A file is written under `incoming/`, made durable, and only then renamed to its place, so that a reader sees all of
    it or nothing. `changing/` has notes of the images that are being changed. At least `reserve_bytes` of the file
    system stay free: an index that shares it needs room to work. A change counts as cut short when it began
    `settle_after` seconds ago, at the earliest.

    Beside `root`, the file `format` has the version of the data directory. Without that file the version is 1; a newer
    one than `FORMAT` is refused.
    """

    def __init__(self, root: Path, *, reserve_bytes: int, settle_after: float = 0.0) -> None:
        self._root = root
        self._originals = root / "originals"
        self._thumbnails = root / "thumbnails"
        self._format = root.parent / FORMAT_FILE
        self._notes = ChangeNotes(root / "changing", settle_after=settle_after)
        self._reserve_bytes = reserve_bytes
        # Held while names change, which takes microseconds: two writers of one image, or a writer and a deleter,
        # never leave one file of the two.
        self._names = threading.Lock()

    @override
    async def open(self) -> None:
        await asyncio.to_thread(self._open)

    @override
    async def require_room(self, size: int) -> None:
        await asyncio.to_thread(self._refuse_below_reserve, size)

    @override
    async def put(self, id_: ImageId, *, original: bytes, thumbnail: bytes) -> None:
        await asyncio.to_thread(self._put, id_, {self._thumbnails: thumbnail, self._originals: original})

    @override
    async def put_thumbnail(self, id_: ImageId, thumbnail: bytes) -> None:
        await asyncio.to_thread(self._put, id_, {self._thumbnails: thumbnail})

    @override
    async def original(self, id_: ImageId) -> bytes:
        return await asyncio.to_thread(_read, self._originals, id_)

    @contextlib.asynccontextmanager
    @override
    async def opened_original(self, id_: ImageId) -> AsyncIterator["_OpenedFile"]:
        file = await asyncio.to_thread(_OpenedFile, self._originals, id_)
        try:
            yield file
        finally:
            await asyncio.to_thread(file.close)

    @override
    async def thumbnail(self, id_: ImageId) -> bytes:
        return await asyncio.to_thread(_read, self._thumbnails, id_)

    @override
    async def delete(self, id_: ImageId) -> None:
        await asyncio.to_thread(self._delete, id_)

    @override
    async def ids(self) -> AsyncIterator[Sequence[ImageId]]:
        for byte in range(256):
            yield await asyncio.to_thread(self._ids, f"{byte:02x}")

    @override
    async def sizes(self, ids: Collection[ImageId]) -> Mapping[ImageId, FileSizes]:
        return await asyncio.to_thread(self._sizes, ids)

    @override
    def changing(self, ids: Collection[ImageId]) -> AbstractAsyncContextManager[None]:
        return self._notes.changing(ids)

    @override
    def paused(self) -> AbstractAsyncContextManager[Sequence[ImageId]]:
        return self._notes.paused()

    @override
    async def noted(self) -> Collection[ImageId]:
        return await self._notes.noted()

    @override
    async def forget_interrupted(self) -> None:
        await self._notes.forget_interrupted()

    def _open(self) -> None:
        try:
            has_format = check_format(self._root.parent)
            made = [folder for folder in (self._root, *self._root.parents) if not folder.exists()]
            for folder in (self._originals, self._thumbnails):
                # All of them now, so that `put` has no folder to make, and to make durable.
                for name in (_INCOMING, *(f"{byte:02x}" for byte in range(256))):
                    (folder / name).mkdir(parents=True, exist_ok=True)
                sync_folder(folder)
                _remove_abandoned(folder / _INCOMING)
                with tempfile.TemporaryFile(dir=folder / _INCOMING):
                    pass
            self._notes.open()
            if not has_format:
                self._write_format()
            for folder in (self._root, *(folder.parent for folder in made)):
                sync_folder(folder)
        except OSError as error:
            raise ConfigurationError(
                f"Pictures cannot be stored in {self._root}: {error.strerror or error}. "
                f"Name a directory that this process, of uid {os.geteuid()}, may write to."
            ) from error

    def _write_format(self) -> None:
        """Several processes may do so at once: each replaces the file by the same one."""
        try:
            with _Incoming(self._format.parent, f"{FORMAT}\n".encode()) as file:
                file.path.replace(self._format)
            sync_folder(self._format.parent)
        except OSError as error:
            # A full disk may still be read, and deleted from; and it may be that only `root` is a volume to write to.
            log.warning("%s cannot be written (%s): without it the format is %d", self._format, error.strerror, FORMAT)

    def _put(self, id_: ImageId, contents: Mapping[Path, bytes]) -> None:
        """Store contents by the folder that each belongs to, in this order."""
        self._refuse_below_reserve(sum(map(len, contents.values())))
        places = [_place(folder, id_) for folder in contents]
        with contextlib.ExitStack() as cleanup, _full_disk_named(self._root):
            incoming = [
                cleanup.enter_context(_Incoming(folder / _INCOMING, content)) for folder, content in contents.items()
            ]
            with self._names:
                self._reveal(incoming, places)
            for place in places:
                sync_folder(place.parent)

    @staticmethod
    def _reveal(incoming: "list[_Incoming]", places: list[Path]) -> None:
        """Rename all to their places, or where that fails leave none that was not there before."""
        new: list[Path] = []
        try:
            for file, place in zip(incoming, places, strict=True):
                if not place.exists():
                    new.append(place)
                file.path.replace(place)
        except OSError:
            for place in new:
                place.unlink(missing_ok=True)
            raise

    def _delete(self, id_: ImageId) -> None:
        places = [_place(self._originals, id_), _place(self._thumbnails, id_)]
        with self._names:
            for place in places:
                place.unlink(missing_ok=True)
        for place in places:
            sync_folder(place.parent)

    def _ids(self, folder: str) -> Sequence[ImageId]:
        names = {name for kind in (self._originals, self._thumbnails) for name in os.listdir(kind / folder)}  # noqa: PTH208
        return sorted(id_ for name in names if (id_ := _id(name)) is not None)

    def _sizes(self, ids: Collection[ImageId]) -> Mapping[ImageId, FileSizes]:
        return {
            id_: FileSizes(original=_size(_place(self._originals, id_)), thumbnail=_size(_place(self._thumbnails, id_)))
            for id_ in ids
        }

    def _refuse_below_reserve(self, needed: int) -> None:
        free = shutil.disk_usage(self._root).free
        if free - needed < self._reserve_bytes:
            raise StorageFullError(
                f"{needed:,} bytes do not fit in {self._root}: {free:,} are free, and {self._reserve_bytes:,} of them "
                "are kept in reserve. Make room, or delete images."
            )


class _OpenedFile(OpenedOriginal):
    """A file of an image."""

    def __init__(self, folder: Path, id_: ImageId) -> None:
        with _missing_named(id_):
            self._file = _place(folder, id_).open("rb")
        self.size = os.fstat(self._file.fileno()).st_size

    @override
    async def read(self, most: int) -> bytes:
        return await asyncio.to_thread(self._file.read, most)

    def close(self) -> None:
        """Stop reading; waits for a read that is under way."""
        self._file.close()


class _Incoming(contextlib.AbstractContextManager["_Incoming"]):
    """Bytes in a file of their own, durable, not yet in their place; gone at the end unless renamed.

    The file is locked while its writer lives, which tells it from what a killed process has left: another process
    that opens the same store must not remove it.
    """

    def __init__(self, folder: Path, content: bytes) -> None:
        self._make_locked(folder)
        try:
            while not self.path.exists():  # removed by another process between its making and its lock
                self._file.close()
                self._make_locked(folder)
            view = memoryview(content)
            while view:
                view = view[self._file.write(view) :]
            os.fsync(self._file.fileno())
        except BaseException:
            self.__exit__()
            raise

    def _make_locked(self, folder: Path) -> None:
        descriptor, name = tempfile.mkstemp(dir=folder)
        self.path = Path(name)
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        self.path.unlink(missing_ok=True)
        self._file.close()


def _remove_abandoned(incoming: Path) -> None:
    for path in incoming.iterdir():
        with contextlib.suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _place(folder: Path, id_: ImageId) -> Path:
    return folder / id_.hex[:2] / str(id_)


def _id(name: str) -> ImageId | None:
    """None for a name that this store has not given."""
    try:
        id_ = UUID(name)
    except ValueError:
        return None
    return id_ if str(id_) == name else None


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _read(folder: Path, id_: ImageId) -> bytes:
    with _missing_named(id_):
        return _place(folder, id_).read_bytes()


@contextlib.contextmanager
def _missing_named(id_: ImageId) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise ImageNotFoundError([id_]) from None


@contextlib.contextmanager
def _full_disk_named(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise StorageFullError(f"No room is left in {root}: {error.strerror}. Make room, or delete images.") from error
