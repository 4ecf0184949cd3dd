"""Where a picture of a table stands: what is indexed, what was remembered, and what the far side or the file says."""

import asyncio
import hashlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from unicodedata import normalize

from lookalike_client import AsyncLookalike, Image, Key, NewPicture, Url
from lookalike_client.commands.importing.products import MAX_NAME_BYTES, Patch, Product, TablePicture
from lookalike_client.commands.state import Remembered, State
from lookalike_client.fetching import PictureFetcher
from lookalike_client.models import MetadataValue
from lookalike_client.names import text_of_path, text_of_url
from lookalike_client.pictures import read_picture, without_exif

BROUGHT, FOUND = "brought", "found"
"""Outcomes: whether its bytes came from this table, or were there under its key already."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A picture of the table, what is indexed under its key, and what was remembered of it."""

    picture: TablePicture
    metadata: Patch
    image: Image | None
    memory: Remembered | None
    since: float = inf
    """When the import began, in seconds since 1970: what it has looked at since is not looked at again."""

    @property
    def is_done(self) -> bool:
        """Whether this import has looked at it already, before it was interrupted."""
        return self.is_known and self.memory is not None and (self.memory.looked_at or 0.0) >= self.since

    @property
    def is_known(self) -> bool:
        """Whether what is remembered speaks of this place, and of the bytes that are indexed."""
        return (
            self.image is not None
            and self.memory is not None
            and self.memory.source == self.place
            and self.memory.sha256 == self.image.sha256
        )

    @property
    def patch(self) -> Patch:
        """What of the metadata is otherwise in the index: nothing for a picture that is not there."""
        if self.image is None:
            return {}
        there = self.image.metadata
        return {key: value for key, value in self.metadata.items() if value != there.get(key)}

    @property
    def whole_metadata(self) -> Mapping[str, MetadataValue]:
        """The metadata that other bytes are to have: that of the row, beside what others have given the picture."""
        metadata = {} if self.image is None else self.image.metadata
        return {k: v for k, v in {**without_exif(metadata), **self.metadata}.items() if v is not None}

    @property
    def place(self) -> str:
        """Where it comes from, as text."""
        return self.picture.place if self.picture.is_url else text_of_path(self.picture.place)

    @property
    def source(self) -> str | None:
        """Where it comes from, as the service keeps it; None where it is too long for that."""
        place = text_of_url(self.place) if self.picture.is_url else self.place
        source = normalize("NFC", place)
        return source if len(source.encode(errors="replace")) <= MAX_NAME_BYTES else None

    def remembered(self, **facts: str | int | None) -> Remembered:
        """What to remember of it once its bytes are indexed as they are now."""
        brought = self.image is None or (self.memory is not None and self.memory.outcome == BROUGHT)
        outcome = BROUGHT if brought else FOUND
        memory = Remembered(name=self.picture.key, source=self.place, outcome=outcome, looked_at=time.time())
        return replace(memory, **facts)  # type: ignore[arg-type]


async def standings_of(
    client: AsyncLookalike | None, state: State, scope: str, products: Iterable[Product], since: float = inf
) -> list[Standing]:
    """How the pictures of products without a problem stand; without a client, where there is no index yet."""
    pictures = [
        (picture, product.metadata) for product in products if product.problem is None for picture in product.pictures
    ]
    images: list[Image | None] = [None] * len(pictures)
    if client is not None:
        images = await client.lookup(Key(picture.key) for picture, _ in pictures)
    memories = state.get(scope, (picture.key for picture, _ in pictures))
    return [
        Standing(picture, metadata, image, memories.get(picture.key), since)
        for (picture, metadata), image in zip(pictures, images, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Looked:
    """A picture that was looked at: to be sent (`new`), or as it is indexed; and what to remember of it then."""

    standing: Standing
    remembered: Remembered
    new: NewPicture | None = None


async def look_at(standing: Standing, fetcher: PictureFetcher | None) -> Looked:
    """Read or fetch a picture, unless nothing has changed. Raises PictureFileError, FetchError.

    Without a fetcher, the service fetches what it has not from that URL.
    """
    picture = standing.picture
    if standing.is_done and standing.memory is not None:
        return Looked(standing, standing.memory)
    if not picture.is_url:
        return await asyncio.to_thread(_look_at_file, standing)
    if fetcher is not None:
        return await _look_at_url(standing, fetcher)
    if standing.image is not None and standing.image.source == standing.source:
        return Looked(standing, standing.remembered(sha256=standing.image.sha256))
    new = NewPicture(Url(picture.place), key=picture.key, source=standing.source, metadata=standing.whole_metadata)
    return Looked(standing, standing.remembered(outcome=BROUGHT), new)


async def _look_at_url(standing: Standing, fetcher: PictureFetcher) -> Looked:
    memory = standing.memory if standing.is_known else None
    fetched = await fetcher.fetch(
        standing.picture.place,
        etag=None if memory is None else memory.etag,
        last_modified=None if memory is None else memory.last_modified,
    )
    if fetched is None:
        assert memory is not None  # noqa: S101 - asked so only if something is remembered
        return Looked(standing, replace(memory, looked_at=time.time()))
    facts = {"etag": fetched.etag, "last_modified": fetched.last_modified}
    return _compared(standing, fetched.content, fetched.filename, facts)


def _look_at_file(standing: Standing) -> Looked:
    """Read a file, unless its size and time are those that are remembered. Raises PictureFileError."""
    path = Path(standing.picture.place)
    size, mtime_ns = None, None
    try:
        status = path.stat()
    except OSError:
        pass  # reading it tells why
    else:
        size, mtime_ns = status.st_size, status.st_mtime_ns
        memory = standing.memory
        if standing.is_known and memory is not None and (memory.size, memory.mtime_ns) == (size, mtime_ns):
            return Looked(standing, memory)
    file = read_picture(NewPicture(path))
    return _compared(standing, file.content, file.filename, {"size": size, "mtime_ns": mtime_ns})


def _compared(
    standing: Standing, content: bytes, filename: str | None, facts: Mapping[str, str | int | None]
) -> Looked:
    sha256 = hashlib.sha256(content).hexdigest()
    if standing.image is not None and standing.image.sha256 == sha256:
        return Looked(standing, standing.remembered(sha256=sha256, **facts))
    new = NewPicture(
        content, filename, key=standing.picture.key, source=standing.source, metadata=standing.whole_metadata
    )
    return Looked(standing, standing.remembered(sha256=sha256, **{**facts, "outcome": BROUGHT}), new)
