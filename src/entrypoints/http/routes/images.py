"""Look at images: their records, their files, and what they have in common."""

from typing import Annotated, Any, Literal, Self
from unicodedata import normalize

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from domain.errors import ImageNotFoundError, InvalidCursorError, LinkExpiredError
from domain.filters import EVERYTHING
from domain.listing import NEWEST_FIRST
from domain.ports.thumbnail_renderer import DEFAULT_THUMBNAIL_SIDE, THUMBNAIL_MEDIA_TYPE
from entrypoints.http.access.roles import has_role, require, require_reading_or_link
from entrypoints.http.access.thumbnail_links import ThumbnailLinks
from entrypoints.http.contract.filter_schema import FilterText
from entrypoints.http.contract.image_schemas import (
    FacetCountOut,
    FacetsIn,
    FacetsOut,
    ImageOut,
    ImagePageOut,
)
from entrypoints.http.contract.image_view import version_of
from entrypoints.http.contract.name_schemas import LookupIn, LookupOut
from entrypoints.http.contract.parameters import (
    CursorText,
    IdInPath,
)
from entrypoints.http.contract.problems import ALWAYS, BODY, problem_responses
from entrypoints.http.routes.bodies import BoundedRoute, BulkRoute
from entrypoints.http.routes.caching import KEEP, KEEP_VERSION, is_current, keep_publicly
from entrypoints.http.routes.dependencies import (
    BrowseImagesOf,
    CallerView,
    KeyInQuery,
    index_is_open,
    refuse_query,
    refuse_repeats,
)
from entrypoints.http.routes.downloads import OriginalResponse, not_modified, thumbnail_response
from entrypoints.keys import Role

_READING = [require(Role.READ), refuse_repeats, index_is_open]

reads = APIRouter(tags=["Images"], route_class=BoundedRoute, dependencies=_READING)
lookups = APIRouter(tags=["Images"], route_class=BulkRoute, dependencies=[*_READING, refuse_query])
thumbnails = APIRouter(
    tags=["Images"],
    route_class=BoundedRoute,
    dependencies=[Depends(require_reading_or_link), refuse_repeats, index_is_open],
)


class ListQuery(BaseModel):
    """Which part of the listing."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=200, description="Images to answer at most.")] = 50
    cursor: CursorText | None = None
    filter: FilterText | None = None
    order_by: Annotated[
        str,
        AfterValidator(lambda text: normalize("NFC", text)),
        Field(
            description="`created_at`, `updated_at`, or `metadata.<key>` of a key that is declared as integer, float "
            "or datetime; `-` before it for descending. Pictures without the key are left out."
        ),
    ] = NEWEST_FIRST.name

    @model_validator(mode="after")
    def _one_order(self) -> Self:
        if self.cursor is not None and self.cursor.order != self.order_by:
            reason = f"The cursor is of a listing by {self.cursor.order}, not by {self.order_by}."
            raise PydanticCustomError(InvalidCursorError.code, "{reason}", {"reason": reason})
        return self


class ThumbnailQuery(BaseModel):
    """What `links.thumbnail` carries, and how large the picture is to be."""

    model_config = ConfigDict(extra="forbid")

    size: Annotated[
        Literal[128, 384, 1024],  # THUMBNAIL_SIDES
        BeforeValidator(lambda given: int(given) if given.isdecimal() else given),
        Field(description="Pixels of the longer side at most; no picture is enlarged."),
    ] = DEFAULT_THUMBNAIL_SIDE
    v: Annotated[
        str | None, Field(description="The first 12 digits of the SHA-256: browsers may keep the picture for longer.")
    ] = None
    expires: Annotated[str | None, Field(description="Until when the link is valid, in seconds since 1970.")] = None
    signature: Annotated[str | None, Field(description="By which it loads without a key.")] = None


@reads.get(
    "/images",
    summary="List images, newest first or in another order",
    responses=problem_responses(*ALWAYS, "invalid_cursor", "invalid_order"),
)
async def list_images(query: Annotated[ListQuery, Query()], browse: BrowseImagesOf, view: CallerView) -> ImagePageOut:
    """A page of the listing, and the cursor of the next one. Pages stay complete while others write."""
    after = None if query.cursor is None else query.cursor.cursor
    where = query.filter or EVERYTHING
    page = await browse.page(limit=query.limit, after=after, where=where, order_by=query.order_by)
    return ImagePageOut.of(page, view, query.order_by)


@reads.post(
    "/facets",
    summary="Count the values of fields",
    responses=problem_responses(*ALWAYS, *BODY, "malformed_json", "invalid_filter"),
    dependencies=[refuse_query],
)
async def count_facets(body: FacetsIn, browse: BrowseImagesOf) -> FacetsOut:
    """For each field its values, with how many of the matching images have each; most frequent first."""
    where = EVERYTHING if body.filter is None else body.filter.to_domain()
    facets = await browse.facets(body.fields, where)
    return FacetsOut(
        facets={
            field: [FacetCountOut(value=value, images=images) for value, images in counts[: body.limit]]
            for field, counts in facets.items()
        }
    )


@reads.get(
    "/images/{id:uuid}",
    summary="Get an image's record",
    responses=problem_responses(*ALWAYS, "image_not_found"),
    dependencies=[refuse_query],
)
async def get_image(id: IdInPath, browse: BrowseImagesOf, view: CallerView) -> ImageOut:  # noqa: A002 - the contract's name
    """What is known of an indexed image."""
    return ImageOut.of(await browse.get(id), view)


@reads.get(
    "/images/by-key",
    summary="Get the record of the image under a key",
    responses=problem_responses(*ALWAYS, "image_not_found", "invalid_key"),
)
async def get_by_key(key: KeyInQuery, browse: BrowseImagesOf, view: CallerView) -> ImageOut:
    """What is known of it; its links lead on."""
    return ImageOut.of(await browse.get(key), view)


@lookups.post(
    "/images/lookup",
    summary="Get many records at once",
    responses=problem_responses(*ALWAYS, *BODY, "malformed_json", "invalid_key"),
)
async def look_up(body: LookupIn, browse: BrowseImagesOf, view: CallerView) -> LookupOut:
    """The images under these ids and keys, and the names under which there is none."""
    return LookupOut.of(await browse.lookup([*body.ids, *body.keys]), view)


def _file_responses(media_type: str, description: str, *codes: str) -> dict[int | str, dict[str, Any]]:
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {
        200: {"content": content, "description": description},
        304: {"description": "The caller's copy (`If-None-Match`) is current."},
        **problem_responses(*ALWAYS, "image_not_found", *codes),
    }


@reads.get(
    "/images/{id:uuid}/content",
    summary="Download the original",
    response_class=Response,
    responses=_file_responses("image/*", "The bytes as uploaded."),
    dependencies=[refuse_query],
)
async def get_content(id: IdInPath, request: Request, browse: BrowseImagesOf) -> Response:  # noqa: A002
    """The original bytes, byte for byte as uploaded."""
    record = await browse.get(id)
    etag = f'"{record.sha256}"'
    if is_current(request, etag):
        return not_modified(etag)
    return OriginalResponse(browse.original(record), record.media_type, etag, filename=record.filename)


@thumbnails.get(
    "/images/{id:uuid}/thumbnail",
    summary="Get a small upright rendition",
    response_class=Response,
    responses=_file_responses(THUMBNAIL_MEDIA_TYPE, "A small upright rendition.", "link_expired"),
)
async def get_thumbnail(
    id: IdInPath,  # noqa: A002
    query: Annotated[ThumbnailQuery, Query()],
    request: Request,
    browse: BrowseImagesOf,
) -> Response:
    """A JPEG of at most `size` pixels a side, upright whatever the original's EXIF orientation.

    It needs a key, or `links.thumbnail` as it is, which shared caches keep until it expires.
    """
    links: ThumbnailLinks = request.app.state.thumbnail_links
    may_read = has_role(request, Role.READ)
    try:
        record = await browse.get(id)
    except ImageNotFoundError:
        if may_read:
            raise
        raise LinkExpiredError from None  # as for an image that is there: strangers learn of none
    is_this_version = query.v == version_of(record)
    if is_this_version and (left := links.seconds_left(record, query.expires or "", query.signature or "")):
        keeping = keep_publicly(left)
    elif may_read:
        keeping = KEEP_VERSION if is_this_version else KEEP
    else:
        raise LinkExpiredError
    etag = f'"thumbnail-{query.size}-{record.sha256}"'
    if is_current(request, etag):
        return not_modified(etag, keeping)
    return thumbnail_response(await browse.thumbnail(record, query.size), etag, keeping)
