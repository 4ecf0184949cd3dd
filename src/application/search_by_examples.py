"""Search with images that are already indexed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from application.arrange_matches import ArrangeMatches
from application.search_query import SearchQuery, check_likeness
from application.search_result import SearchOptions, SearchResult, Target
from domain.appearance import colour_vectors
from domain.embeddings import example_query, normalised
from domain.errors import ImageNotFoundError, InvalidExamplesError
from domain.filters import Filter, ShowsSame
from domain.images import ImageId, ImageRecord
from domain.names import ImageName, id_of
from domain.ports.image_encoder import ImageEncoder
from domain.ports.similarity_repository import SimilarityRepository


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchByExamples:
    """Find images that look like the positive examples and unlike the negative ones, without encoding anything.

    The examples themselves are left out. Scores are cosines to the combined direction (domain.embeddings). One positive
    example alone is a picture that others are compared with, as `likeness` needs it.
    """

    encoder: ImageEncoder
    repository: SimilarityRepository
    arrange: ArrangeMatches

    async def __call__(
        self, positive: Sequence[ImageName], negative: Sequence[ImageName] = (), *, options: SearchOptions
    ) -> SearchResult:
        """By ids or keys.

        Raises ImageNotFoundError that names all unknown, Invalid{Examples,Grouping,Ranking}Error, TooFewLabelsError.
        """
        self.arrange.check(options, Target.IMAGES)
        names = {id_of(name): name for name in [*positive, *negative]}
        likes, dislikes = ([*dict.fromkeys(map(id_of, given))] for given in (positive, negative))
        examples = list(names)
        if not examples:
            raise InvalidExamplesError("Give at least one positive or negative example.")
        if both := set(likes) & set(dislikes):
            told = ", ".join(sorted(str(names[id_]) for id_ in both))
            raise InvalidExamplesError(f"An image cannot be a positive and a negative example at once: {told}.")
        is_one_picture = len(likes) == 1 and not dislikes
        check_likeness(options, self.encoder.likeness, is_one_picture=is_one_picture)
        embeddings = await self.repository.embeddings(examples)
        records = await self.repository.get(examples if options.color_weight else examples[:1])
        if missing := [id_ for id_ in examples if id_ not in embeddings]:
            raise ImageNotFoundError([names[id_] for id_ in missing])
        if examples[0] not in records:  # deleted in between
            raise ImageNotFoundError([names[examples[0]]])
        first = records[examples[0]]
        appearance = first.appearance if is_one_picture else None
        query = SearchQuery(
            vector=example_query([embeddings[id_] for id_ in likes], [embeddings[id_] for id_ in dislikes]),
            colours=_colours(likes, dislikes, records),
            leave_out=examples,
            low_detail=appearance is not None and appearance.low_detail,
            scales=self.encoder.likeness if is_one_picture else None,
            same=await self._same(first) if is_one_picture else None,
        )
        matches, next_offset = await self.arrange(options, lambda part: query.ranked(self.repository, part), query)
        return SearchResult(
            width=first.width,
            height=first.height,
            regions=(),
            target=Target.IMAGES,
            objects=None,
            low_detail=query.low_detail,
            offset=options.offset,
            matches=matches,
            next_offset=next_offset,
        )

    async def _same(self, example: ImageRecord) -> ShowsSame | None:
        """The condition for images that show the same as the example; None where no other image does."""
        same = ShowsSame(example.sha256, None if example.appearance is None else example.appearance.pixels)
        return same if await self.repository.count(Filter(all=(same,))) > 1 else None


def _colours(
    likes: Sequence[ImageId], dislikes: Sequence[ImageId], records: Mapping[ImageId, ImageRecord]
) -> NDArray[np.float32]:
    """Those of the positive examples, away from those of the negative ones, as `example_query` weighs embeddings."""
    weights = {id_: 2 / len(likes) for id_ in likes} | {id_: -1 / len(dislikes) for id_ in dislikes}
    known = [id_ for id_ in weights if id_ in records]
    colours = colour_vectors([records[id_].appearance for id_ in known])
    return normalised(np.array([weights[id_] for id_ in known]) @ colours)
