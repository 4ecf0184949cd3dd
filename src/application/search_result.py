"""What every search answers, and how a page of it is cut."""

from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from domain.embeddings import Embedding
from domain.filters import EVERYTHING, Filter
from domain.geometry import BoundingBox
from domain.images import DetectedObject, ImageId, Match
from domain.search import NearestQuery

MAX_LIMIT = 500
MAX_OFFSET = 10_000
"""limit and offset together, and one more, stay within domain.search.MAX_WINDOW."""


class Target(StrEnum):
    """What a query is compared with: whole pictures, stored objects, or both."""

    IMAGES = "images"
    OBJECTS = "objects"
    ANY = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """Which part of the ranking to answer. `score_threshold` is a cosine similarity in [-1, 1]."""

    limit: int = 10
    offset: int = 0
    score_threshold: float | None = None
    where: Filter = EVERYTHING
    exact: bool = False

    def nearest_to(self, vector: Embedding, *, leave_out: Collection[ImageId] = ()) -> NearestQuery:
        """The same part of the ranking by similarity to `vector`."""
        return NearestQuery(
            vector=vector,
            limit=self.limit,
            offset=self.offset,
            score_threshold=self.score_threshold,
            where=self.where,
            leave_out=leave_out,
            exact=self.exact,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """Matches, best first, and the offset of the next page (None at the end).

    `width`, `height` and `regions` describe the query picture in its upright pixels; `objects` is what the detector
    sees in it, where objects were searched and there is a detector.
    """

    width: int
    height: int
    regions: tuple[BoundingBox, ...]
    target: Target
    objects: Sequence[DetectedObject] | None
    offset: int
    matches: tuple[Match, ...]
    next_offset: int | None


FindNearest = Callable[[int], Coroutine[Any, Any, Sequence[Match]]]


async def cut_page(options: SearchOptions, find: FindNearest) -> tuple[tuple[Match, ...], int | None]:
    """The matches of one page and the next page's offset; `find` fetches up to so many matches after the offset.

    One match more than asked for tells whether there is a next page.
    """
    next_offset = options.offset + options.limit
    if next_offset > MAX_OFFSET:
        return tuple(await find(options.limit)), None
    matches = await find(options.limit + 1)
    return tuple(matches[: options.limit]), next_offset if len(matches) > options.limit else None
