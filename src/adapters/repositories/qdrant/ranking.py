"""Rankings by score and then id, over engines that leave equal scores in an order of their own.

Qdrant's order of equal scores depends on how many are asked for, so a page is cut from a ranking asked for from its
start, with one more than the page needs. When that one has the score of the page's last, more are asked for, until all
of that score are there, and the ids cut them.

Its graph does not reach all of many equal vectors: among 10,000, one of some groups of 3, half of a group of 12 and
3,151 of 5,000 could not be found, however many were asked for. Two always could; so where equal scores are seen and the
index is small, all vectors are compared instead. In a large one, copies that the graph misses stay unfound.
"""

from collections.abc import Sequence

import numpy as np

from adapters.repositories.qdrant.points import ANY_POINT, FoundPoint, Points, VectorQuery, Where
from domain.embeddings import cosine_of
from domain.search import MAX_WINDOW, NearestQuery

WIDEST = 2 * MAX_WINDOW
"""No more are asked for. If equal scores go on, those of them that the engine gives count: every page asks for the same
then, hence they agree."""

_FEW_COPIES = 64

COMPARED_UP_TO = 50_000
"""Points of an index, objects counted too, in which all are compared where the first answer has equal scores."""


async def ranked(
    points: Points,
    query: NearestQuery,
    *,
    using: str,
    where: Where,
    fields: Sequence[str] = (),
    group_by: str | None = None,
) -> list[FoundPoint]:
    """The part of the ranking by score, within [-1, 1], and then id: the point's own, or what is at `group_by`.

    Of the points that pass `where`, by their vectors named `using`.

    It asks few times, since each may be a look at every vector, with all of a filter's conditions. Where it asks for
    more, ungrouped points come without their payloads, most of which would be thrown away.
    """

    def id_of(point: FoundPoint) -> str:
        return point.id if group_by is None else str(point.payload[group_by])

    exact, end = query.exact, query.end
    threshold = None if query.score_threshold is None or query.score_threshold <= -1.0 else query.score_threshold
    for width in (end + 1, end + _FEW_COPIES, WIDEST):
        asked = VectorQuery(
            vector=query.vector,
            using=using,
            limit=width,
            where=where,
            score_threshold=threshold,
            exact=exact,
            fields=fields if group_by or width == end + 1 else (),
            group_by=group_by,
        )
        found = await points.query(asked)
        # As callers see them: what rounding has put beyond 1 or -1 is equal there.
        scores = np.fromiter((cosine_of(each.score) for each in found), dtype=np.float64)
        has_copies = width == end + 1 and bool((scores[1:] == scores[:-1]).any())
        if has_copies and not exact and await points.count(ANY_POINT, exact=False) <= COMPARED_UP_TO:
            exact = True
        elif len(found) < width or scores[end - 1] > scores[-1]:
            break
    end = min(end, len(found))
    if query.offset >= end:
        return []
    falling = -scores
    first = int(np.searchsorted(falling, falling[query.offset], side="left"))
    last = int(np.searchsorted(falling, falling[end - 1], side="right"))
    places = sorted(range(first, last), key=lambda place: (falling[place], id_of(found[place])))
    return [found[place]._replace(score=float(scores[place])) for place in places[query.offset - first : end - first]]
