"""Search with images that are already indexed."""

from collections.abc import Sequence
from dataclasses import dataclass

from application.arrange_matches import ArrangeMatches
from application.search_result import SearchOptions, SearchResult, Target
from domain.embeddings import example_query
from domain.errors import ImageNotFoundError, InvalidExamplesError
from domain.names import ImageName, id_of
from domain.ports.similarity_repository import SimilarityRepository


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchByExamples:
    """Find images that look like the positive examples and unlike the negative ones, without encoding anything.

    The examples themselves are left out. Scores are cosines to the combined direction (domain.embeddings).
    """

    repository: SimilarityRepository
    arrange: ArrangeMatches

    async def __call__(
        self, positive: Sequence[ImageName], negative: Sequence[ImageName] = (), *, options: SearchOptions
    ) -> SearchResult:
        """By ids or keys. Raises ImageNotFoundError that names all unknown, Invalid{Examples,Grouping}Error."""
        self.arrange.check(options)
        names = {id_of(name): name for name in [*positive, *negative]}
        likes, dislikes = ([*dict.fromkeys(map(id_of, given))] for given in (positive, negative))
        examples = list(names)
        if not examples:
            raise InvalidExamplesError("Give at least one positive or negative example.")
        if both := set(likes) & set(dislikes):
            told = ", ".join(sorted(str(names[id_]) for id_ in both))
            raise InvalidExamplesError(f"An image cannot be a positive and a negative example at once: {told}.")
        embeddings = await self.repository.embeddings(examples)
        records = await self.repository.get(examples[:1])
        if missing := [id_ for id_ in examples if id_ not in embeddings]:
            raise ImageNotFoundError([names[id_] for id_ in missing])
        query = example_query([embeddings[id_] for id_ in likes], [embeddings[id_] for id_ in dislikes])
        matches, next_offset = await self.arrange(
            options, lambda part: self.repository.nearest(part.nearest_to(query, leave_out=examples))
        )
        if examples[0] not in records:  # deleted in between
            raise ImageNotFoundError([names[examples[0]]])
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
