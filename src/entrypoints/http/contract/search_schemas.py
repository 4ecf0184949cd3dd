"""Searches and their results."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from application.search_result import SearchOptions, SearchResult, Target
from domain.filters import EVERYTHING, Filter
from domain.images import Match
from domain.scores import Band
from entrypoints.http.contract.filter_schema import FilterIn
from entrypoints.http.contract.image_schemas import EXAMPLE_ID, EXAMPLE_IMAGE, BoxOut, FromDomain, ImageOut, ObjectOut
from entrypoints.http.contract.image_view import PUBLIC_GROUPINGS, ImageView
from entrypoints.http.contract.name_schemas import ImageNameIn
from entrypoints.http.contract.parameters import (
    AdaptTo,
    ColorWeight,
    Diversity,
    GroupBy,
    GroupSize,
    Limit,
    MinLikeness,
    Offset,
    ScoreThreshold,
)


class QueryOut(FromDomain):
    """What was searched for. For examples, the size is that of the first one."""

    width: int
    height: int
    regions: list[BoxOut]
    target: Target
    objects: Annotated[
        list[ObjectOut] | None,
        Field(description="What the detector sees in the query; null where images were searched, or without one."),
    ]
    low_detail: Annotated[
        bool, Field(description="It shows too little to be found by: one colour, a plain shape, noise.")
    ]


class RegionMatchOut(FromDomain):
    """How one region of the query is matched by a stored object."""

    query_region: BoxOut
    object: Annotated[ObjectOut | None, Field(description="null: no object of the image matches this region.")]
    score: Annotated[float, Field(ge=-1, le=1)]


class GroupOut(BaseModel):
    """The group that a match stands for."""

    value: Annotated[str | int | None, Field(description="null: the image has none, and is a group of its own.")]
    images: Annotated[int, Field(ge=1, description="How many images of this value pass the filter.")]
    more: Annotated[
        list["MatchOut"], Field(description="The next best of them; their `rank` is the place in the group.")
    ] = []


class MatchOut(BaseModel):
    """A match; `score` is the cosine similarity, and exactly 1 for the same bytes or the same decoded pixels.

    A large JPEG is scaled down as it is decoded, so its decoded pixels need not be those of the same picture in another
    format, which then scores a little less than 1.
    """

    rank: Annotated[int, Field(ge=1)]
    score: Annotated[float, Field(ge=-1, le=1)]
    order_score: Annotated[
        float | None, Field(description="What the order was made by; null where that is `score`.")
    ] = None
    likeness: Annotated[
        float | None,
        Field(
            ge=0,
            le=1,
            description="The score on a scale that means the same for every model: 0 at the median of unrelated "
            "pairs, 0.5 where one such pair in ten thousand is, 1 at the same picture. null where no one picture is "
            "compared with, or where the model has no scale.",
        ),
    ] = None
    band: Annotated[
        Band | None,
        Field(
            description="The likeness in a word: `identical` (same bytes or pixels), `very_alike` (0.75 or more), "
            "`alike` (0.5), `weak`. Two pictures of low detail are never called alike. null as for `likeness`, but for "
            "what is identical."
        ),
    ] = None
    group: GroupOut | None = None
    image: ImageOut
    region: ObjectOut | None = None
    regions: list[RegionMatchOut] | None = None

    @classmethod
    def of(cls, rank: int, match: Match, view: ImageView) -> Self:
        """From the domain."""
        group = match.group and GroupOut(
            value=match.group.value,
            images=match.group.images,
            more=[cls.of(place, other, view) for place, other in enumerate(match.group.more, start=2)],
        )
        return cls(
            rank=rank,
            score=match.score,
            order_score=match.order_score,
            likeness=match.likeness,
            band=match.band,
            group=group,
            image=ImageOut.of(match.image, view),
            region=match.region,
            regions=match.regions,
        )


_EXAMPLE_MATCH: JsonDict = {
    "rank": 1,
    "score": 0.8312,
    "order_score": None,
    "likeness": 0.87,
    "band": "very_alike",
    "group": None,
    "image": EXAMPLE_IMAGE,
    "region": None,
    "regions": None,
}
_EXAMPLE_GROUP: JsonDict = {
    "value": "acme",
    "images": 3,
    "more": [{**_EXAMPLE_MATCH, "rank": 2, "score": 0.5954, "likeness": 0.689, "band": "alike"}],
}


class SearchResultOut(BaseModel):
    """Matches in the order shown: best first, unless another was asked for. No match is an empty list."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "query": {
                        "width": 400,
                        "height": 711,
                        "regions": [],
                        "target": "images",
                        "objects": None,
                        "low_detail": False,
                    },
                    "matches": [{**_EXAMPLE_MATCH, "group": _EXAMPLE_GROUP}],
                    "next_offset": 1,
                }
            ]
        }
    )

    query: QueryOut
    matches: list[MatchOut]
    next_offset: int | None

    @classmethod
    def of(cls, result: SearchResult, view: ImageView) -> Self:
        """From the use case."""
        return cls(
            query=QueryOut.of(result),
            matches=[
                MatchOut.of(rank, match, view) for rank, match in enumerate(result.matches, start=result.offset + 1)
            ],
            next_offset=result.next_offset,
        )


class SearchParameters(BaseModel):
    """What all searches take beside the query and the filter: which part of the ranking, and how it is arranged."""

    model_config = ConfigDict(extra="forbid")

    limit: Limit = 10
    offset: Offset = 0
    score_threshold: ScoreThreshold | None = None
    # Without an empty example, Swagger UI sends 1: only what is the same, and a size of groups without `group_by`.
    min_likeness: Annotated[MinLikeness | None, Field(examples=[""])] = None
    group_by: GroupBy | None = None
    group_size: Annotated[GroupSize | None, Field(examples=[""])] = None
    diversity: Diversity = 0.0
    adapt_to: AdaptTo | None = None
    color_weight: ColorWeight = 0.0
    exact: Annotated[bool, Field(description="Compare with every vector instead of the approximate index.")] = False

    def options(self, where: Filter | None, view: ImageView) -> SearchOptions:
        """The use cases' options. Raises FieldNotPublicError where the caller may not see a field that is named."""
        named = where or EVERYTHING
        fields = named.field_names
        if self.adapt_to is not None:
            fields = [*fields, self.adapt_to.name]
        view.refuse_private_fields(fields)
        if self.group_by is not None:
            view.refuse_private_fields([self.group_by.name], PUBLIC_GROUPINGS)
        return SearchOptions(
            limit=self.limit,
            offset=self.offset,
            score_threshold=self.score_threshold,
            min_likeness=self.min_likeness,
            where=named,
            exact=self.exact,
            group_by=self.group_by,
            group_size=self.group_size,
            diversity=self.diversity,
            adapt_to=self.adapt_to,
            color_weight=self.color_weight,
        )


class ExamplesIn(SearchParameters):
    """Images to find the like of, and images to stay away from."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"positive": [EXAMPLE_ID], "negative": [], "limit": 10}]})

    positive: Annotated[list[ImageNameIn], Field(max_length=100)] = []
    negative: Annotated[list[ImageNameIn], Field(max_length=100)] = []
    filter: FilterIn | None = None
