"""What every search answers, and how a page of it is cut."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from domain.filters import EVERYTHING, Field, Filter
from domain.geometry import BoundingBox
from domain.images import DetectedObject, Match

T = TypeVar("T")

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
    """Which part of the ranking to answer, and how it is arranged. `score_threshold` is a cosine in [-1, 1]."""

    limit: int = 10
    offset: int = 0
    score_threshold: float | None = None
    min_likeness: float | None = None
    """Least likeness, in [0, 1]; where a threshold is given too, both hold."""
    where: Filter = EVERYTHING
    exact: bool = False
    group_by: Field | None = None
    """Show one match for each value of this field; limit and offset count groups then."""
    group_size: int | None = None
    """Most matches to name of a group; None for 1."""
    diversity: float = 0.0
    """How much likeness to better matches counts against a match, in [0, 1]."""
    adapt_to: Field | None = None
    """Count also what tells the values of this metadata key apart."""
    color_weight: float = 0.0
    """How much colours count, in [0, 1]."""

    @property
    def reorders(self) -> bool:
        """Whether the first matches come in another order than that of their scores."""
        return bool(self.diversity or self.color_weight or self.adapt_to is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """Matches in the order shown, and the offset of the next page (None at the end).

    `width`, `height` and `regions` describe the query picture in its upright pixels; `objects` is what the detector
    sees in it, where objects were searched and there is a detector; `low_detail`: it shows too little to be found by.
    """

    width: int
    height: int
    regions: tuple[BoundingBox, ...]
    target: Target
    objects: Sequence[DetectedObject] | None
    low_detail: bool
    offset: int
    matches: tuple[Match, ...]
    next_offset: int | None


Find = Callable[[int], Coroutine[Any, Any, Sequence[T]]]


async def cut_page(options: SearchOptions, find: Find[T]) -> tuple[tuple[T, ...], int | None]:
    """The matches, or groups, of one page and the next page's offset; `find` fetches up to so many after the offset.

    One more than asked for tells whether there is a next page.
    """
    next_offset = options.offset + options.limit
    if next_offset > MAX_OFFSET:
        return tuple(await find(options.limit)), None
    matches = await find(options.limit + 1)
    return tuple(matches[: options.limit]), next_offset if len(matches) > options.limit else None
