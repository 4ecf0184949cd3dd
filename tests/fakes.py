"""Hand-written stand-ins for the ports. What they do is noted, in order, in a journal that they may share."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from uuid import UUID

import numpy as np

from adapters.repositories.in_memory import InMemorySimilarityRepository
from domain.callers import raise_if_over
from domain.embeddings import Embeddings, EmbeddingSpace, normalised
from domain.errors import (
    ConfigurationError,
    EncoderUnavailableError,
    FetchFailedError,
    FetchingDisabledError,
    FetchRefusedError,
    ImageNotFoundError,
    ImageUnreadableError,
    LookalikeError,
    StorageFullError,
    UnsupportedImageError,
)
from domain.geometry import BoundingBox
from domain.images import DetectedObject, ImageId, ImageRecord, IndexedImage, sha256_of
from domain.metadata import Metadata
from domain.models import ModelDescription
from domain.ports.image_decoder import DecodedImage, ImageDecoder
from domain.ports.image_encoder import ImageEncoder
from domain.ports.image_store import FileSizes, ImageStore, OpenedOriginal
from domain.ports.object_detector import ObjectDetector
from domain.ports.picture_source import PictureSource
from domain.ports.thumbnail_renderer import ThumbnailRenderer
from domain.raster import RasterImage
from domain.scores import LikenessScale, LikenessScales
from tests.builders import a_space, an_appearance

Journal = list[str]

UNREADABLE = b"unreadable"
"""The fake decoder fails at contents that begin so."""


PLAIN = b"plain"
"""The fake decoder finds little to see in contents that begin so."""


class FakeDecoder(ImageDecoder):
    """Any bytes are a picture of 32 x 24 pixels that follow from them; empty and UNREADABLE ones fail.

    What follows a `#` changes the bytes alone; PLAIN pictures are of low detail.
    """

    found_exif: Metadata = MappingProxyType({})

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    @asynccontextmanager
    async def decoded(
        self, content: bytes, *, sufficient_side: int, region: BoundingBox | None = None
    ) -> AsyncIterator[DecodedImage]:
        raise_if_over()
        await asyncio.sleep(0)
        if not content:
            raise UnsupportedImageError("no bytes")
        if content.startswith(UNREADABLE):
            raise ImageUnreadableError("cannot be decoded")
        shown, _, _ = content.partition(b"#")
        seed = int(sha256_of(shown)[:8], 16)
        pixels = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        yield DecodedImage(
            raster=RasterImage(pixels=pixels, width=32, height=24),
            media_type="image/png",
            appearance=an_appearance(seed, low_detail=shown.startswith(PLAIN)),
        )

    async def exif(self, content: bytes) -> Metadata:
        return self.found_exif


class FakePictureSource(PictureSource):
    """Has pictures at URLs."""

    def __init__(self, pictures: Mapping[str, bytes]) -> None:
        self.pictures = dict(pictures)
        self.asked: list[str] = []
        self.is_enabled = True

    def require_enabled(self) -> None:
        if not self.is_enabled:
            raise FetchingDisabledError

    async def fetch(self, url: str) -> bytes:
        self.require_enabled()
        self.asked.append(url)
        await asyncio.sleep(0)
        if not url.startswith("http"):
            raise FetchRefusedError(f"{url} is not fetched.")
        if url not in self.pictures:
            raise FetchFailedError(f"Nothing is at {url}.", retryable=False)
        return self.pictures[url]

    async def close(self) -> None: ...


class FakeEncoder(ImageEncoder):
    """The same pixels have the same direction. `failure`, if set, is raised instead."""

    likeness = LikenessScales(images=LikenessScale(median=0.0, rare=0.4), objects=LikenessScale(median=0.1, rare=0.5))

    def __init__(self, *, space: EmbeddingSpace | None = None, journal: Journal | None = None) -> None:
        self._space = space or a_space()
        self._open = False
        self.journal = [] if journal is None else journal
        self.failure: LookalikeError | None = None

    async def open(self) -> None:
        self._open = True
        self.journal.append("encoder open")

    async def close(self) -> None:
        self._open = False
        self.journal.append("encoder close")

    @property
    def space(self) -> EmbeddingSpace:
        return self._space

    @property
    def description(self) -> ModelDescription:
        if not self._open:
            raise EncoderUnavailableError("the encoder is not open")
        return ModelDescription(
            model=self._space.model,
            weights_digest=self._space.weights_digest,
            runtime="openvino",
            device="cpu",
            precision="f32",
            input_width=16,
            input_height=16,
        )

    async def encode(self, images: Sequence[RasterImage]) -> Embeddings:
        raise_if_over()
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        self.journal.append(f"encode {len(images)}")
        directions = [
            np.random.default_rng(int(sha256_of(np.ascontiguousarray(image.pixels).tobytes())[:8], 16))
            .standard_normal(self._space.dimension)
            .tolist()
            for image in images
        ]
        return normalised(np.array(directions).reshape(len(images), self._space.dimension))


class FakeDetector(ObjectDetector):
    """Finds `found` in every picture."""

    def __init__(self, *, journal: Journal | None = None) -> None:
        self.found: Sequence[DetectedObject] = ()
        self.journal = [] if journal is None else journal

    async def open(self) -> None:
        self.journal.append("detector open")

    async def close(self) -> None:
        self.journal.append("detector close")

    @property
    def description(self) -> ModelDescription:
        return ModelDescription(
            model="test-detector",
            weights_digest="2a8d8a89" * 8,
            runtime="openvino",
            device="cpu",
            precision="f32",
            input_width=16,
            input_height=16,
        )

    @property
    def labels(self) -> Sequence[str]:
        return sorted({found.label for found in self.found})

    async def detect(
        self,
        images: Sequence[RasterImage],
        *,
        score_threshold: float,
        labels: Collection[str] | None = None,
        max_detections: int = 100,
    ) -> Sequence[Sequence[DetectedObject]]:
        raise_if_over()
        await asyncio.sleep(0)
        self.journal.append(f"detect in {len(images)}")
        wanted = [
            found
            for found in sorted(self.found, key=lambda found: -found.score)
            if found.score >= score_threshold and (labels is None or found.label in labels)
        ]
        return [wanted[:max_detections] for _ in images]


class FakeThumbnails(ThumbnailRenderer):
    async def render(self, image: RasterImage, side: int) -> bytes:
        await asyncio.sleep(0)
        return b"thumbnail of %d of " % side + image.pixels.tobytes()[:8]


class FakeOriginal(OpenedOriginal, AbstractAsyncContextManager[OpenedOriginal]):
    """Bytes in memory. `given` of them have been read."""

    def __init__(self, content: bytes) -> None:
        self.size = len(content)
        self.given = 0
        self.closed = False
        self._content = content

    async def __aexit__(self, *_: object) -> None:
        self.closed = True

    async def read(self, most: int) -> bytes:
        await asyncio.sleep(0)
        piece = self._content[self.given : self.given + most]
        self.given += len(piece)
        return piece


class FakeStore(ImageStore):
    """Files in dictionaries by their SHA-256, and when they were written. While `full`, nothing can be put."""

    def __init__(self, *, journal: Journal | None = None) -> None:
        self.originals: dict[str, bytes] = {}
        self.thumbnails: dict[str, dict[int, bytes]] = {}
        self.written: dict[str, datetime] = {}
        self.doomed: dict[str, datetime] = {}
        self.owner: UUID | None = None
        self.journal = [] if journal is None else journal
        self.full = False
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)

    async def open(self) -> None:
        self.journal.append("store open")

    async def claim(self, index: UUID) -> None:
        if self.owner not in (None, index):
            raise ConfigurationError("The pictures belong to another index.")
        self.owner = index

    async def require_room(self, size: int) -> None:
        if self.full:
            raise StorageFullError("no room")

    async def put(
        self,
        sha256: str,
        *,
        original: bytes | None = None,
        thumbnails: Mapping[int, bytes] = MappingProxyType({}),
        replace: bool = False,
    ) -> None:
        await self.require_room(1)
        there = self.thumbnails.setdefault(sha256, {})
        new = {side: each for side, each in thumbnails.items() if replace or len(there.get(side, b"")) != len(each)}
        there |= new
        if original is not None and (replace or len(self.originals.get(sha256, b"")) != len(original)):
            self.originals[sha256] = original
            self.journal.append(f"put {sha256}")
        elif not new:
            return
        self.written[sha256] = self.now()

    async def original(self, sha256: str) -> bytes:
        if sha256 not in self.originals:
            raise ImageNotFoundError([sha256])
        return self.originals[sha256]

    @asynccontextmanager
    async def opened_original(self, sha256: str) -> AsyncIterator[OpenedOriginal]:
        async with FakeOriginal(await self.original(sha256)) as original:
            yield original

    async def thumbnail(self, sha256: str, side: int) -> bytes:
        if side not in self.thumbnails.get(sha256, {}):
            raise ImageNotFoundError([sha256])
        return self.thumbnails[sha256][side]

    async def delete(self, sha256: str) -> None:
        await self.delete_thumbnails(sha256)
        self.originals.pop(sha256, None)
        self.written.pop(sha256, None)
        self.journal.append(f"remove files {sha256}")

    async def delete_thumbnails(self, sha256: str) -> None:
        self.thumbnails.pop(sha256, None)

    async def stored(self) -> AsyncIterator[Mapping[str, datetime]]:
        yield dict(self.written)

    async def sizes(self, sha256s: Collection[str]) -> Mapping[str, FileSizes]:
        return {
            sha256: FileSizes(
                original=len(self.originals[sha256]) if sha256 in self.originals else None,
                thumbnails={side: len(each) for side, each in self.thumbnails.get(sha256, {}).items()},
            )
            for sha256 in sha256s
        }

    async def mark(self, sha256: str) -> bool:
        if sha256 in self.doomed:
            return False
        self.doomed[sha256] = self.now()
        return True

    async def remark(self, sha256: str, marked_at: datetime) -> bool:
        if self.doomed.get(sha256) != marked_at:
            return False
        self.doomed[sha256] = self.now()
        return True

    async def unmark(self, sha256: str) -> None:
        self.doomed.pop(sha256, None)

    async def marked(self, sha256s: Collection[str]) -> Collection[str]:
        return self.doomed.keys() & set(sha256s)

    async def marks(self, *, older_than: timedelta) -> Mapping[str, datetime]:
        return {sha256: at for sha256, at in self.doomed.items() if self.now() - at >= older_than}


class JournalledRepository(InMemorySimilarityRepository):
    """The exact repository, with what it writes noted. `failure`, if set, is raised by `upsert` and `open`."""

    def __init__(self, *, journal: Journal | None = None) -> None:
        super().__init__()
        self.journal = [] if journal is None else journal
        self.failure: LookalikeError | None = None

    async def open(self, space: EmbeddingSpace | None) -> None:
        if self.failure is not None:
            raise self.failure
        await super().open(space)
        self.journal.append("repository open")

    async def close(self) -> None:
        await super().close()
        self.journal.append("repository close")

    async def upsert(self, images: Sequence[IndexedImage]) -> None:
        if self.failure is not None:
            raise self.failure
        await super().upsert(images)
        self.journal.extend(f"upsert {image.record.id}" for image in images)

    async def update(self, records: Sequence[ImageRecord]) -> Collection[ImageId]:
        missing = await super().update(records)
        self.journal.extend(f"update {record.id}" for record in records if record.id not in missing)
        return missing

    async def delete(self, ids: Collection[ImageId]) -> None:
        await super().delete(ids)
        self.journal.extend(f"delete {id_}" for id_ in ids)


async def records_of(repository: InMemorySimilarityRepository) -> list[ImageRecord]:
    """All that it holds, newest first."""
    return list((await repository.list(limit=1000)).items)
