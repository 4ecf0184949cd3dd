"""Rankings by score and then id, over engines that leave equal scores in an order of their own.

Qdrant's order of equal scores depends on how many are asked for, so a page is cut from a ranking asked for from its
start, with one more than the page needs. When that one has the score of the page's last, more are asked for, until all
of that score are there, and the ids cut them.

Its graph does not reach all of many equal vectors: among 10,000, one of some groups of 3, half of a group of 12 and
3,151 of 5,000 could not be found, however many were asked for. Two always could; so where equal scores are seen and the
index is small, all vectors are compared instead. In a large one, copies that the graph misses stay unfound.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from adapters.repositories.qdrant.points import ANY_POINT, Points, RankedPoint, VectorQuery
from domain.embeddings import cosine_of
from domain.search import MAX_WINDOW

Scores = NDArray[np.float64]
"""Those of a ranking, best first."""

WIDEST = 2 * MAX_WINDOW
"""No more are asked for. If equal scores go on, those of them that the engine gives count: every page asks for the same
then, hence they agree."""

_FEW_COPIES = 64

COMPARED_UP_TO = 50_000
"""Points of an index, objects counted too, in which all are compared where the first answer has equal scores."""

Search = Callable[[VectorQuery], Awaitable[Sequence[RankedPoint]]]


async def ranked(
    points: Points, search: Search, query: VectorQuery, window: slice, id_of: Callable[[RankedPoint], str]
) -> list[RankedPoint]:
    """The window of the ranking by score, within [-1, 1], and then `id_of`.

    `search` is one of the two queries of `points`.
    """
    exact = query.exact
    threshold = None if query.score_threshold is None or query.score_threshold <= -1.0 else query.score_threshold
    found: Sequence[RankedPoint] = ()
    scores = scores_of(found)
    for attempt, width in enumerate(widths(window.stop)):
        found = await search(replace(query, limit=width, exact=exact, score_threshold=threshold))
        scores = scores_of(found)
        if not attempt and not exact and have_ties(scores) and await _is_small(points):
            exact = True
        elif are_settled(scores, window.stop, asked=width):
            break
    places = in_order(scores, window, lambda place: id_of(found[place]))
    return [found[place]._replace(score=float(scores[place])) for place in places]


async def _is_small(points: Points) -> bool:
    return await points.count(ANY_POINT, exact=False) <= COMPARED_UP_TO


def scores_of(found: Iterable[RankedPoint]) -> Scores:
    """As callers see them: what rounding has put beyond 1 or -1 is equal there."""
    return np.fromiter((cosine_of(each.score) for each in found), dtype=np.float64)


def widths(end: int) -> Sequence[int]:
    """How many to ask for, one after the other, until the first `end` are settled.

    Few, since each may be a look at every vector, with all of a filter's conditions.
    """
    return end + 1, end + _FEW_COPIES, WIDEST


def are_settled(scores: Scores, end: int, *, asked: int) -> bool:
    """Whether the first `end` are the ranking's, given that so many were `asked` for and these were found."""
    return len(scores) < asked or scores[end - 1] > scores[-1]


def have_ties(scores: Scores) -> bool:
    """Whether any are equal."""
    return bool((scores[1:] == scores[:-1]).any())


def in_order(scores: Scores, window: slice, id_at: Callable[[int], str]) -> list[int]:
    """The places in `scores` of the window of the ranking by score and then id. Ids are asked for as far as needed."""
    end = min(window.stop, len(scores))
    if window.start >= end:
        return []
    falling = -scores
    first = int(np.searchsorted(falling, falling[window.start], side="left"))
    last = int(np.searchsorted(falling, falling[end - 1], side="right"))
    places = sorted(range(first, last), key=lambda place: (falling[place], id_at(place)))
    return places[window.start - first : end - first]
