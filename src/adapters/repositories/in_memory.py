"""Records and vectors in this process's memory: exact, and gone with the process."""

import asyncio
import functools
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import repeat
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID

import numpy as np
from typing_extensions import override

from domain.callers import raise_if_over
from domain.embeddings import Embedding, Embeddings, EmbeddingSpace
from domain.errors import IndexMissingError
from domain.filters import EVERYTHING, Field, Filter, Scalar
from domain.images import DetectedObject, ImageId, ImageRecord, IndexedImage, Match
from domain.listing import NEWEST_FIRST, Cursor, ImagePage, Order
from domain.metadata import MetadataType, MetadataTypes
from domain.models import RepositoryStatus
from domain.ports.similarity_repository import SimilarityRepository, check_space
from domain.search import Candidate, NearestQuery

P = ParamSpec("P")
R = TypeVar("R")
Method = Callable[Concatenate["InMemorySimilarityRepository", P], R]

IDENTITY = UUID("5c0d0f0e-0f3c-4c65-9d2c-7c1a5f5e1f11")
"""The same for every process: files that one of them has left are no other index's."""


def _in_turn(method: Method[P, R]) -> Method[P, Coroutine[Any, Any, R]]:
    """Runs on a thread, in turn: the event loop stays free, and no call sees another half done."""

    @functools.wraps(method)
    async def run(self: "InMemorySimilarityRepository", /, *args: P.args, **kwargs: P.kwargs) -> R:
        if not self.is_open:
            raise RuntimeError("The repository is used before it was opened, or after it was closed.")
        raise_if_over()
        async with self.turn:
            return await asyncio.to_thread(method, self, *args, **kwargs)

    return run


class InMemorySimilarityRepository(SimilarityRepository):
    """Compares with every vector. Nothing is written down: what this object holds is all there is.

    Closing keeps the contents, so that opening again finds them.
    """

    def __init__(self, indexed_metadata: MetadataTypes | None = None) -> None:
        self._indexed_metadata = indexed_metadata or {}
        self.is_open = False
        self.turn = asyncio.Lock()
        self._space: EmbeddingSpace | None = None
        self._images: dict[ImageId, IndexedImage] = {}
        self._stacked: _Stacked | None = None
        """For searches; None when images have changed since."""
        self._under_construction: InMemorySimilarityRepository | None = None

    @override
    async def open(self, space: EmbeddingSpace | None) -> None:
        if self._space is None:
            if space is None:
                raise IndexMissingError("There is no index: one kept in memory is empty after each start.")
            self._space = space
        check_space("The index", self._space, space)
        self.is_open = True

    @override
    async def close(self) -> None:
        self.is_open = False
        async with self.turn:  # after this one, all that was accepted is finished
            pass

    @property
    @override
    def identity(self) -> UUID:
        return IDENTITY

    @property
    @override
    def space(self) -> EmbeddingSpace:
        if self._space is None:
            raise RuntimeError("The repository is used before it was opened.")
        return self._space

    @override
    @_in_turn
    def upsert(self, images: Sequence[IndexedImage]) -> None:
        checked = [image.checked(self.space) for image in images]  # all of them before any is stored
        self._images |= {image.record.id: deepcopy(image) for image in checked}  # the caller's may change
        self._stacked = None

    @override
    @_in_turn
    def update(self, records: Sequence[ImageRecord]) -> Collection[ImageId]:
        for record in records:
            if (image := self._images.get(record.id)) is not None:
                self._images[record.id] = replace(image, record=image.record.updated_as(deepcopy(record)))
        self._stacked = None
        return {record.id for record in records} - self._images.keys()

    @override
    @_in_turn
    def delete(self, ids: Collection[ImageId]) -> None:
        for id_ in ids:
            self._images.pop(id_, None)
        self._stacked = None

    @override
    @_in_turn
    def get(self, ids: Collection[ImageId]) -> Mapping[ImageId, ImageRecord]:
        return {id_: self._images[id_].record for id_ in ids if id_ in self._images}

    @override
    @_in_turn
    def named(self, sha256s: Collection[str]) -> Collection[str]:
        indexes = [self] if self._under_construction is None else [self, self._under_construction]
        known = {image.record.sha256 for index in indexes for image in index._images.values()}
        return known & set(sha256s)

    @override
    @_in_turn
    def embeddings(self, ids: Collection[ImageId]) -> Mapping[ImageId, Embedding]:
        return {id_: self._images[id_].embedding.copy() for id_ in ids if id_ in self._images}

    @override
    @_in_turn
    def object_embeddings(self, ids: Collection[ImageId]) -> Mapping[ImageId, Embeddings | None]:
        return {id_: self._images[id_].object_embeddings.copy() for id_ in ids if id_ in self._images}

    @override
    @_in_turn
    def list(
        self,
        *,
        limit: int,
        after: Cursor | None = None,
        where: Filter = EVERYTHING,
        order_by: Order = NEWEST_FIRST,
    ) -> ImagePage:
        return order_by.page(self._matching(where), limit=limit, after=after)

    @override
    @_in_turn
    def nearest(self, query: NearestQuery) -> Sequence[Match]:
        query.where.check_prefixes(self._indexed_metadata)
        all_ = self._all()
        return query.best(zip(_cosines(all_.embeddings, query.checked(self.space)), all_.records, repeat(None)))

    @override
    async def candidates(
        self, query: NearestQuery, *, embeddings: bool = False, appearances: bool = False
    ) -> Sequence[Candidate]:
        matches = await self.nearest(query)
        vectors = await self.embeddings([match.image.id for match in matches]) if embeddings else {}
        return [
            Candidate(
                id=match.image.id,
                score=match.score,
                embedding=vectors.get(match.image.id),
                appearance=match.image.appearance if appearances else None,
            )
            for match in matches
        ]

    @override
    @_in_turn
    def nearest_objects(self, query: NearestQuery) -> Sequence[Match]:
        query.where.check_prefixes(self._indexed_metadata)
        all_ = self._all()
        scores = _cosines(all_.object_embeddings, query.checked(self.space))
        found = zip(scores, all_.images_of_objects, all_.objects, strict=True)
        best: dict[ImageId, tuple[float, ImageRecord, DetectedObject]] = {}
        for each in sorted(found, key=lambda each: -each[0]):
            best.setdefault(each[1].id, each)
        return query.best(best.values())

    @override
    @_in_turn
    def count(self, where: Filter = EVERYTHING) -> int:
        return len(self._matching(where))

    @override
    @_in_turn
    def facet(self, field: Field, type_: MetadataType, where: Filter = EVERYTHING) -> Mapping[Scalar, int]:
        counts: Counter[Scalar] = Counter()
        for record in self._matching(where):
            stored = field.value_of(record)
            values: Sequence[Any] = stored if isinstance(stored, list) else [stored]
            counts.update({value for value in values if type_.accepts(value)})
        return counts

    def _matching(self, where: Filter) -> Sequence[ImageRecord]:
        where.check_prefixes(self._indexed_metadata)
        return [image.record for image in self._images.values() if where.matches(image.record)]

    @override
    async def orphaned_objects(self) -> Mapping[ImageId, int]:
        return {}  # writes are never cut short here

    @override
    async def sweep_objects(self, ids: Collection[ImageId]) -> int:
        return 0

    @override
    @_in_turn
    def status(self) -> RepositoryStatus:
        objects = sum(len(image.record.objects) for image in self._images.values())
        return RepositoryStatus(backend="memory", images=len(self._images), objects=objects, details={"durable": False})

    @override
    async def replacement(self, space: EmbeddingSpace) -> "InMemorySimilarityRepository":
        if self._under_construction is None or self._under_construction.space != space:
            self._under_construction = InMemorySimilarityRepository(self._indexed_metadata)
        await self._under_construction.open(space)
        return self._under_construction

    @override
    async def promote(self, replacement: SimilarityRepository) -> None:
        if self._under_construction is None or replacement is not self._under_construction:
            raise ValueError("Only what `replacement` of this repository returned can take its place.")
        await replacement.close()
        await self.close()
        new, self._under_construction = self._under_construction, None
        self._space, self._images, self._stacked = new._space, new._images, new._stacked

    def _all(self) -> "_Stacked":
        if self._stacked is None:
            self._stacked = _Stacked([*self._images.values()], self.space.dimension)
        return self._stacked


class _Stacked:
    """All images in rows, and all objects beside their images."""

    def __init__(self, images: Sequence[IndexedImage], dimension: int) -> None:
        none = np.empty((0, dimension), dtype=np.float32)
        self.records = [image.record for image in images]
        self.embeddings = np.stack([image.embedding for image in images]) if images else none
        self.object_embeddings = np.concatenate([none, *(image.object_embeddings for image in images)])
        self.objects = [found for record in self.records for found in record.objects]
        self.images_of_objects = [record for record in self.records for _ in record.objects]


def _cosines(vectors: Embeddings, query: NearestQuery) -> list[float]:
    """In doubles, so that a score threshold is compared as it was given."""
    scores: list[float] = np.clip((vectors @ query.vector).astype(np.float64), -1.0, 1.0).tolist()
    return scores
