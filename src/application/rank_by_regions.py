"""Rank pictures by how well their objects match several regions of a query at once."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

import lap
import numpy as np

from application.search_result import SearchOptions
from domain.embeddings import Embeddings
from domain.geometry import BoundingBox
from domain.images import ImageId, ImageRecord, Match, RegionMatch
from domain.ports.similarity_repository import SimilarityRepository
from domain.search import MAX_WINDOW, NearestQuery

log = logging.getLogger(__name__)

FIRST_DEPTH = 64
ROUNDING = 1e-6
"""How far apart two computations of one similarity may be: the repository's and this module's."""

PICTURES_AT_ONCE = 500
"""Bounds how many objects' embeddings are in memory."""


async def rank_by_regions(
    repository: SimilarityRepository,
    regions: Sequence[BoundingBox],
    queries: Embeddings,
    options: SearchOptions,
    *,
    wanted: int,
) -> list[Match]:
    """The best `wanted` pictures, best first: by the mean similarity of the best one-to-one assignment.

    `queries` (len(regions), dimension) are the regions' embeddings. A region without a counterpart of positive
    similarity counts 0. Candidates come from one nearest-objects list a region, deepened until no picture outside
    the lists can rank above the last one wanted (the threshold algorithm of Fagin, Lotem and Naor, 2001), or until
    MAX_WINDOW. Equal scores are in the order of ids, here as in the lists. An image that has lost objects cannot be
    assigned: it is left out, and the log names it.
    """
    ranked: dict[ImageId, Match] = {}
    damaged: set[ImageId] = set()
    depth = min(max(FIRST_DEPTH, 2 * wanted), MAX_WINDOW)
    while True:
        # One after the other: an embedded index answers in turn, and others get in between.
        lists = [
            await repository.nearest_objects(
                NearestQuery(vector=query, limit=depth, where=options.where, exact=options.exact)
            )
            for query in queries
        ]
        candidates = {match.image.id: match.image for matches in lists for match in matches}
        await _assign(repository, regions, queries, candidates, ranked, damaged)
        best = sorted(ranked.values(), key=lambda match: match.place)
        last = best[wanted - 1] if len(best) >= wanted else None
        if depth == MAX_WINDOW or _is_final(last, lists, depth):
            threshold = options.score_threshold
            return [match for match in best[:wanted] if threshold is None or match.score >= threshold]
        depth = min(4 * depth, MAX_WINDOW)


def _is_final(last: Match | None, lists: Sequence[Sequence[Match]], depth: int) -> bool:
    """Whether no picture outside the lists can rank above `last`. Only a list of `depth` matches may go on.

    Such a picture matches each region no better than the last in the region's list, and where it matches as well its id
    comes later.
    """
    ends = [matches[-1] for matches in lists if len(matches) == depth and matches[-1].score > 0]
    if not ends or last is None:
        return not ends
    unseen = sum(match.score for match in ends) / len(lists)
    if last.score > unseen + ROUNDING:
        return True
    return last.score > unseen - ROUNDING and last.image.id <= max(match.image.id for match in ends)


async def _assign(  # noqa: PLR0917 - the search's parameters, then what it knows
    repository: SimilarityRepository,
    regions: Sequence[BoundingBox],
    queries: Embeddings,
    candidates: Mapping[ImageId, ImageRecord],
    ranked: dict[ImageId, Match],
    damaged: set[ImageId],
) -> None:
    """Add to `ranked` the candidates that it lacks, or to `damaged`."""
    new = [id_ for id_ in candidates if id_ not in ranked and id_ not in damaged]
    for first in range(0, len(new), PICTURES_AT_ONCE):
        found = await repository.object_embeddings(new[first : first + PICTURES_AT_ONCE])
        whole = [(candidates[id_], objects) for id_, objects in found.items() if objects is not None]
        for id_ in [id_ for id_, objects in found.items() if objects is None]:
            log.warning(
                "Image %s is left out of a search, since objects of it are missing: delete it and index it again. "
                "An integrity check finds all such images.",
                id_,
            )
            damaged.add(id_)
        matches = await asyncio.to_thread(
            lambda images: [_match(regions, queries, image, objects) for image, objects in images], whole
        )
        ranked.update((match.image.id, match) for match in matches if match is not None)


def _match(
    regions: Sequence[BoundingBox], queries: Embeddings, image: ImageRecord, objects: Embeddings
) -> Match | None:
    """The image with its best assignment; None where its objects changed since the candidates were found."""
    if len(objects) != len(image.objects):
        return None
    similarities = np.clip(queries @ objects.T, 0.0, 1.0)
    _, assigned, _ = lap.lapjv(1.0 - similarities, extend_cost=True)  # for each row its column, or -1
    pairs = []
    for row, region in enumerate(regions):
        column = int(assigned[row])
        score = 0.0 if column < 0 else float(similarities[row, column])
        found = image.objects[column] if score > 0 else None
        pairs.append(RegionMatch(query_region=region, object=found, score=score))
    return Match(score=float(np.mean([pair.score for pair in pairs])), image=image, regions=tuple(pairs))
