"""Learn from the labels that pictures have already what tells their values apart."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np

from application.begun_work import committed
from domain.errors import InvalidRankingError, Remedy, TooFewLabelsError
from domain.filters import AnyOf, Exists, Field, Filter, InRange
from domain.images import ImageId
from domain.label_space import LabelledEmbeddings, LabelSpace
from domain.metadata import MetadataType, MetadataTypes, fields_declared
from domain.ports.similarity_repository import SimilarityRepository

LEAST_VALUES = 2
LEAST_PICTURES = 5
"""Of a value that is learnt from."""
MOST_VALUES = 500
"""The most frequent ones are learnt."""
MOST_PICTURES_OF_VALUE = 200
MOST_PICTURES = 20_000
"""In all, so that learning takes seconds at most; then each value has fewer."""

UPDATED_AT = Field("updated_at")

LOOK_AGAIN_SECONDS = 10.0
"""How long what was learnt is used before it is asked whether pictures have changed."""
CHANGED_SHARE = 0.1
"""The share of its pictures after whose change a key is learnt anew."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Learnt:
    """A space, the number of pictures that had the key then, and when that was."""

    space: LabelSpace
    images: int
    at: datetime
    looked_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnLabels:
    """Keeps what is learnt of each metadata key for the next searches."""

    repository: SimilarityRepository
    types: MetadataTypes
    seconds: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _learnt: dict[Field, _Learnt] = field(default_factory=dict)
    _locks: defaultdict[Field, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    def check(self, key: Field) -> None:
        """Raise InvalidRankingError unless it is a metadata key that is declared as keyword."""
        if self.types.get(key.metadata_key or "") is not MetadataType.KEYWORD:
            known = fields_declared(self.types, [MetadataType.KEYWORD])
            raise InvalidRankingError(
                f"adapt_to takes a metadata key that is declared as keyword, not {key.name}. "
                f"{'There are: ' + ', '.join(known) if known else 'None is declared'}.",
                remedy=Remedy.INDEX_THE_METADATA_KEY,
            )

    async def space_of(self, key: Field) -> LabelSpace:
        """What tells the key's values apart; learnt at the first call, and anew when its pictures have changed much.

        While one caller waits for it to be learnt anew, the others are given what was learnt before. Raises
        TooFewLabelsError.
        """
        lock, before = self._locks[key], self._learnt.get(key)
        if before is not None and lock.locked():
            return before.space
        async with lock:
            learnt = self._learnt.get(key)
            if learnt is None or await self._is_outdated(key, learnt):
                # No caller's deadline ends it: all callers would begin it again, and none would see its end.
                learnt = await committed(self._kept(key))
            return learnt.space

    async def _kept(self, key: Field) -> _Learnt:
        """What is learnt now, kept for the next calls. Where that fails, nothing is kept: they try again."""
        try:
            self._learnt[key] = learnt = await self._learn(key)
        except Exception:
            self._learnt.pop(key, None)
            raise
        return learnt

    async def _is_outdated(self, key: Field, learnt: _Learnt) -> bool:
        if self.seconds() - learnt.looked_at < LOOK_AGAIN_SECONDS:
            return False
        having = Filter(all=(Exists(key),))
        images = await self.repository.count(having)
        changed = await self.repository.count(having.narrowed(InRange(field=UPDATED_AT, gte=learnt.at)))
        self._learnt[key] = replace(learnt, looked_at=self.seconds())
        return changed + max(0, learnt.images - images) >= CHANGED_SHARE * learnt.images

    async def _learn(self, key: Field) -> _Learnt:
        at, looked_at = self.now(), self.seconds()
        images = await self.repository.count(Filter(all=(Exists(key),)))
        counts = Counter(await self.repository.facet(key, MetadataType.KEYWORD))
        values = [str(value) for value, count in counts.most_common(MOST_VALUES) if count >= LEAST_PICTURES]
        if len(values) < LEAST_VALUES:
            raise TooFewLabelsError(
                f"{key.name} tells too little to adapt to: it takes {LEAST_VALUES} values of {LEAST_PICTURES} pictures "
                f"each, and {len(values)} {'has' if len(values) == 1 else 'have'} so many."
            )
        labels = LabelledEmbeddings(self.repository.space.dimension, values)
        of_each = min(MOST_PICTURES_OF_VALUE, MOST_PICTURES // len(values))
        seen = set[ImageId]()  # pictures may have several values
        for value in values:
            page = await self.repository.list(limit=of_each, where=Filter(all=(AnyOf(key, (value,)),)))
            has = {record.id: key.value_of(record) for record in page.items if record.id not in seen}
            seen |= has.keys()
            embeddings = await self.repository.embeddings(has.keys())
            if embeddings:  # else they were deleted meanwhile, or seen before
                vectors = np.stack(list(embeddings.values()))
                await asyncio.to_thread(labels.add, vectors, [_values(has[id_]) for id_ in embeddings])
        space = await asyncio.to_thread(labels.fitted)
        return _Learnt(space=space, images=images, at=at, looked_at=looked_at)


def _values(stored: object) -> Collection[str]:
    return stored if isinstance(stored, list) else [str(stored)]
