"""From a ranking to what a search shows: its first matches reordered, then grouped, then cut into a page."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from application.begun_work import all_of
from application.index_pages import pages_of
from application.rerank_matches import Rank, Reordered, RerankMatches
from application.search_query import SearchQuery
from application.search_result import SearchOptions, Target, cut_page
from domain.errors import InvalidGroupingError, Remedy
from domain.filters import AnyOf, Field, Filter
from domain.images import ImageId, ImageRecord, Match, MatchGroup
from domain.metadata import MetadataType, MetadataTypes, fields_declared
from domain.ports.similarity_repository import SimilarityRepository
from domain.search import MAX_WINDOW

REORDERED = 200
"""As many of the best matches may change places. Beyond them the order is that of the scores."""

GROUPABLE = (MetadataType.KEYWORD, MetadataType.INTEGER)
SHA256 = Field("sha256")

FIRST_DEPTH = 20
"""How far a ranking is read for groups at first, unless more groups are wanted: most of the time goes into it."""

COUNTED_AT_ONCE = 10
"""Values of which a facet tells the counts: in an embedded index one of 10 takes 2 ms, of 50 31 ms, of 100 106 ms."""

LISTED_AT_ONCE = 2_000
"""Records, where groups by arrays are counted: each page costs as much as looking at all of an index."""

Value = str | int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grouping:
    """By the values of a field."""

    field: Field
    type: MetadataType

    def value_of(self, image: ImageRecord) -> Value | None:
        """The field's value, of an array the first; None where there is none of the declared type."""
        value = self.field.value_of(image)
        if isinstance(value, list):
            value = value[0] if value else None
        return value if isinstance(value, str | int) and self.type.accepts(value) else None

    def among(self, where: Filter, values: Collection[Value]) -> Filter:
        """Of the images that `where` passes those with one of the values: of arrays also where it is not the first."""
        return where.narrowed(AnyOf(self.field, tuple(values)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrangeMatches:
    """What all searches do with their ranking, whatever it ranks by."""

    repository: SimilarityRepository
    types: MetadataTypes
    rerank: RerankMatches

    def check(self, options: SearchOptions, target: Target) -> None:
        """Raise InvalidGroupingError if there is no such grouping, InvalidRankingError if there is no such order."""
        self.rerank.check(options, target)
        if options.group_by is not None:
            self._grouping(options.group_by)
        elif options.group_size is not None:
            raise InvalidGroupingError("Give group_by too: group_size is the size of its groups.")

    async def __call__(
        self, options: SearchOptions, rank: Rank, query: SearchQuery
    ) -> tuple[tuple[Match, ...], int | None]:
        """One page of what is shown, and the offset of the next.

        Groups are formed among the first MAX_WINDOW matches. Raises InvalidGroupingError, TooFewLabelsError.
        """
        order = await self._reordered(options, rank, query)
        if options.group_by is None:
            return await cut_page(options, lambda limit: order(replace(options, limit=limit)))
        grouping = self._grouping(options.group_by)
        groups, next_offset = await cut_page(
            options, lambda limit: _groups(grouping, order, replace(options, limit=limit))
        )
        return await self._shown(grouping, groups, rank, options), next_offset

    def _grouping(self, field: Field) -> _Grouping:
        if field == SHA256:
            return _Grouping(field=field, type=MetadataType.KEYWORD)
        type_ = self.types.get(field.metadata_key or "")
        if type_ not in GROUPABLE:
            known = [*fields_declared(self.types, GROUPABLE), SHA256.name]
            raise InvalidGroupingError(
                f"There are no groups by {field.name}. Group by {', '.join(known)}, or by a metadata "
                "key that is declared as keyword or integer.",
                remedy=Remedy.INDEX_THE_METADATA_KEY,
            )
        return _Grouping(field=field, type=type_)

    async def _reordered(self, options: SearchOptions, rank: Rank, query: SearchQuery) -> Rank:
        """The ranking with its first matches in the order that the options ask for."""
        if not options.reorders or (options.group_by is None and options.offset >= REORDERED):
            return rank
        return _continued(await self.rerank(replace(options, offset=0, limit=REORDERED), rank, query), rank)

    async def _shown(
        self, grouping: _Grouping, groups: Sequence[list[Match]], rank: Rank, options: SearchOptions
    ) -> tuple[Match, ...]:
        """The best of each group, with what there is to tell of the group. `rank` is by score, for any filter."""
        values = [grouping.value_of(best.image) for best, *_ in groups]
        valued = {value: group for value, group in zip(values, groups, strict=True) if value is not None}
        images = await self._images(grouping, options.where, valued) if valued else {}
        size = options.group_size or 1
        lacking = {value: min(size, images[value]) for value in valued}
        await _complete(valued, lacking, grouping, rank, options)
        return tuple(
            replace(
                best,
                group=MatchGroup(
                    value=value, images=1 if value is None else images[value], more=tuple(more[: size - 1])
                ),
            )
            for value, (best, *more) in zip(values, groups, strict=True)
        )

    async def _images(
        self, grouping: _Grouping, where: Filter, groups: Mapping[Value, Sequence[Match]]
    ) -> Mapping[Value, int]:
        """How many of the images that `where` passes have the value of each of these groups, exactly."""
        values = list(groups)
        if grouping.field == SHA256:
            wheres = [grouping.among(where, [value]) for value in values]
            return dict(zip(values, await all_of(map(self.repository.count, wheres)), strict=True))
        among = grouping.among(where, values)
        if not any(isinstance(grouping.field.value_of(best.image), list) for best, *_ in groups.values()):
            parts = (values[first : first + COUNTED_AT_ONCE] for first in range(0, len(values), COUNTED_AT_ONCE))
            facets = [
                self.repository.facet(grouping.field, grouping.type, grouping.among(where, part)) for part in parts
            ]
            counts, images = await all_of((all_of(facets), self.repository.count(among)))
            if sum(sum(having.values()) for having in counts) == images:
                found = {value: count for having in counts for value, count in having.items()}
                return {value: found.get(value, 0) for value in values}
        # Some have several values. Only the first counts, and which that is the records alone tell.
        first = Counter[Value | None]()
        async for page in pages_of(self.repository, page_size=LISTED_AT_ONCE, where=among):
            first.update(map(grouping.value_of, page.items))
        return {value: first[value] for value in values}


def _continued(first: Reordered, rank: Rank) -> Rank:
    """A ranking that begins with `first`, and goes on as `rank` does.

    `first` holds the first REORDERED matches of `rank` in another order, or all matches if there are fewer.
    """

    async def ranked(part: SearchOptions) -> Sequence[Match]:
        end = part.offset + part.limit
        shown = await first.part(part.offset, end)
        lacking = part.limit - len(shown)
        if not lacking or len(first) < REORDERED:
            return shown
        # Where pictures of the first were deleted meanwhile, the others have moved up in the ranking too.
        return [*shown, *await rank(replace(part, offset=end - lacking, limit=lacking))]

    return ranked


async def _groups(grouping: _Grouping, rank: Rank, options: SearchOptions) -> list[list[Match]]:
    """The groups that the options ask for, each with its matches in the part of the ranking that was read.

    That part is as short as it can be: it is lengthened until there are enough groups in it.
    """
    end = options.offset + options.limit
    groups: dict[Value | ImageId, list[Match]] = {}
    seen = set[ImageId]()
    reordered = REORDERED if options.reorders else 0  # read whole: what `_complete` adds is in the order of scores
    read, depth = 0, min(max(FIRST_DEPTH, 2 * end, reordered), MAX_WINDOW)
    while True:
        page = await rank(replace(options, offset=read, limit=depth - read))
        for match in page:
            if match.image.id not in seen:  # an approximate index may give it in two parts
                value = grouping.value_of(match.image)
                groups.setdefault(match.image.id if value is None else value, []).append(match)
                seen.add(match.image.id)
        if len(groups) >= end or len(page) < depth - read or depth == MAX_WINDOW:
            return list(groups.values())[options.offset : end]
        read, depth = depth, min(4 * depth, MAX_WINDOW)


async def _complete(
    groups: Mapping[Value, list[Match]],
    sizes: Mapping[Value, int],
    grouping: _Grouping,
    rank: Rank,
    options: SearchOptions,
) -> None:
    """Lengthen groups to these sizes, as far as the ranking has so many of them, however late they come in it."""
    depth = 0
    while lacking := {value for value, size in sizes.items() if len(groups[value]) < size}:
        depth = min(max(FIRST_DEPTH, 4 * depth, 2 * sum(sizes[value] for value in lacking)), MAX_WINDOW)
        known = {match.image.id for value in lacking for match in groups[value]}
        found = await rank(replace(options, where=grouping.among(options.where, lacking), offset=0, limit=depth))
        for match in found:
            value = grouping.value_of(match.image)
            if value in lacking and match.image.id not in known:
                groups[value].append(match)
        if len(found) < depth or depth == MAX_WINDOW:
            return
