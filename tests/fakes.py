"""Hand-written stand-ins for the ports. What they do is noted, in order, in a journal that they may share."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import numpy as np

from adapters.repositories.in_memory import InMemorySimilarityRepository
from domain.callers import raise_if_over
from domain.embeddings import Embeddings, EmbeddingSpace, normalised
from domain.errors import (
    EncoderUnavailableError,
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
from domain.ports.thumbnail_renderer import ThumbnailRenderer
from domain.raster import RasterImage
from tests.builders import a_space

Journal = list[str]

UNREADABLE = b"unreadable"
"""The fake decoder fails at contents that begin so."""


class FakeDecoder(ImageDecoder):
    """Any bytes are a picture of 32 x 24 pixels that follow from them; empty and UNREADABLE ones fail."""

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
        seed = int(sha256_of(content)[:8], 16)
        pixels = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        yield DecodedImage(raster=RasterImage(pixels=pixels, width=32, height=24), media_type="image/png")


class FakeEncoder(ImageEncoder):
    """The same pixels have the same direction. `failure`, if set, is raised instead."""

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
    async def render(self, image: RasterImage) -> bytes:
        await asyncio.sleep(0)
        return b"thumbnail of " + image.pixels.tobytes()[:8]


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
    """Files in a dictionary. While `full`, nothing can be put.

    `noted_ids` are the images that are being changed, of which those in `young` do not count as cut short yet.
    """

    def __init__(self, *, journal: Journal | None = None) -> None:
        self.files: dict[ImageId, tuple[bytes, bytes]] = {}
        self.journal = [] if journal is None else journal
        self.noted_ids: list[ImageId] = []
        self.young: set[ImageId] = set()
        self.full = False

    async def open(self) -> None:
        self.journal.append("store open")

    async def require_room(self, size: int) -> None:
        if self.full:
            raise StorageFullError("no room")

    async def put(self, id_: ImageId, *, original: bytes, thumbnail: bytes) -> None:
        await asyncio.sleep(0)
        await self.require_room(len(original) + len(thumbnail))
        self.files[id_] = (original, thumbnail)
        self.journal.append(f"put {id_}")

    async def original(self, id_: ImageId) -> bytes:
        return self._files(id_)[0]

    def opened_original(self, id_: ImageId) -> AbstractAsyncContextManager[OpenedOriginal]:
        return FakeOriginal(self._files(id_)[0])

    async def thumbnail(self, id_: ImageId) -> bytes:
        return self._files(id_)[1]

    async def delete(self, id_: ImageId) -> None:
        await asyncio.sleep(0)
        self.files.pop(id_, None)
        self.journal.append(f"remove files {id_}")

    async def put_thumbnail(self, id_: ImageId, thumbnail: bytes) -> None:
        original, _ = self._files(id_)
        await self.put(id_, original=original, thumbnail=thumbnail)

    async def ids(self) -> AsyncIterator[Sequence[ImageId]]:
        yield list(self.files)

    async def sizes(self, ids: Collection[ImageId]) -> Mapping[ImageId, FileSizes]:
        none = FileSizes(original=None, thumbnail=None)
        lengths = {id_: tuple(map(len, files)) for id_, files in self.files.items()}
        return {
            id_: FileSizes(original=lengths[id_][0], thumbnail=lengths[id_][1]) if id_ in lengths else none
            for id_ in ids
        }

    @asynccontextmanager
    async def changing(self, ids: Collection[ImageId]) -> AsyncIterator[None]:
        raise_if_over()
        self.noted_ids.extend(ids)
        yield
        for id_ in ids:
            self.noted_ids.remove(id_)

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[Sequence[ImageId]]:
        yield [id_ for id_ in dict.fromkeys(self.noted_ids) if id_ not in self.young]

    async def noted(self) -> Collection[ImageId]:
        return set(self.noted_ids)

    async def forget_interrupted(self) -> None:
        self.noted_ids = [id_ for id_ in self.noted_ids if id_ in self.young]

    def _files(self, id_: ImageId) -> tuple[bytes, bytes]:
        if id_ not in self.files:
            raise ImageNotFoundError([id_])
        return self.files[id_]


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

    async def set_metadata(self, id_: ImageId, metadata: Metadata) -> None:
        await super().set_metadata(id_, metadata)
        self.journal.append(f"set metadata {id_}")

    async def delete(self, ids: Collection[ImageId]) -> None:
        await super().delete(ids)
        self.journal.extend(f"delete {id_}" for id_ in ids)


async def records_of(repository: InMemorySimilarityRepository) -> list[ImageRecord]:
    """All that it holds, newest first."""
    return list((await repository.list(limit=1000)).items)
