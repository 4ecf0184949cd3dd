"""Pictures on their way out: named, read, and put together in batches."""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from errno import EINVAL
from io import BytesIO, FileIO
from typing import IO, Any, Protocol, runtime_checkable

from lookalike_client.errors import PictureFileError

MAX_BYTES = 512 * 1024 * 1024
"""A larger file is not read: no service takes so much at once unless it is configured to."""

BATCH_PICTURES = 16
BATCH_BYTES = 32 * 1024 * 1024
"""A batch ends when it has so many pictures, or bytes: it is held in memory, and an interruption loses little."""


@runtime_checkable
class PilImage(Protocol):
    """A picture of Pillow's."""

    def save(self, fp: Any, format: str) -> None:  # noqa: A002, ANN401 - Pillow's names and types
        """Write it into a file."""


Picture = str | os.PathLike[str] | bytes | IO[bytes] | PilImage
"""A path, the bytes of a file, a file open for reading, or an image of Pillow's (sent as PNG)."""


@dataclass(frozen=True, slots=True)
class NewPicture:
    """A picture to index under a name of its own; without one, it has that of its file."""

    picture: Picture
    filename: str | None = None


@dataclass(frozen=True, slots=True)
class SentFile:
    """A picture that was read: what is sent."""

    filename: str
    content: bytes


def read_picture(new: NewPicture) -> SentFile:
    """Name and bytes. Raises PictureFileError."""
    picture = new.picture
    try:
        if isinstance(picture, bytes):
            return SentFile(new.filename or "unnamed", picture)
        if isinstance(picture, str | os.PathLike):
            return SentFile(new.filename or _name_of(picture), _read_file(picture))
        if isinstance(picture, PilImage):
            png = BytesIO()
            picture.save(png, "PNG")
            return SentFile(new.filename or "unnamed.png", png.getvalue())
        name = getattr(picture, "name", None)  # of a file that has no path, a descriptor's number
        return SentFile(new.filename or (_name_of(name) if isinstance(name, str) else "unnamed"), picture.read())
    except OSError as error:
        raise PictureFileError(f"The file cannot be read: {error.strerror or error}.") from error


def read_all(pictures: Iterable[NewPicture]) -> list[SentFile | PictureFileError]:
    """Each picture's name and bytes, or why it cannot be read."""
    read: list[SentFile | PictureFileError] = []
    for new in pictures:
        try:
            read.append(read_picture(new))
        except PictureFileError as error:
            read.append(error)
    return read


def batches(pictures: Iterable[Picture | NewPicture]) -> Iterator[list[NewPicture]]:
    """At most BATCH_PICTURES together and, unless one alone has more, BATCH_BYTES; taken as they are needed."""
    batch: list[NewPicture] = []
    total = 0
    for picture in pictures:
        new = picture if isinstance(picture, NewPicture) else NewPicture(picture)
        size = _size(new.picture)
        if batch and (len(batch) == BATCH_PICTURES or total + size > BATCH_BYTES):
            yield batch
            batch, total = [], 0
        batch.append(new)
        total += size
    if batch:
        yield batch


def _name_of(path: str | os.PathLike[str]) -> str:
    """A file's own name; bytes of it that are no text become replacement characters."""
    return os.fsencode(os.path.basename(path)).decode(errors="replace")  # noqa: PTH119 - a Path would lose "." and "/"


def _read_file(path: str | os.PathLike[str]) -> bytes:
    # Without O_NONBLOCK, a pipe without a writer would be waited for for ever.
    with FileIO(
        os.fspath(path), opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))
    ) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(EINVAL, "It is no regular file")
        if status.st_size > MAX_BYTES:
            raise OSError(EINVAL, f"It has {status.st_size:,} bytes, more than the {MAX_BYTES:,} that are sent at once")
        return file.readall()


def _size(picture: Picture) -> int:
    if isinstance(picture, bytes):
        return len(picture)
    try:
        return os.stat(picture).st_size if isinstance(picture, str | os.PathLike) else 0  # noqa: PTH116
    except OSError:
        return 0
