"""Originals and thumbnails as files."""

import asyncio
import contextlib
import logging
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from uuid import UUID, uuid4

from typing_extensions import override

from adapters.durability import full_disk_named, sync_folder
from adapters.stores.data_format import FORMAT, FORMAT_FILE, check_format
from adapters.stores.marks import Marks, modified_at
from domain.errors import ConfigurationError, ImageNotFoundError, StorageFullError
from domain.ports.image_store import FileSizes, ImageStore, OpenedOriginal
from domain.ports.thumbnail_renderer import THUMBNAIL_SIDES

log = logging.getLogger(__name__)

_ABANDONED_AFTER = timedelta(hours=1)
"""The age at which an unfinished file, which takes seconds to write, is one that a killed process has left."""

_INCOMING = "incoming"
_FOLDERS = tuple(f"{byte:02x}" for byte in range(256))
_SHA256 = re.compile("[0-9a-f]{64}")


class FileSystemImageStore(ImageStore):
    """Files under `root`, by their SHA-256 and in 256 folders each by its first two digits.

        originals/3f/3f0a...         the bytes as uploaded
        thumbnails/384/3f/3f0a...    the small renditions, by their longer side
        doomed/3f0a.../              marks (see marks.py)
        index/6f0b...                the id of the index that the files belong to
        incoming/                    what is being made or removed; one for files in each folder of theirs

    A file is written under `incoming/`, made durable, and only then renamed to its place, so that a reader sees all of
    it or nothing. Originals and thumbnails have such a folder each: with one for all, many writers take twice as long.

    The claim of the index is a directory, as marks are, since renaming one to a name that is taken is exclusive on
    every file system.

    At least `reserve_bytes` of the file system stay free: an index that shares it needs room to work.

    Beside `root`, the file `format` has the version of the data directory.
    """

    def __init__(self, root: Path, *, reserve_bytes: int) -> None:
        self._root = root
        self._originals = root / "originals"
        self._thumbnails = {side: root / "thumbnails" / str(side) for side in THUMBNAIL_SIDES}
        self._index = root / "index"
        self._incoming = root / _INCOMING
        self._marks = Marks(root / "doomed", incoming=self._incoming)
        self._format = root.parent / FORMAT_FILE
        self._reserve_bytes = reserve_bytes

    @override
    async def open(self) -> None:
        await asyncio.to_thread(self._open)

    @override
    async def claim(self, index: UUID) -> None:
        await asyncio.to_thread(self._claim, index)

    @override
    async def require_room(self, size: int) -> None:
        await asyncio.to_thread(self._refuse_below_reserve, size)

    @override
    async def put(
        self,
        sha256: str,
        *,
        original: bytes | None = None,
        thumbnails: Mapping[int, bytes] = MappingProxyType({}),
        replace: bool = False,
    ) -> None:
        contents = {_place(self._thumbnails[side], sha256): content for side, content in thumbnails.items()}
        if original is not None:
            contents[_place(self._originals, sha256)] = original
        await asyncio.to_thread(self._put, contents, replace=replace)

    @override
    async def original(self, sha256: str) -> bytes:
        return await asyncio.to_thread(_read, self._originals, sha256)

    @contextlib.asynccontextmanager
    @override
    async def opened_original(self, sha256: str) -> AsyncIterator["_OpenedFile"]:
        file = await asyncio.to_thread(_OpenedFile, self._originals, sha256)
        try:
            yield file
        finally:
            await asyncio.to_thread(file.close)

    @override
    async def thumbnail(self, sha256: str, side: int) -> bytes:
        return await asyncio.to_thread(_read, self._thumbnails[side], sha256)

    @override
    async def delete(self, sha256: str) -> None:
        await asyncio.to_thread(self._delete, sha256, [*self._thumbnails.values(), self._originals])

    @override
    async def delete_thumbnails(self, sha256: str) -> None:
        await asyncio.to_thread(self._delete, sha256, [*self._thumbnails.values()])

    @override
    async def stored(self) -> AsyncIterator[Mapping[str, datetime]]:
        for folder in _FOLDERS:
            yield await asyncio.to_thread(self._stored, folder)

    @override
    async def sizes(self, sha256s: Collection[str]) -> Mapping[str, FileSizes]:
        return await asyncio.to_thread(lambda: {sha256: self._sizes(sha256) for sha256 in sha256s})

    @override
    async def mark(self, sha256: str) -> bool:
        return await asyncio.to_thread(self._marks.make, sha256)

    @override
    async def remark(self, sha256: str, marked_at: datetime) -> bool:
        return await asyncio.to_thread(self._marks.take_over, sha256, marked_at)

    @override
    async def unmark(self, sha256: str) -> None:
        await asyncio.to_thread(self._marks.remove, sha256)

    @override
    async def marked(self, sha256s: Collection[str]) -> Collection[str]:
        return await asyncio.to_thread(self._marks.present, sha256s)

    @override
    async def marks(self, *, older_than: timedelta) -> Mapping[str, datetime]:
        return await asyncio.to_thread(self._marked_before, older_than)

    def _open(self) -> None:
        try:
            has_format = check_format(self._root)
            made = [folder for folder in (self._root, *self._root.parents) if not folder.exists()]
            for folder in (self._marks.folder, self._incoming):
                folder.mkdir(parents=True, exist_ok=True)
            latest = self._now() - _ABANDONED_AFTER
            _remove_abandoned(self._incoming, latest)
            for folder in (*self._thumbnails.values(), self._originals):
                # All of them now, so that `put` has no folder to make, and to make durable.
                for name in (_INCOMING, *_FOLDERS):
                    (folder / name).mkdir(parents=True, exist_ok=True)
                sync_folder(folder)
                _remove_abandoned(folder / _INCOMING, latest)
            if not has_format:
                self._write_format()
            for folder in (self._root / "thumbnails", self._root, *(folder.parent for folder in made)):
                sync_folder(folder)
        except OSError as error:
            raise ConfigurationError(
                f"Pictures cannot be stored in {self._root}: {error.strerror or error}. "
                f"Name a directory that this process, of uid {os.geteuid()}, may write to."
            ) from error

    def _write_format(self) -> None:
        """Several processes may do so at once: each replaces the file by the same one."""
        try:
            with _draft(self._format.parent, f"{FORMAT}\n".encode()) as draft:
                draft.replace(self._format)
            sync_folder(self._format.parent)
        except OSError as error:
            # A full disk may still be read, and deleted from; and it may be that only `root` is a volume to write to.
            log.warning("%s cannot be written (%s): it should say %d", self._format, error.strerror, FORMAT)

    def _claim(self, index: UUID) -> None:
        try:
            if not self._index.exists():
                claim = self._incoming / uuid4().hex
                claim.mkdir()
                (claim / str(index)).touch()
                with contextlib.suppress(OSError):  # another process was faster: the directory is there, and not empty
                    claim.rename(self._index)
                sync_folder(self._root)
            [owner] = [path.name for path in self._index.iterdir()]
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{self._index} is damaged, or cannot be written: {error}.") from error
        if owner != str(index):
            raise ConfigurationError(
                f"The pictures in {self._root} belong to another index ({owner}) than this one ({index}). Use them "
                "together, or keep the pictures of this index in another directory. If the other index is lost for "
                f"good, remove {self._index} to give them to this one."
            )

    def _put(self, contents: Mapping[Path, bytes], *, replace: bool) -> None:
        missing = {place: each for place, each in contents.items() if replace or _size(place) != len(each)}
        if missing:
            self._refuse_below_reserve(sum(map(len, missing.values())))
        with contextlib.ExitStack() as drafts, full_disk_named(self._root):
            written = {drafts.enter_context(_draft(_incoming(place), each)): place for place, each in missing.items()}
            for draft, place in written.items():
                draft.replace(place)
            for place in contents:  # also of a file that another writer has only just renamed
                sync_folder(place.parent)

    def _delete(self, sha256: str, folders: Sequence[Path]) -> None:
        places = [place for folder in folders if (place := _place(folder, sha256)).exists()]
        for place in places:
            place.unlink(missing_ok=True)
        for place in places:
            sync_folder(place.parent)

    def _stored(self, folder: str) -> Mapping[str, datetime]:
        latest: dict[str, datetime] = {}
        for kind in (self._originals, *self._thumbnails.values()):
            for path in filter(_is_ours, (kind / folder).iterdir()):
                with contextlib.suppress(FileNotFoundError):
                    at = _written_at(path)
                    latest[path.name] = max(at, latest.get(path.name, at))
        return latest

    def _sizes(self, sha256: str) -> FileSizes:
        sizes = {side: _size(_place(folder, sha256)) for side, folder in self._thumbnails.items()}
        return FileSizes(
            original=_size(_place(self._originals, sha256)),
            thumbnails={side: size for side, size in sizes.items() if size is not None},
        )

    def _marked_before(self, age: timedelta) -> Mapping[str, datetime]:
        now = self._now()
        # Those of a time to come were made before the clock was set back.
        return {
            name: at for name, at in self._marks.times().items() if _SHA256.fullmatch(name) and abs(now - at) >= age
        }

    def _now(self) -> datetime:
        """By the file system's own clock, which another machine may keep."""
        with tempfile.NamedTemporaryFile(dir=self._incoming) as file:
            return _written_at(Path(file.name))

    def _refuse_below_reserve(self, needed: int) -> None:
        free = shutil.disk_usage(self._root).free
        if free - needed < self._reserve_bytes:
            raise StorageFullError(
                f"{needed:,} bytes do not fit in {self._root}: {free:,} are free, and {self._reserve_bytes:,} of them "
                "are kept in reserve. Make room, or delete images."
            )


class _OpenedFile(OpenedOriginal):
    """A file that is being read."""

    def __init__(self, folder: Path, sha256: str) -> None:
        with _missing_named(sha256):
            self._file = _place(folder, sha256).open("rb")
        self.size = os.fstat(self._file.fileno()).st_size

    @override
    async def read(self, most: int) -> bytes:
        return await asyncio.to_thread(self._file.read, most)

    def close(self) -> None:
        """Stop reading; waits for a read that is under way."""
        self._file.close()


@contextlib.contextmanager
def _draft(folder: Path, content: bytes) -> Iterator[Path]:
    """A file of these bytes, durable, not yet in its place; gone at the end unless renamed."""
    descriptor, name = tempfile.mkstemp(dir=folder)
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _remove_abandoned(incoming: Path, latest: datetime) -> None:
    for path in incoming.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if _written_at(path) <= latest:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _is_ours(path: Path) -> bool:
    return _SHA256.fullmatch(path.name) is not None


def _place(folder: Path, sha256: str) -> Path:
    return folder / sha256[:2] / sha256


def _incoming(place: Path) -> Path:
    return place.parent.parent / _INCOMING


def _written_at(path: Path) -> datetime:
    return modified_at(path.stat())


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _read(folder: Path, sha256: str) -> bytes:
    with _missing_named(sha256):
        return _place(folder, sha256).read_bytes()


@contextlib.contextmanager
def _missing_named(sha256: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise ImageNotFoundError([sha256]) from None
