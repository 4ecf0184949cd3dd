"""Searches and their results."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from application.search_result import SearchResult, Target
from domain.images import Match
from entrypoints.http.contract.filter_schema import FilterIn
from entrypoints.http.contract.image_schemas import EXAMPLE_ID, EXAMPLE_IMAGE, BoxOut, FromDomain, ImageOut, ObjectOut
from entrypoints.http.contract.image_view import ImageView
from entrypoints.http.contract.name_schemas import ImageNameIn
from entrypoints.http.contract.parameters import Limit, Offset, ScoreThreshold


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


class RegionMatchOut(FromDomain):
    """How one region of the query is matched by a stored object."""

    query_region: BoxOut
    object: Annotated[ObjectOut | None, Field(description="null: no object of the image matches this region.")]
    score: Annotated[float, Field(ge=-1, le=1)]


class MatchOut(BaseModel):
    """A match; `score` is the cosine similarity."""

    rank: Annotated[int, Field(ge=1)]
    score: Annotated[float, Field(ge=-1, le=1)]
    image: ImageOut
    region: ObjectOut | None = None
    regions: list[RegionMatchOut] | None = None

    @classmethod
    def of(cls, rank: int, match: Match, view: ImageView) -> Self:
        """From the domain."""
        return cls(
            rank=rank,
            score=match.score,
            image=ImageOut.of(match.image, view),
            region=match.region,
            regions=match.regions,
        )


class SearchResultOut(BaseModel):
    """Matches, best first. No match is an empty list."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "query": {"width": 400, "height": 711, "regions": [], "target": "images", "objects": None},
                    "matches": [{"rank": 1, "score": 0.8312, "image": EXAMPLE_IMAGE, "region": None, "regions": None}],
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


class ExamplesIn(BaseModel):
    """Images to find the like of, and images to stay away from."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"positive": [EXAMPLE_ID], "negative": [], "limit": 10}]}
    )

    positive: Annotated[list[ImageNameIn], Field(max_length=100)] = []
    negative: Annotated[list[ImageNameIn], Field(max_length=100)] = []
    limit: Limit = 10
    offset: Offset = 0
    score_threshold: ScoreThreshold | None = None
    filter: FilterIn | None = None
