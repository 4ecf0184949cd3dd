"""What the repository asks of Qdrant: eight verbs over points, in words of our own.

A server answers them (server/points.py), or its engine embedded on this machine (embedded/points.py). The words are
ours since importing the server's client takes 1.4 s and 80 MB, which the embedded index must not pay, and since they
travel to the embedded engine's process: plain values, with ids as text (a UUID takes three times as long to pickle).
"""

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, Protocol, TypeVar

from domain.embeddings import Embedding, EmbeddingSpace

S = TypeVar("S")
T = TypeVar("T")

PointId = str
"""A UUID in its canonical text, which orders as the UUID does."""

Payload = dict[str, Any]

# Conditions. Paths are JSON paths in a payload.


class OneOf(NamedTuple):
    """The string or integer at a path, or an element of the array there, is one of these."""

    path: str
    values: Sequence[str] | Sequence[int]


class Begins(NamedTuple):
    """The string at a path, or an element of the array there, begins so."""

    path: str
    prefix: str


class Between(NamedTuple):
    """The number at a path lies within these inclusive bounds; None does not bound."""

    path: str
    low: float | None
    high: float | None


class Empty(NamedTuple):
    """There is nothing at a path, or an empty array."""

    path: str


class HasId(NamedTuple):
    """The point's id is one of these; of none, no point's is."""

    ids: Collection[PointId]


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """All of `must` hold, at least one of `should` (if there are any), and none of `must_not`."""

    must: Sequence["Condition"] = ()
    should: Sequence["Condition"] = ()
    must_not: Sequence["Condition"] = ()


Condition = OneOf | Begins | Between | Empty | HasId | Where

ANY_POINT = Where()


# Points


class Point(NamedTuple):
    """A point to be stored, with its one vector."""

    id: PointId
    vector_name: str
    vector: Embedding
    payload: Payload


class FoundPoint(NamedTuple):
    """A stored point, with the fields of its payload or the vector that were asked for; of a query, with its score."""

    id: PointId
    payload: Payload
    score: float = 0.0
    vector: Embedding | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VectorQuery:
    """The `limit` points nearest to `vector` by their vectors named `using`, of those that pass."""

    vector: Embedding
    using: str
    limit: int
    where: Where = ANY_POINT
    score_threshold: float | None = None
    exact: bool = False
    """Compare with every vector instead of asking the approximate index."""
    fields: Sequence[str] = ()
    """Which of their payloads to answer."""
    group_by: str | None = None
    """A path: of all points with one value there only the best, so that `limit` counts values. It is answered too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scroll:
    """About `limit` points that pass, in the order of their ids from `after` on."""

    where: Where
    limit: int
    fields: Sequence[str]
    after: PointId | None = None
    order_by: str | None = None
    """A path with an index of integers: instead `limit` points by the integer there, equal ones in any order."""
    is_descending: bool = False
    start_from: int | None = None
    """The first integer of the order; None for all."""


# Writes


class Upsert(NamedTuple):
    """Store points, or replace those of the same ids."""

    points: Sequence[Point]


class Delete(NamedTuple):
    """Remove points; those that are not there are passed over."""

    ids: Sequence[PointId]


class SetPayload(NamedTuple):
    """Replace these top-level fields of the payloads of those of the points that pass; null removes one."""

    payload: Payload
    ids: Sequence[PointId]
    where: Where

    @property
    def which(self) -> Where:
        """The points, and whether they pass."""
        return Where(must=[HasId(self.ids), self.where])


class Discard(NamedTuple):
    """Remove points that nothing refers to any more. Where that fails they stay: the log tells, and no write fails."""

    ids: Sequence[PointId]


Operation = Upsert | Delete | SetPayload | Discard
Write = Sequence[Operation]
"""Operations that are applied one after the other."""

MOST_ATTEMPTS = 10
"""How often something is asked anew at most, each time because others changed what it had found."""


def chunks(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """`values` in lists of at most `size`."""
    rest = iter(values)
    while chunk := list(islice(rest, size)):
        yield chunk


POINTS_PER_COMMIT = 500
"""How many points are written together: enough to make it cheap, few enough that a search does not wait long."""

_FEW = 50
"""Payloads that take a millisecond to read. More are read on a thread, so that the event loop stays free."""


async def read_each(read: Callable[[S], T], found: Sequence[S]) -> list[T]:
    """What `read` makes of each."""

    def all_read() -> list[T]:
        return [read(each) for each in found]

    return all_read() if len(found) <= _FEW else await asyncio.to_thread(all_read)


class Points(Protocol):
    """The points of one index. Every field of `fields` that a point has is in its payload where it is answered.

    Every method raises RepositoryUnavailableError when the backend does not answer in time, and DeadlinePassedError
    when the caller's deadline passed first. A server also raises EmbeddingSpaceError when its index was replaced by one
    of another space.
    """

    space: EmbeddingSpace
    """That of the vectors."""
    is_serial: bool
    """Whether requests are answered one after the other, a write whole before the next one, and no crash leaves half an
    operation. Else others may meet a write that is under way, or be writing themselves."""

    @abstractmethod
    async def count(self, where: Where, *, exact: bool = True) -> int:
        """How many points pass; about how many, where it need not be `exact`."""

    @abstractmethod
    async def facet(self, path: str, where: Where) -> Mapping[str | int, int]:
        """How many of the points that pass have each value at a path that has a payload index, exactly."""

    @abstractmethod
    async def query(self, query: VectorQuery) -> Sequence[FoundPoint]:
        """Best first, equal scores in an order of the backend's own."""

    @abstractmethod
    async def retrieve(
        self, ids: Collection[PointId], *, fields: Sequence[str] = (), vector: str | None = None
    ) -> Sequence[FoundPoint]:
        """Those of the points that are there; with a vector's name, those that have one of that name."""

    @abstractmethod
    async def scroll(self, scroll: Scroll) -> tuple[Sequence[FoundPoint], PointId | None]:
        """A part of the points that pass, and where to go on: None at the end."""

    @abstractmethod
    async def write(self, operations: Write) -> None:
        """Upsert, delete, set payloads and discard, in this order and durably.

        Cut short, the first of them have happened; when this returns, all have. Each may be repeated without harm.
        Where there is nothing but to discard, that may be done later. Raises StorageFullError too.
        """
