"""Records and vectors in this process's memory: exact, and gone with the process."""

import bisect
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from adapters.inference.slots import Slots
from adapters.repositories.embedding_checks import (
    check_window,
    checked_embedding,
    checked_object_embeddings,
    stacked_embeddings,
)
from adapters.repositories.tied_scores import in_order
from domain.embeddings import Embedding, Embeddings, EmbeddingSpace
from domain.errors import ConfigurationError, EmbeddingSpaceError, ImageNotFoundError
from domain.filters import EVERYTHING, Filter
from domain.images import Cursor, ImageId, ImagePage, ImageRecord, IndexedImage, LabelCounts, Match
from domain.metadata import Metadata
from domain.models import RepositoryStatus
from domain.ports.similarity_repository import SimilarityRepository

P = ParamSpec("P")
R = TypeVar("R")


class InMemorySimilarityRepository(SimilarityRepository):
    """Compares with every vector. Nothing is written down: what this object holds is all there is.

    Every call runs on one thread of its own, in turn: the event loop stays free, and no call sees another half done.
    Closing keeps the contents, so that opening again finds them.
    """

    def __init__(self) -> None:
        self._index: _Index | None = None
        self._under_construction: InMemorySimilarityRepository | None = None
        self._turns: Slots | None = None

    async def open(self, space: EmbeddingSpace | None) -> None:
        """See the port."""
        if self._index is None:
            if space is None:
                raise ConfigurationError("There is no index: one kept in memory is empty after each start.")
            self._index = _Index(space)
        elif space is not None and space != self._index.space:
            raise EmbeddingSpaceError(
                f"The index holds embeddings of another space: {self._index.space.differences(space)}. "
                "Run `lookalike reindex --embeddings`, or configure the encoder that the index was built with."
            )
        if self._turns is None:
            self._turns = Slots(1, name="memory-repository")

    async def close(self) -> None:
        """See the port."""
        if self._turns is not None:
            turns, self._turns = self._turns, None
            await turns.run(_nothing)  # the turns are in order: after this one, all that was accepted is finished
            await turns.close()

    @property
    def space(self) -> EmbeddingSpace:
        """See the port."""
        return self._opened.space

    async def upsert(self, images: Sequence[IndexedImage]) -> None:
        """See the port."""
        await self._run(self._opened.upsert, images)

    async def set_metadata(self, id_: ImageId, metadata: Metadata) -> None:
        """See the port."""
        await self._run(self._opened.set_metadata, id_, metadata)

    async def delete(self, ids: Collection[ImageId]) -> None:
        """See the port."""
        await self._run(self._opened.delete, ids)

    async def get(self, ids: Collection[ImageId]) -> Mapping[ImageId, ImageRecord]:
        """See the port."""
        return await self._run(self._opened.get, ids)

    async def embeddings(self, ids: Collection[ImageId]) -> Mapping[ImageId, Embedding]:
        """See the port."""
        return await self._run(self._opened.embeddings, ids)

    async def object_embeddings(self, ids: Collection[ImageId]) -> Mapping[ImageId, Embeddings]:
        """See the port."""
        return await self._run(self._opened.object_embeddings, ids)

    async def list(self, *, limit: int, after: Cursor | None = None, where: Filter = EVERYTHING) -> ImagePage:
        """See the port."""
        return await self._run(self._opened.page, limit, after, where)

    async def nearest(
        self,
        query: Embedding,
        *,
        limit: int,
        offset: int = 0,
        score_threshold: float | None = None,
        where: Filter = EVERYTHING,
        leave_out: Collection[ImageId] = (),
        exact: bool = False,
    ) -> Sequence[Match]:
        """See the port."""
        check_window(limit, offset)
        vector = checked_embedding(query, self.space, of="the query")
        part = _Part(slice(offset, offset + limit), score_threshold, where, frozenset(leave_out))
        return await self._run(self._opened.nearest, vector, part)

    async def nearest_objects(
        self,
        query: Embedding,
        *,
        limit: int,
        offset: int = 0,
        score_threshold: float | None = None,
        where: Filter = EVERYTHING,
        leave_out: Collection[ImageId] = (),
        exact: bool = False,
    ) -> Sequence[Match]:
        """See the port."""
        check_window(limit, offset)
        vector = checked_embedding(query, self.space, of="the query")
        part = _Part(slice(offset, offset + limit), score_threshold, where, frozenset(leave_out))
        return await self._run(self._opened.nearest_objects, vector, part)

    async def count(self, where: Filter = EVERYTHING) -> int:
        """See the port."""
        return await self._run(self._opened.count, where)

    async def label_counts(self, where: Filter = EVERYTHING) -> LabelCounts:
        """See the port."""
        return await self._run(self._opened.label_counts, where)

    async def orphaned_objects(self) -> Mapping[ImageId, int]:
        """See the port. Writes are never cut short here."""
        return {}

    async def sweep_objects(self, ids: Collection[ImageId]) -> int:
        """See the port."""
        return 0

    async def status(self) -> RepositoryStatus:
        """See the port."""
        images, objects = await self._run(self._opened.counts)
        return RepositoryStatus(backend="memory", images=images, objects=objects, details={"durable": False})

    async def replacement(self, space: EmbeddingSpace) -> "InMemorySimilarityRepository":
        """See the port."""
        if self._under_construction is None or self._under_construction.space != space:
            self._under_construction = InMemorySimilarityRepository()
        await self._under_construction.open(space)
        return self._under_construction

    async def promote(self, replacement: SimilarityRepository) -> None:
        """See the port."""
        if replacement is not self._under_construction:
            raise ValueError("Only what `replacement` of this repository returned can take its place.")
        self._index = self._under_construction._opened
        self._under_construction = None
        await replacement.close()
        await self.close()

    @property
    def _opened(self) -> "_Index":
        if self._index is None:
            raise RuntimeError("The repository is used before it was opened.")
        return self._index

    async def _run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        if self._turns is None:
            raise RuntimeError("The repository is used before it was opened, or after it was closed.")
        return await self._turns.run(function, *args, **kwargs)


@dataclass(frozen=True, slots=True)
class _Part:
    """What a search asks for of a ranking."""

    window: slice
    score_threshold: float | None
    where: Filter
    leave_out: frozenset[ImageId]


class _Index:
    """The contents. Rows `0..len(records)` of the matrix are in use; a deleted row is filled with the last one."""

    def __init__(self, space: EmbeddingSpace) -> None:
        self.space = space
        self._matrix: Embeddings = np.empty((0, space.dimension), dtype=np.float32)
        self._records: list[ImageRecord] = []
        self._object_embeddings: list[Embeddings] = []
        """For each record those of its objects, shape (objects, dimension)."""
        self._stacked_objects: Embeddings | None = None
        """All of them, one record after the other; None when they have changed since they were stacked."""
        self._rows: dict[ImageId, int] = {}
        self._order: list[Cursor] = []
        """Oldest first: a listing walks it backwards."""

    def upsert(self, images: Sequence[IndexedImage]) -> None:
        vectors = stacked_embeddings(images, self.space)  # all are checked before any is stored
        object_embeddings = checked_object_embeddings(images, self.space)
        self._reserve(len(self._records) + len(images))
        self._stacked_objects = None
        for image, vector, of_objects in zip(images, vectors, object_embeddings, strict=True):
            record = replace(image.record, metadata=deepcopy(dict(image.record.metadata)))  # the caller's may change
            row = self._rows.setdefault(record.id, len(self._records))
            if row == len(self._records):
                self._records.append(record)
                self._object_embeddings.append(of_objects.copy())
            else:
                self._forget_order(self._records[row])
                self._records[row] = record
                self._object_embeddings[row] = of_objects.copy()
            self._matrix[row] = vector
            bisect.insort(self._order, Cursor.after(record))

    def set_metadata(self, id_: ImageId, metadata: Metadata) -> None:
        if id_ not in self._rows:
            raise ImageNotFoundError([id_])
        row = self._rows[id_]
        self._records[row] = replace(self._records[row], metadata=deepcopy(dict(metadata)))

    def delete(self, ids: Collection[ImageId]) -> None:
        self._stacked_objects = None
        for id_ in ids:
            row = self._rows.pop(id_, None)
            if row is None:
                continue
            self._forget_order(self._records[row])
            last, objects_of_last = self._records.pop(), self._object_embeddings.pop()
            if row < len(self._records):
                self._records[row] = last
                self._object_embeddings[row] = objects_of_last
                self._matrix[row] = self._matrix[len(self._records)]
                self._rows[last.id] = row

    def get(self, ids: Collection[ImageId]) -> Mapping[ImageId, ImageRecord]:
        return {id_: self._records[self._rows[id_]] for id_ in ids if id_ in self._rows}

    def embeddings(self, ids: Collection[ImageId]) -> Mapping[ImageId, Embedding]:
        return {id_: self._matrix[self._rows[id_]].copy() for id_ in ids if id_ in self._rows}

    def object_embeddings(self, ids: Collection[ImageId]) -> Mapping[ImageId, Embeddings]:
        return {id_: self._object_embeddings[self._rows[id_]].copy() for id_ in ids if id_ in self._rows}

    def page(self, limit: int, after: Cursor | None, where: Filter) -> ImagePage:
        end = len(self._order) if after is None else bisect.bisect_left(self._order, after)
        found: list[ImageRecord] = []
        for place in reversed(range(end)):
            record = self._records[self._rows[self._order[place].id]]
            if where.matches(record):
                found.append(record)
                if len(found) > limit:  # one more than asked: there is a next page
                    break
        items = tuple(found[:limit])
        next_cursor = Cursor.after(items[-1]) if len(found) > limit else None
        return ImagePage(items=items, next_cursor=next_cursor, total=self.count(where))

    def nearest(self, query: Embedding, part: _Part) -> Sequence[Match]:
        scores = _cosines(self._matrix[: len(self._records)], query)
        rows = np.arange(len(scores))
        best = self._best(rows, scores, part)
        return [Match(score=float(scores[row]), image=self._records[row]) for row in best]

    def nearest_objects(self, query: Embedding, part: _Part) -> Sequence[Match]:
        counts = np.array([len(vectors) for vectors in self._object_embeddings], dtype=int)
        rows = np.flatnonzero(counts)
        if not len(rows):
            return []
        scores = _cosines(self._all_object_embeddings(), query)
        starts = np.cumsum(counts) - counts
        of_images = np.full(len(counts), -np.inf)
        of_images[rows] = np.maximum.reduceat(scores, starts[rows])
        matches: list[Match] = []
        for row in self._best(rows, of_images, part):
            record = self._records[row]
            best = int(np.argmax(scores[starts[row] : starts[row] + counts[row]]))
            matches.append(Match(score=float(of_images[row]), image=record, region=record.objects[best]))
        return matches

    def _best(self, rows: NDArray[np.intp], scores: NDArray[np.float64], part: _Part) -> NDArray[np.intp]:
        """Of `rows`, those of that part of their ranking, best first; `scores` has one for every record."""
        if part.where or part.leave_out:
            records = (self._records[row] for row in rows)
            kept = (part.where.matches(record) and record.id not in part.leave_out for record in records)
            rows = rows[np.fromiter(kept, dtype=bool, count=len(rows))]
        if part.score_threshold is not None:
            rows = rows[scores[rows] >= part.score_threshold]
        ranked = rows[np.argsort(-scores[rows])]
        return ranked[in_order(scores[ranked], part.window, lambda place: self._records[ranked[place]].id)]

    def _all_object_embeddings(self) -> Embeddings:
        """Stacked anew when they have changed; the single ones become views, so that memory holds them once."""
        if self._stacked_objects is None:
            self._stacked_objects = np.concatenate(self._object_embeddings)
            ends = np.cumsum([len(vectors) for vectors in self._object_embeddings])
            self._object_embeddings = np.split(self._stacked_objects, ends[:-1])
        return self._stacked_objects

    def counts(self) -> tuple[int, int]:
        """How many images and how many objects there are."""
        return len(self._records), sum(map(len, self._object_embeddings))

    def count(self, where: Filter) -> int:
        return sum(1 for _ in self._matching(where)) if where else len(self._records)

    def label_counts(self, where: Filter) -> LabelCounts:
        return Counter(label for record in self._matching(where) for label in record.labels)

    def _matching(self, where: Filter) -> Iterator[ImageRecord]:
        return (record for record in self._records if where.matches(record))

    def _reserve(self, rows: int) -> None:
        """Grow by doubling, so that adding one image at a time copies each vector a constant number of times."""
        if rows > len(self._matrix):
            grown = np.empty((max(rows, 2 * len(self._matrix)), self.space.dimension), dtype=np.float32)
            grown[: len(self._records)] = self._matrix[: len(self._records)]
            self._matrix = grown

    def _forget_order(self, record: ImageRecord) -> None:
        del self._order[bisect.bisect_left(self._order, Cursor.after(record))]


def _cosines(vectors: Embeddings, query: Embedding) -> NDArray[np.float64]:
    """In doubles, so that a score threshold is compared as it was given."""
    return np.clip((vectors @ query).astype(np.float64), -1.0, 1.0)


def _nothing() -> None:
    """A turn that only waits for its turn."""
