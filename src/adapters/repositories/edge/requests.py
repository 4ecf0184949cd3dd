"""What the repository asks of the process that owns its shard. Both ends are ours; requests and replies are pickled."""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from io import FileIO
from pathlib import Path
from uuid import UUID

from adapters.repositories.object_payload import Generation
from adapters.repositories.payload import PayloadIndex
from domain.errors import (
    ImageNotFoundError,
    IndexDamagedError,
    IndexInUseError,
    LookalikeError,
    RepositoryUnavailableError,
    StorageFullError,
)
from domain.filters import Filter
from domain.images import ImageRecord
from domain.metadata import Metadata

HEADER_BYTES = 8
"""Before each pickle on the pipe: its length, big-endian."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Load the shard in `directory`, or create it, with these payload indexes."""

    directory: Path
    create: bool
    dimension: int
    indexes: tuple[PayloadIndex, ...]
    reserve_bytes: int


@dataclass(frozen=True, slots=True)
class Upsert:
    """Store records with their vectors and those of their objects. No id occurs twice.

    Vectors are float32, one after the other. The generations come with the request, so that it may be repeated.
    """

    records: Sequence[ImageRecord]
    generations: Sequence[Generation]
    vectors: bytes
    object_vectors: bytes

    @property
    def point_count(self) -> int:
        """How many points it stores."""
        return len(self.records) + sum(generation.object_count for generation in self.generations)


@dataclass(frozen=True, slots=True)
class SetMetadata:
    """Replace the metadata of a record that must be there."""

    id: UUID
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove images with their objects, if they are there."""

    ids: Sequence[UUID]


Change = Upsert | SetMetadata | Delete


@dataclass(frozen=True, slots=True)
class Write:
    """Apply changes in their order and make them durable together. Answers a `Failure` or None for each."""

    changes: Sequence[Change]


@dataclass(frozen=True, slots=True)
class Get:
    """Answers the `StoredImage`s that are there."""

    ids: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class GetVectors:
    """Answers the vectors that are there, by id, as float32 bytes."""

    ids: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class GetObjectVectors:
    """Answers the vectors of the objects of the images that are there, by the image's id, as in `Upsert`."""

    ids: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class Newest:
    """Answers the `StoredImage`s of the newest records that match, newest first, ties in any order."""

    where: Filter
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """Answers `ImageHit`s, best first, equal scores in the order of ids."""

    vector: bytes
    limit: int
    offset: int
    score_threshold: float | None
    where: Filter
    leave_out: frozenset[UUID]
    exact: bool

    @property
    def window(self) -> slice:
        """Which part of the ranking is wanted."""
        return slice(self.offset, self.offset + self.limit)


@dataclass(frozen=True, slots=True)
class NearestObjects:
    """Answers `ImageHit`s of objects, best first, each image once."""

    search: Nearest


@dataclass(frozen=True, slots=True)
class Count:
    """Answers how many records match."""

    where: Filter


@dataclass(frozen=True, slots=True)
class CountLabels:
    """Answers a count of records by label."""

    where: Filter


@dataclass(frozen=True, slots=True)
class FindOrphans:
    """Of the next `limit` objects, answers a count by image of those that belong to none, and where to go on."""

    after: UUID | None
    limit: int


@dataclass(frozen=True, slots=True)
class SweepObjects:
    """Delete the orphans among the objects of these images. Answers how many, or a `Failure`."""

    ids: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class Describe:
    """Answers how many `images` and `objects` there are, and the shard's own figures."""


@dataclass(frozen=True, slots=True)
class Close:
    """Make everything durable and end."""


Request = (
    Open
    | Write
    | SweepObjects
    | Get
    | GetVectors
    | GetObjectVectors
    | Newest
    | Nearest
    | NearestObjects
    | Count
    | CountLabels
    | FindOrphans
    | Describe
    | Close
)

Figures = Mapping[str, int | float]


class FailureKind(StrEnum):
    """Failures that callers tell apart."""

    NOT_FOUND = "not_found"
    STORAGE_FULL = "storage_full"
    IN_USE = "in_use"
    DAMAGED = "damaged"
    ENGINE = "engine"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request was not done."""

    kind: FailureKind
    message: str = ""
    ids: tuple[UUID, ...] = ()

    def error(self) -> LookalikeError:
        """The domain's name for it."""
        match self.kind:
            case FailureKind.NOT_FOUND:
                return ImageNotFoundError(self.ids)
            case FailureKind.STORAGE_FULL:
                return StorageFullError(self.message)
            case FailureKind.IN_USE:
                return IndexInUseError(self.message)
            case FailureKind.DAMAGED:
                return IndexDamagedError(self.message)
            case FailureKind.ENGINE:
                return RepositoryUnavailableError(self.message)


def frame(number: int, message: object) -> bytes:
    """`message` with the number of its request, ready for the pipe."""
    body = pickle.dumps((number, message), protocol=pickle.HIGHEST_PROTOCOL)
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def unframed(body: bytes | bytearray) -> tuple[int, object]:
    """What `frame` packed, without its header."""
    number, message = pickle.loads(body)  # noqa: S301 - from the process at the other end of our own pipe
    return int(number), message


def read_frame(pipe: FileIO) -> tuple[int, object] | None:
    """The next message of a blocking pipe; None when the other end has closed it."""
    header = _read_exactly(pipe, HEADER_BYTES)
    body = None if header is None else _read_exactly(pipe, int.from_bytes(header, "big"))
    return None if body is None else unframed(body)


def _read_exactly(pipe: FileIO, size: int) -> bytearray | None:
    received = bytearray(size)
    view = memoryview(received)
    while view:
        count = pipe.readinto(view)
        if not count:
            return None
        view = view[count:]
    return received
