"""Another order of the best matches: by labels, by colours, and by how they differ."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from application.learn_labels import LearnLabels
from application.search_query import SearchQuery
from application.search_result import SearchOptions, Target
from domain.appearance import colour_vectors
from domain.embeddings import Embedding, Embeddings
from domain.errors import InvalidRankingError
from domain.images import Match
from domain.label_space import LABEL_WEIGHT, LabelSpace
from domain.ports.similarity_repository import SimilarityRepository
from domain.search import Candidate

Worths = NDArray[np.float64]
"""What an order is made by, one for each match."""

Rank = Callable[[SearchOptions], Coroutine[Any, Any, Sequence[Match]]]
"""The part of a ranking that options tell: by limit, offset, thresholds and filter."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reordered:
    """Matches in another order. Of whole pictures records are read when they are asked for, since few of them are."""

    items: Sequence[Match | Candidate]
    order_scores: Sequence[float]
    repository: SimilarityRepository
    query: SearchQuery

    def __len__(self) -> int:
        return len(self.items)

    async def part(self, first: int, end: int) -> list[Match]:
        """Those at these places. What was deleted meanwhile is left out, and what follows moves up as far as needed."""
        matches, place = list[Match](), first
        while len(matches) < end - first and place < len(self.items):
            read_to = place + (end - first) - len(matches)
            matches += await self._at(place, read_to)
            place = read_to
        return matches

    async def _at(self, first: int, end: int) -> list[Match]:
        items = self.items[first:end]
        ids = [item.id for item in items if isinstance(item, Candidate)]
        records = await self.repository.get(ids) if ids else {}
        matches: list[Match] = []
        for item, order_score in zip(items, self.order_scores[first:end], strict=True):
            if isinstance(item, Match):
                matches.append(replace(item, order_score=order_score))
            elif item.id in records:
                matches.append(self.query.match_of(item, records[item.id], order_score))
        return matches


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

    async def __call__(self, options: SearchOptions, rank: Rank, query: SearchQuery) -> Reordered:
        """The matches that `rank` gives for these options, in another order. Raises TooFewLabelsError."""
        space = None if options.adapt_to is None else await self.labels.space_of(options.adapt_to)
        needs_vectors = space is not None or options.diversity > 0
        items: Sequence[Match | Candidate]
        vectors, colours = None, None
        if query.target is Target.IMAGES:
            items = candidates = await query.candidates(
                self.repository, options, embeddings=needs_vectors, appearances=options.color_weight > 0
            )
            if needs_vectors:
                vectors = self._stacked([candidate.embedding for candidate in candidates])
            if options.color_weight:
                colours = colour_vectors([candidate.appearance for candidate in candidates]) @ query.colours
        else:
            items = matches = await rank(options)
            vectors = await self._vectors(matches)
        order, order_scores = await asyncio.to_thread(_ordered, items, options, query.vector, space, vectors, colours)
        return Reordered(
            items=[items[place] for place in order],
            order_scores=order_scores,
            repository=self.repository,
            query=query,
        )

    async def _vectors(self, matches: Sequence[Match]) -> Embeddings:
        """The embedding of each match: of its object, where one matched, else of its picture; 0 where it is gone."""
        pictures = await self.repository.embeddings([match.image.id for match in matches if match.region is None])
        objects = await self.repository.object_embeddings([match.image.id for match in matches if match.region])

        def vector_of(match: Match) -> Embedding | None:
            if match.region is None:
                return pictures.get(match.image.id)
            found = objects.get(match.image.id)
            if found is None or len(found) != len(match.image.objects):
                return None
            vector: Embedding = found[match.image.objects.index(match.region)]
            return vector

        return self._stacked(list(map(vector_of, matches)))

    def _stacked(self, vectors: Sequence[Embedding | None]) -> Embeddings:
        stacked = np.zeros((len(vectors), self.repository.space.dimension), dtype=np.float32)
        for row, vector in zip(stacked, vectors, strict=True):
            row[:] = 0.0 if vector is None else vector
        return stacked


def _ordered(  # noqa: PLR0917 - what an order is made of
    items: Sequence[Match | Candidate],
    options: SearchOptions,
    query: Embedding,
    space: LabelSpace | None,
    vectors: Embeddings | None,
    colours: NDArray[np.float32] | None,
) -> tuple[list[int], list[float]]:
    """Places of the items, and what they were chosen by; of equals the one in front comes first."""
    # Products of vectors of length 1 may be rounded to more than 1: clipped, none is worth more than the same picture.
    same = np.array([isinstance(item, Candidate) and item.is_same for item in items], dtype=bool)
    worths = np.array([item.score for item in items], dtype=np.float64)
    if space is not None and vectors is not None:
        of_labels = np.clip(space.similarities(query, vectors), -(LABEL_WEIGHT**2), LABEL_WEIGHT**2)
        worths += np.where(same, LABEL_WEIGHT**2, of_labels)
    if colours is not None:
        of_colours = np.clip(colours.astype(np.float64), -1.0, 1.0)
        worths = (1.0 - options.color_weight) * worths + options.color_weight * np.where(same, 1.0, of_colours)
    if options.diversity and vectors is not None:
        return _most_diverse(worths, vectors, options.diversity)
    order = np.argsort(-worths, kind="stable")
    return order.tolist(), worths[order].tolist()


def _most_diverse(worths: Worths, vectors: Embeddings, diversity: float) -> tuple[list[int], list[float]]:
    """By maximal marginal relevance (Carbonell and Goldstein, 1998), of what was compared with the query.

    The next is of greatest (1 - diversity) * worth - diversity * greatest similarity to those chosen.
    """
    similarities = (vectors @ vectors.T).astype(np.float64)
    relevance = (1.0 - diversity) * worths
    left = relevance.copy()
    greatest = np.full(len(worths), -np.inf)
    chosen, chosen_by = list[int](), list[float]()
    for _ in worths:
        best = int(np.argmax(left))
        chosen.append(best)
        chosen_by.append(float(left[best]))
        np.maximum(greatest, similarities[best], out=greatest)
        left = relevance - diversity * greatest
        left[chosen] = -np.inf
    return chosen, chosen_by
