"""Search with images that are already indexed."""

from collections.abc import Sequence
from dataclasses import dataclass

from application.arrange_matches import ArrangeMatches
from application.search_result import SearchOptions, SearchResult, Target
from domain.embeddings import example_query
from domain.errors import ImageNotFoundError, InvalidExamplesError
from domain.images import ImageId
from domain.ports.similarity_repository import SimilarityRepository


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchByExamples:
    """Find images that look like the positive examples and unlike the negative ones, without encoding anything.

    The examples themselves are left out. Scores are cosines to the combined direction (domain.embeddings).
    """

    repository: SimilarityRepository
    arrange: ArrangeMatches

    async def __call__(
        self, positive: Sequence[ImageId], negative: Sequence[ImageId] = (), *, options: SearchOptions
    ) -> SearchResult:
        """Raises ImageNotFoundError naming every unknown id, Invalid{Examples,Grouping}Error, UnavailableError."""
        self.arrange.check(options)
        examples = list(dict.fromkeys([*positive, *negative]))
        if not examples:
            raise InvalidExamplesError("Give at least one positive or negative example.")
        if both := set(positive) & set(negative):
            names = ", ".join(sorted(map(str, both)))
            raise InvalidExamplesError(f"An image cannot be a positive and a negative example at once: {names}.")
        embeddings = await self.repository.embeddings(examples)
        records = await self.repository.get(examples[:1])
        if missing := [id_ for id_ in examples if id_ not in embeddings]:
            raise ImageNotFoundError(missing)
        query = example_query(
            [embeddings[id_] for id_ in dict.fromkeys(positive)], [embeddings[id_] for id_ in dict.fromkeys(negative)]
        )
        matches, next_offset = await self.arrange(
            options, lambda part: self.repository.nearest(part.nearest_to(query, leave_out=examples))
        )
        if examples[0] not in records:  # deleted in between
            raise ImageNotFoundError(examples[:1])
        return SearchResult(
            width=records[examples[0]].width,
            height=records[examples[0]].height,
            regions=(),
            target=Target.IMAGES,
            objects=None,
            offset=options.offset,
            matches=matches,
            next_offset=next_offset,
        )
