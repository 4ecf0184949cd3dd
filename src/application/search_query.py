"""What a search compares with, and what its scores mean."""

from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from application.search_result import SearchOptions, Target
from domain.embeddings import Embedding
from domain.errors import InvalidRankingError
from domain.filters import ShowsSame
from domain.images import ImageId, ImageRecord, Match
from domain.ports.similarity_repository import SimilarityRepository
from domain.scores import Band, LikenessScale, LikenessScales, band_of
from domain.search import Candidate, NearestQuery

ROUNDING = 1e-6
"""By how much less than the threshold an index is asked for, where scores are compared as likeness afterwards."""

T = TypeVar("T", Match, Candidate)
Found = Coroutine[Any, Any, Sequence[T]]


def check_likeness(options: SearchOptions, scales: LikenessScales | None, *, is_one_picture: bool) -> None:
    """Raise InvalidRankingError where a least likeness is asked for and no match has any."""
    if options.min_likeness is not None and not is_one_picture:
        raise InvalidRankingError(
            "min_likeness takes one picture, or one region, to compare with. Use score_threshold."
        )
    if options.min_likeness is not None and scales is None:
        raise InvalidRankingError(
            "It is not known how unrelated pictures score with this model, so nothing has a likeness. Use "
            "score_threshold instead of min_likeness."
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SearchQuery:
    """One direction to search in."""

    vector: Embedding
    colours: NDArray[np.float32]
    """As `domain.appearance.colour_vectors` has them, shape (COLOURS,)."""
    target: Target = Target.IMAGES
    leave_out: Collection[ImageId] = ()
    low_detail: bool = False
    scales: LikenessScales | None = None
    """None: the scores have no likeness, since the model has no scale, or since no one picture is compared with."""
    same: ShowsSame | None = None
    """Passes the images that show exactly what is compared with; None where there are none."""

    async def ranked(self, repository: SimilarityRepository, options: SearchOptions) -> Sequence[Match]:
        """A part of the ranking: images that show the same come first, the others by score."""
        found = await self._same_first(
            options,
            lambda query, part: query._by_score(repository, part),
            lambda match: replace(match, score=1.0, band=Band.IDENTICAL),
        )
        return [self._with_likeness(match) for match in found]

    async def candidates(
        self, repository: SimilarityRepository, options: SearchOptions, *, embeddings: bool, appearances: bool
    ) -> Sequence[Candidate]:
        """The same part of a ranking of whole pictures, without the records."""
        find = partial(repository.candidates, embeddings=embeddings, appearances=appearances)
        scale = None if self.scales is None else self.scales.images
        return await self._same_first(
            options,
            lambda query, part: query._nearest(find, part, scale),
            lambda candidate: replace(candidate, score=1.0, is_same=True),
        )

    def match_of(self, candidate: Candidate, image: ImageRecord, order_score: float) -> Match:
        """The match that it stands for."""
        band = Band.IDENTICAL if candidate.is_same else None
        return self._with_likeness(Match(score=candidate.score, image=image, band=band, order_score=order_score))

    async def _same_first(
        self,
        options: SearchOptions,
        find: Callable[["SearchQuery", SearchOptions], Found[T]],
        as_same: Callable[[T], T],
    ) -> list[T]:
        if self.same is None:
            return list(await find(self, options))
        end = options.offset + options.limit
        among_same = replace(options, offset=0, limit=end, where=options.where.narrowed(self.same))
        unbounded = replace(among_same, score_threshold=None, min_likeness=None)
        first = [as_same(each) for each in await find(replace(self, target=Target.IMAGES), unbounded)]
        if len(first) >= end:
            return first[options.offset :]
        offset = max(options.offset - len(first), 0)
        where = replace(options.where, none=(*options.where.none, self.same))
        others = replace(options, offset=offset, limit=end - len(first) - offset, where=where)
        return first[options.offset :] + list(await find(self, others))

    async def _by_score(self, repository: SimilarityRepository, options: SearchOptions) -> Sequence[Match]:
        of_images, of_objects = (None, None) if self.scales is None else (self.scales.images, self.scales.objects)
        match self.target:
            case Target.IMAGES:
                return await self._nearest(repository.nearest, options, of_images)
            case Target.OBJECTS:
                return await self._nearest(repository.nearest_objects, options, of_objects)
            case Target.ANY:
                # Each image once, by its better match: the best n of both rankings hold the best n of all.
                end = options.offset + options.limit
                from_start = replace(options, offset=0, limit=end)
                both = [
                    *await self._nearest(repository.nearest, from_start, of_images),
                    *await self._nearest(repository.nearest_objects, from_start, of_objects),
                ]
                best = {match.image.id: match for match in sorted(both, key=lambda match: match.score)}
                return sorted(best.values(), key=lambda match: match.place)[options.offset : end]

    async def _nearest(
        self, find: Callable[[NearestQuery], Found[T]], options: SearchOptions, scale: LikenessScale | None
    ) -> Sequence[T]:
        found = await find(
            NearestQuery(
                vector=self.vector,
                limit=options.limit,
                offset=options.offset,
                score_threshold=_least_score(options, scale),
                where=options.where,
                leave_out=self.leave_out,
                exact=options.exact,
            )
        )
        if scale is None or options.min_likeness is None:
            return found
        return [each for each in found if scale.likeness(each.score) >= options.min_likeness]

    def _with_likeness(self, match: Match) -> Match:
        """The match with its likeness, and with its band unless that is known already."""
        if self.scales is None:
            return match
        likeness = (self.scales.images if match.region is None else self.scales.objects).likeness(match.score)
        appearance = match.image.appearance if match.region is None else None
        # A plain picture is like every other plain one: that says nothing of what they show.
        is_plain = self.low_detail and appearance is not None and appearance.low_detail
        return replace(match, likeness=likeness, band=match.band or (Band.WEAK if is_plain else band_of(likeness)))


def _least_score(options: SearchOptions, scale: LikenessScale | None) -> float | None:
    if scale is None or options.min_likeness is None:
        return options.score_threshold
    least = scale.score(options.min_likeness) - ROUNDING
    return least if options.score_threshold is None else max(least, options.score_threshold)
