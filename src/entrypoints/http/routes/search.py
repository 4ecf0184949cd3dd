"""Search with a picture, with a stored image, with examples."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from application.search_result import Target
from application.search_similar import MAX_REGIONS
from entrypoints.http.access.roles import require
from entrypoints.http.contract.filter_schema import FilterText
from entrypoints.http.contract.name_schemas import name_of
from entrypoints.http.contract.parameters import IdInPath, PictureForm, Regions
from entrypoints.http.contract.problems import ALWAYS, ARRANGED, BODY, PICTURE, problem_responses
from entrypoints.http.contract.search_schemas import ExamplesIn, SearchParameters, SearchResultOut
from entrypoints.http.routes.bodies import BoundedRoute
from entrypoints.http.routes.dependencies import (
    CallerView,
    SearchByExamplesOf,
    SearchSimilarOf,
    index_is_open,
    refuse_query,
    refuse_repeats,
)
from entrypoints.http.routes.uploads import MULTIPART, PicturesOf
from entrypoints.keys import Role

router = APIRouter(
    tags=["Search"], route_class=BoundedRoute, dependencies=[require(Role.SEARCH), refuse_repeats, index_is_open]
)


class SearchForm(SearchParameters, PictureForm):
    """A picture, and how to search with it."""

    filter: FilterText | None = None
    region: Annotated[
        Regions,
        Field(
            max_length=MAX_REGIONS,
            description="The part of the picture to search for. Up to 8 with target `objects`: pictures are ranked by "
            "the best one-to-one assignment of the regions to their stored objects.",
        ),
    ] = []  # noqa: RUF012 - pydantic copies it
    target: Annotated[Target, Field(description="Compare with whole pictures, with stored objects, or with both.")] = (
        Target.IMAGES
    )


class SimilarQuery(SearchParameters):
    """Which part of the ranking, and how it is arranged."""

    filter: FilterText | None = None


@router.post(
    "/search",
    summary="Find images that look like a picture, like regions of it, or that hold objects that do",
    responses=problem_responses(*ALWAYS, *PICTURE, *ARRANGED, "invalid_region", "detector_unavailable"),
    dependencies=[refuse_query],
)
async def search(
    form: Annotated[SearchForm, MULTIPART], find: SearchSimilarOf, pictures: PicturesOf, view: CallerView
) -> SearchResultOut:
    """The indexed images most similar to the picture, best first. The picture itself is not stored."""
    result = await find(
        await pictures.read(form),
        regions=form.region,
        target=form.target,
        options=form.options(form.filter, view),
    )
    return SearchResultOut.of(result, view)


@router.post(
    "/search/examples",
    summary="Find images like some stored images and unlike others",
    responses=problem_responses(
        *ALWAYS,
        *BODY,
        *ARRANGED,
        "malformed_json",
        "image_not_found",
        "invalid_examples",
    ),
    dependencies=[refuse_query],
)
async def search_examples(body: ExamplesIn, find: SearchByExamplesOf, view: CallerView) -> SearchResultOut:
    """Nearest to the positive examples, away from the negative ones; the examples themselves are left out."""
    options = body.options(None if body.filter is None else body.filter.to_domain(), view)
    return SearchResultOut.of(
        await find([*map(name_of, body.positive)], [*map(name_of, body.negative)], options=options), view
    )


@router.get(
    "/images/{id:uuid}/similar",
    summary="Find images that look like a stored one",
    responses=problem_responses(*ALWAYS, *ARRANGED, "image_not_found"),
)
async def similar(
    id: IdInPath,  # noqa: A002 - the contract's name
    query: Annotated[SimilarQuery, Query()],
    find: SearchByExamplesOf,
    view: CallerView,
) -> SearchResultOut:
    """Nearest to a stored image, which is itself left out. Nothing is encoded again."""
    return SearchResultOut.of(await find([id], options=query.options(query.filter, view)), view)
