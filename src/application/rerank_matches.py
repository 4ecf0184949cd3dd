"""Another order of the best matches: by labels, by colours, and by how they differ."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from application.learn_labels import LearnLabels
from application.search_query import SearchQuery
from application.search_result import SearchOptions, Target
from domain.appearance import colour_vectors
from domain.embeddings import Embeddings
from domain.errors import InvalidRankingError
from domain.images import Match
from domain.label_space import LABEL_WEIGHT, LabelSpace
from domain.ports.similarity_repository import SimilarityRepository
from domain.scores import Band

Worths = NDArray[np.float64]
"""What an order is made by, one for each match."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankMatches:
    """Orders matches anew by what `adapt_to`, `color_weight` and `diversity` ask for, all at once.

    Worth is the cosine, and with labels what their space adds (domain.label_space); colours take their share of it:
    (1 - color_weight) * worth + color_weight * their similarity. Diversity chooses by that. A picture that shows the
    same as the query has the greatest worth there is.
    """

    repository: SimilarityRepository
    labels: LearnLabels

    def check(self, options: SearchOptions, target: Target) -> None:
        """Raise InvalidRankingError for labels or colours of what has none, or of a key that is not declared."""
        if options.adapt_to is not None:
            self.labels.check(options.adapt_to)
        if target is not Target.IMAGES and (options.adapt_to is not None or options.color_weight):
            raise InvalidRankingError(
                f"adapt_to and color_weight go with target=images, not with {target}: objects have neither labels nor "
                "colours of their own."
            )

    async def __call__(self, matches: Sequence[Match], options: SearchOptions, query: SearchQuery) -> list[Match]:
        """The matches with their `order_score`, which come by score. Raises TooFewLabelsError."""
        space = None if options.adapt_to is None else await self.labels.space_of(options.adapt_to)
        vectors = await self._vectors(matches) if space is not None or options.diversity else None
        chosen = await asyncio.to_thread(_ordered, matches, options, query, space, vectors)
        return [replace(matches[place], order_score=order_score) for place, order_score in chosen]

    async def _vectors(self, matches: Sequence[Match]) -> Embeddings:
        """The embedding of each match: of its object, where one matched, else of its picture; 0 where it is gone."""
        pictures = await self.repository.embeddings([match.image.id for match in matches if match.region is None])
        objects = await self.repository.object_embeddings([match.image.id for match in matches if match.region])
        vectors = np.zeros((len(matches), self.repository.space.dimension), dtype=np.float32)
        for vector, match in zip(vectors, matches, strict=True):
            if match.region is None:
                vector[:] = pictures.get(match.image.id, 0.0)
            elif (found := objects.get(match.image.id)) is not None and len(found) == len(match.image.objects):
                vector[:] = found[match.image.objects.index(match.region)]
        return vectors


def _ordered(
    matches: Sequence[Match],
    options: SearchOptions,
    query: SearchQuery,
    space: LabelSpace | None,
    vectors: Embeddings | None,
) -> list[tuple[int, float]]:
    """Places of matches, and what they were chosen by; of equals the one in front comes first."""
    same = np.array([match.band is Band.IDENTICAL for match in matches], dtype=bool)
    worths = np.array([match.score for match in matches], dtype=np.float64)
    if space is not None and vectors is not None:
        worths += np.where(same, LABEL_WEIGHT**2, space.similarities(query.vector, vectors))
    if options.color_weight:
        colours = colour_vectors([match.image.appearance for match in matches]) @ query.colours
        worths = (1.0 - options.color_weight) * worths + options.color_weight * np.where(same, 1.0, colours)
    if options.diversity and vectors is not None:
        return _most_diverse(worths, vectors, options.diversity)
    order = np.argsort(-worths, kind="stable")
    return list(zip(order.tolist(), worths[order].tolist(), strict=True))


def _most_diverse(worths: Worths, vectors: Embeddings, diversity: float) -> list[tuple[int, float]]:
    """By maximal marginal relevance (Carbonell and Goldstein, 1998), of what was compared with the query.

    The next is of greatest (1 - diversity) * worth - diversity * greatest similarity to those chosen.
    """
    similarities = (vectors @ vectors.T).astype(np.float64)
    relevance = (1.0 - diversity) * worths
    left = relevance.copy()
    greatest = np.full(len(worths), -np.inf)
    chosen: list[tuple[int, float]] = []
    for _ in worths:
        best = int(np.argmax(left))
        chosen.append((best, float(left[best])))
        np.maximum(greatest, similarities[best], out=greatest)
        left = relevance - diversity * greatest
        left[[place for place, _ in chosen]] = -np.inf
    return chosen
