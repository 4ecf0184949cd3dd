"""An indexed image and what is found about it."""

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID, uuid5

from domain.appearance import Appearance
from domain.embeddings import Embedding, Embeddings, EmbeddingSpace
from domain.geometry import BoundingBox
from domain.metadata import Metadata
from domain.scores import Band

CONTENT_NAMESPACE = UUID("6f0b3a52-5d0e-5f0c-9c55-7d0f2f6f5a11")
"""The namespace of the ids of pictures without a key: fixed for ever, since ids are derived from it."""

ImageId = UUID
"""Follows from the picture's key (`domain.names`), or without one from its bytes."""


def id_of_content(sha256: str) -> ImageId:
    """The id of the picture without a key that has these bytes: version 5 of their SHA-256 in `CONTENT_NAMESPACE`."""
    return uuid5(CONTENT_NAMESPACE, sha256)


def sha256_of(content: bytes) -> str:
    """Of a picture's original bytes, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectedObject:
    """An object seen in a picture. `score` is the detector's confidence in [0, 1]."""

    label: str
    score: float
    box: BoundingBox


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """What is known of an indexed image. `width` and `height` are of the upright picture; times are in UTC."""

    id: ImageId
    key: str | None = None
    """The caller's own name for it; None where it is known by its bytes alone."""
    source: str | None = None
    """Where it came from, as the caller says: a path or an URL."""
    filename: str
    media_type: str
    width: int
    height: int
    size_bytes: int
    sha256: str
    created_at: datetime
    updated_at: datetime
    """When bytes, name, source or metadata last changed."""
    metadata: Metadata = field(default_factory=dict)
    objects: tuple[DetectedObject, ...] = ()
    detection: str = ""
    """What found the objects (`ObjectPolicy.fingerprint`); empty where nothing looked for any."""
    appearance: Appearance | None = field(default=None, compare=False)
    """None where it was restored from a backup that holds none. No part of a comparison: it follows from the bytes."""

    @property
    def labels(self) -> frozenset[str]:
        """The labels of the detected objects."""
        return frozenset(found.label for found in self.objects)

    def updated_as(self, other: "ImageRecord") -> "ImageRecord":
        """With what an update changes as in `other`: source, metadata and updated_at."""
        return replace(self, source=other.source, metadata=other.metadata, updated_at=other.updated_at)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IndexedImage:
    """What a repository stores: a record, its picture's embedding, and those of its objects.

    `embedding` has shape (dimension,), `object_embeddings` (len(record.objects), dimension), in the objects' order.
    """

    record: ImageRecord
    embedding: Embedding
    object_embeddings: Embeddings

    def checked(self, space: EmbeddingSpace) -> "IndexedImage":
        """The same with float32. Raises ValueError, naming the image, for an embedding that is not of `space`."""
        of, count = f"image {self.record.id}", len(self.record.objects)
        return replace(
            self,
            embedding=space.checked(self.embedding, of=of),
            object_embeddings=space.checked(self.object_embeddings, of=of, count=count),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionMatch:
    """How one region of the query is matched by an object of the image; by none, with score 0."""

    query_region: BoundingBox
    object: DetectedObject | None
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A search hit: cosine similarity in [-1, 1], exactly 1 where the picture is the one that is compared with.

    `likeness` is the score on the model's scale, and `band` its name, where one picture is compared with. `region` is
    the stored object that matched, where objects were searched; `regions` pairs each region of a query of several.
    `order_score` is what the order was made by, where that is not `score`.
    """

    score: float
    image: ImageRecord
    likeness: float | None = None
    band: Band | None = None
    order_score: float | None = None
    group: "MatchGroup | None" = None
    region: DetectedObject | None = None
    regions: tuple[RegionMatch, ...] | None = None

    @property
    def place(self) -> tuple[float, ImageId]:
        """What a ranking is sorted by: the best first, equal scores in the order of ids."""
        return -self.score, self.image.id


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchGroup:
    """The group for which a match stands, its best: `images` have the value, of which `more` are the next best.

    An image without a value is a group of its own, whose value is None.
    """

    value: str | int | None
    images: int
    more: tuple[Match, ...] = ()


class Clock:
    """Strictly increasing UTC times of microsecond resolution, so that a listing has one order."""

    def __init__(self) -> None:
        self._last = 0

    def now(self) -> datetime:
        """The present, or one microsecond after the last answer if that is later."""
        self._last = max(int(datetime.now(UTC).timestamp() * 1e6), self._last + 1)
        seconds, micros = divmod(self._last, 1_000_000)
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)
