"""Pictures on their way out: named, read, and put together in batches."""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from errno import EINVAL
from io import BytesIO, FileIO
from itertools import islice
from typing import IO, Any, Protocol, TypeVar, runtime_checkable

from lookalike_client.errors import PictureFileError
from lookalike_client.models import Image, MetadataValue

T = TypeVar("T")

MAX_PICTURE_BYTES = 128 * 1024 * 1024
"""A larger file is not read, unless the client is told to: services take 25 MB unless they are configured otherwise."""

BATCH_PICTURES = 16
BATCH_BYTES = 32 * 1024 * 1024
"""A batch ends when it has so many pictures, or bytes: it is held in memory, and an interruption loses little."""


PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})
"""Of Pillow's images, those that PNG holds as they are; others are sent as RGB."""


@runtime_checkable
class PilImage(Protocol):
    """A picture of Pillow's."""

    mode: str

    def save(self, fp: Any, format: str, *, exif: Any) -> None:  # noqa: A002, ANN401 - Pillow's names and types
        """Write it into a file."""

    def convert(self, mode: str) -> "PilImage":
        """It in another mode."""

    def getexif(self) -> Any:  # noqa: ANN401 - Pillow's type
        """Its EXIF, which says how it is turned upright."""


class Url(str):
    """Where the service is to fetch a picture, if it does such: `client.index(Url("https://shop.example/hat.jpg"))`."""

    __slots__ = ()


Picture = str | os.PathLike[str] | bytes | IO[bytes] | PilImage | Url
"""A path, the bytes of a file, a file open for reading, an image of Pillow's (sent as PNG), or an Url."""


@dataclass(frozen=True, slots=True)
class NewPicture:
    """A picture to index, and what is to be stored with it. Without a filename, it has that of its file."""

    picture: Picture
    filename: str | None = None
    key: str | None = None
    source: str | None = None
    metadata: Mapping[str, MetadataValue] | None = None

    @property
    def details(self) -> Mapping[str, Any]:
        """What comes with the picture."""
        given = {"key": self.key, "source": self.source, "metadata": self.metadata}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True)
class SentFile:
    """A picture that was read: what is sent. Of an Url, that is `new` alone."""

    filename: str
    content: bytes
    new: NewPicture


def read_picture(new: NewPicture, max_bytes: int = MAX_PICTURE_BYTES) -> SentFile:
    """Name and bytes; of an Url there are none. Raises PictureFileError."""
    picture = new.picture
    try:
        if isinstance(picture, Url):
            return SentFile("", b"", new)
        if isinstance(picture, bytes):
            return SentFile(new.filename or "unnamed", picture, new)
        if isinstance(picture, str | os.PathLike):
            return SentFile(new.filename or name_of(picture), _read_file(picture, max_bytes), new)
        if isinstance(picture, PilImage):
            png, exif = BytesIO(), picture.getexif()
            (picture if picture.mode in PNG_MODES else picture.convert("RGB")).save(png, "PNG", exif=exif)
            return SentFile(new.filename or "unnamed.png", png.getvalue(), new)
        name = getattr(picture, "name", None)  # of a file that has no path, a descriptor's number
        filename = name_of(name) if isinstance(name, str) else "unnamed"
        return SentFile(new.filename or filename, picture.read(), new)
    except (OSError, ValueError) as error:  # ValueError: a closed file, a path with a NUL
        reason = getattr(error, "strerror", None) or error
        raise PictureFileError(f"The file cannot be read: {reason}.") from error


def read_all(pictures: Iterable[NewPicture], max_bytes: int) -> list[SentFile | PictureFileError]:
    """Each picture's name and bytes, or why it cannot be read."""
    read: list[SentFile | PictureFileError] = []
    for new in pictures:
        try:
            read.append(read_picture(new, max_bytes))
        except PictureFileError as error:
            read.append(error)
    return read


def without_exif(metadata: Mapping[str, MetadataValue]) -> dict[str, MetadataValue]:
    """Metadata but for what the service has read from the bytes."""
    return {key: value for key, value in metadata.items() if not key.startswith("exif_")}


def is_stored(new: NewPicture, image: Image, max_bytes: int) -> bool:
    """Whether `image` is what storing the picture would make; what cannot be read is not."""
    if new.metadata not in (None, image.metadata, without_exif(image.metadata)) or new.source not in (
        None,
        image.source,
    ):
        return False
    if isinstance(new.picture, Url) or (
        isinstance(new.picture, str | os.PathLike) and _size(new.picture) != image.size_bytes
    ):
        return False
    try:
        content = read_picture(new, max_bytes).content
    except PictureFileError:
        return False
    return hashlib.sha256(content).hexdigest() == image.sha256


def chunks(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """At most `size` together, taken as they are needed."""
    rest = iter(values)
    while chunk := list(islice(rest, size)):
        yield chunk


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


def name_of(path: str | os.PathLike[str]) -> str:
    """A file's own name; bytes of it that are no text become replacement characters."""
    return os.fsencode(os.path.basename(path)).decode(errors="replace")  # noqa: PTH119 - a Path would lose "." and "/"


def _read_file(path: str | os.PathLike[str], max_bytes: int) -> bytes:
    # Without O_NONBLOCK, a pipe without a writer would be waited for for ever.
    with FileIO(
        os.fspath(path), opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))
    ) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(EINVAL, "It is no regular file")
        if status.st_size > max_bytes:
            raise OSError(EINVAL, f"It has {status.st_size:,} bytes, more than the {max_bytes:,} that are sent at once")
        return file.readall()


def _size(picture: Picture) -> int:
    if isinstance(picture, bytes):
        return len(picture)
    if isinstance(picture, Url):
        return 0
    try:
        return os.stat(picture).st_size if isinstance(picture, str | os.PathLike) else 0  # noqa: PTH116
    except (OSError, ValueError):
        return 0
