"""Index images, look at them, change and delete them."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from itertools import chain
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response, UploadFile
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from domain.errors import ImageNotFoundError, InvalidMetadataError, LinkExpiredError
from domain.filters import EVERYTHING
from domain.metadata import Metadata, checked_metadata
from domain.ports.thumbnail_renderer import THUMBNAIL_MEDIA_TYPE
from entrypoints.http.access.roles import has_role, require, require_reading_or_link
from entrypoints.http.access.thumbnail_links import ThumbnailLinks
from entrypoints.http.contract.filter_schema import FilterText
from entrypoints.http.contract.image_schemas import (
    BatchOut,
    DeletedOut,
    DeleteIn,
    EditedManyOut,
    EditManyIn,
    FacetCountOut,
    FacetsIn,
    FacetsOut,
    ImageOut,
    ImagePageOut,
    MetadataPatchIn,
    UpdatedOut,
    image_path,
)
from entrypoints.http.contract.image_view import version_of
from entrypoints.http.contract.parameters import (
    CursorText,
    FilePart,
    IdInPath,
    JsonObjectText,
    MetadataText,
    PictureFile,
)
from entrypoints.http.contract.problems import ALWAYS, BODY, PICTURE, problem_responses, request_id_of
from entrypoints.http.routes.bodies import BatchRoute, BoundedRoute, BulkRoute, PatientRoute
from entrypoints.http.routes.caching import KEEP, KEEP_VERSION, is_current, keep_publicly
from entrypoints.http.routes.dependencies import (
    BrowseImagesOf,
    CallerView,
    DeleteImagesOf,
    EditMetadataOf,
    IndexImagesOf,
    MaxUploadBytes,
    index_is_open,
    refuse_query,
    refuse_repeats,
)
from entrypoints.http.routes.downloads import OriginalResponse, not_modified, thumbnail_response
from entrypoints.http.routes.uploads import MULTIPART, clean_filename, upload_of
from entrypoints.keys import Role

_READING = [require(Role.READ), refuse_repeats, index_is_open]
_WRITING = [require(Role.WRITE), refuse_query, refuse_repeats, index_is_open]

reads = APIRouter(tags=["Images"], route_class=BoundedRoute, dependencies=_READING)
writes = APIRouter(tags=["Images"], route_class=BoundedRoute, dependencies=_WRITING)
deletions = APIRouter(tags=["Images"], route_class=PatientRoute, dependencies=_WRITING)
thumbnails = APIRouter(
    tags=["Images"],
    route_class=BoundedRoute,
    dependencies=[Depends(require_reading_or_link), refuse_repeats, index_is_open],
)
edits = APIRouter(tags=["Images"], route_class=BulkRoute, dependencies=_WRITING)
batches = APIRouter(tags=["Images"], route_class=BatchRoute, dependencies=_WRITING)


class IndexForm(BaseModel):
    """One picture."""

    model_config = ConfigDict(extra="forbid")

    file: PictureFile
    metadata: MetadataText | None = None


class BatchForm(BaseModel):
    """Many pictures."""

    model_config = ConfigDict(extra="forbid")

    files: Annotated[list[FilePart], Field(min_length=1, description="Pictures, in the order of the answer.")]
    metadata: JsonObjectText | None = None


class ListQuery(BaseModel):
    """Which part of the listing."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=200, description="Images to answer at most.")] = 50
    cursor: CursorText | None = None
    filter: FilterText | None = None


class ThumbnailQuery(BaseModel):
    """What `links.thumbnail` carries."""

    model_config = ConfigDict(extra="forbid")

    v: Annotated[
        str | None, Field(description="The first 12 digits of the SHA-256: browsers may keep the picture for longer.")
    ] = None
    expires: Annotated[str | None, Field(description="Until when the link is valid, in seconds since 1970.")] = None
    signature: Annotated[str | None, Field(description="By which it loads without a key.")] = None


@writes.post(
    "/images",
    status_code=HTTPStatus.CREATED,
    response_model=ImageOut,
    summary="Index a picture",
    response_description="It is indexed, and was not before. `Location` is its path.",
    responses={
        200: {"model": ImageOut, "description": "It was there; metadata given now replaces what was stored."},
        **problem_responses(*ALWAYS, *PICTURE, "index_damaged"),
    },
)
async def index_image(
    form: Annotated[IndexForm, MULTIPART], index: IndexImagesOf, max_bytes: MaxUploadBytes, view: CallerView
) -> JSONResponse:
    """Decode, detect, encode, store and index one picture. Sending the same bytes twice is safe: one id."""
    outcome = await index.one(upload_of(form.file, form.metadata, max_bytes))
    assert outcome.image is not None  # noqa: S101 - `one` raises where there is none
    created = outcome.status == "created"
    return JSONResponse(
        ImageOut.of(outcome.image, view).model_dump(mode="json", by_alias=True),
        status_code=HTTPStatus.CREATED if created else HTTPStatus.OK,
        headers={"Location": image_path(outcome.image, view.root)} if created else None,
    )


@batches.post(
    "/images/batch",
    status_code=HTTPStatus.MULTI_STATUS,
    response_model_exclude_none=True,
    summary="Index many pictures at once",
    response_description="What became of each, in the order sent.",
    responses=problem_responses(
        *ALWAYS,
        *BODY,
        "malformed_request",
        "invalid_metadata",
        "storage_full",
    ),
)
async def index_batch(
    request: Request,
    form: Annotated[BatchForm, MULTIPART],
    index: IndexImagesOf,
    max_bytes: MaxUploadBytes,
    view: CallerView,
) -> BatchOut:
    """Index many pictures; one bad picture never fails the others.

    `metadata` is one object for all pictures, or, if every value of it is an object, one by filename. A filename that
    is not in the batch is refused.
    """
    metadata = _metadata_of_each(form)
    uploads = [upload_of(file, item, max_bytes) for file, item in zip(form.files, metadata, strict=True)]
    outcomes = [outcome async for outcome in index(uploads)]
    return BatchOut.of(outcomes, view=view, instance=request.scope["path"], request_id=request_id_of(request))


@reads.get(
    "/images",
    summary="List images, newest first",
    responses=problem_responses(*ALWAYS),
)
async def list_images(query: Annotated[ListQuery, Query()], browse: BrowseImagesOf, view: CallerView) -> ImagePageOut:
    """A page of the listing, and the cursor of the next one. Pages stay complete while others write."""
    page = await browse.page(limit=query.limit, after=query.cursor, where=query.filter or EVERYTHING)
    return ImagePageOut.of(page, view)


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


@writes.patch(
    "/images/{id:uuid}",
    summary="Change an image's metadata",
    responses=problem_responses(
        *ALWAYS, *BODY, "malformed_json", "image_not_found", "invalid_metadata", "storage_full", "index_damaged"
    ),
    openapi_extra={
        "requestBody": {
            "content": {"application/merge-patch+json": {"schema": {"$ref": "#/components/schemas/MetadataPatchIn"}}}
        }
    },
)
async def patch_image(id: IdInPath, patch: MetadataPatchIn, edit: EditMetadataOf, view: CallerView) -> ImageOut:  # noqa: A002
    """Apply a JSON merge patch (RFC 7396) to the metadata: null removes a key. Nothing is encoded again."""
    return ImageOut.of(await edit(id, patch.metadata), view)


@edits.post(
    "/images/metadata",
    status_code=HTTPStatus.MULTI_STATUS,
    response_model=EditedManyOut,
    response_model_exclude_none=True,
    summary="Change the metadata of many images",
    response_description="What became of each image, in the order sent.",
    responses={
        200: {"model": UpdatedOut, "description": "With a filter: all that match are changed."},
        **problem_responses(*ALWAYS, *BODY, "malformed_json", "invalid_filter", "invalid_metadata", "storage_full"),
    },
)
async def edit_many(request: Request, body: EditManyIn, edit: EditMetadataOf) -> EditedManyOut | JSONResponse:
    """Apply JSON merge patches (RFC 7396): to each image its own, or one to all that match a filter.

    One that fails never fails the others. Nothing is encoded again.
    """
    if body.filter is not None:
        updated = await edit.matching(body.filter.to_domain(), body.metadata or {})
        return JSONResponse(UpdatedOut(updated=updated).model_dump())
    outcomes = await edit.many([(item.id, item.metadata) for item in body.items or ()])
    return EditedManyOut.of(outcomes, instance=request.scope["path"], request_id=request_id_of(request))


@writes.delete(
    "/images/{id:uuid}",
    status_code=HTTPStatus.NO_CONTENT,
    response_class=Response,
    summary="Delete an image",
    responses=problem_responses(*ALWAYS, "image_not_found", "storage_full"),
)
async def delete_image(id: IdInPath, delete: DeleteImagesOf) -> None:  # noqa: A002
    """Remove its vector, its objects, the original and the thumbnail."""
    await delete.one(id)


@deletions.post(
    "/images/delete",
    summary="Delete all images that match a filter",
    responses=problem_responses(*ALWAYS, *BODY, "malformed_json", "invalid_filter", "storage_full"),
)
async def delete_matching(body: DeleteIn, delete: DeleteImagesOf) -> DeletedOut:
    """Delete every image that the filter names.

    An empty filter is refused, which would name them all, and one with an empty `in`: of all but those in an empty list
    it would delete all.
    """
    return DeletedOut(deleted=await delete.matching(body.filter.to_domain()))


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
    """A JPEG of at most 384 pixels a side, upright whatever the original's EXIF orientation.

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
    etag = f'"thumbnail-{record.sha256}"'
    if is_current(request, etag):
        return not_modified(etag, keeping)
    return thumbnail_response(await browse.thumbnail(record), etag, keeping)


def _metadata_of_each(form: BatchForm) -> list[Metadata | None]:
    given = form.metadata
    if given is None:
        return [None] * len(form.files)
    if given and all(isinstance(value, dict) for value in given.values()):
        return _matched({name: checked_metadata(value) for name, value in given.items()}, form.files)
    return [checked_metadata(given)] * len(form.files)


def _matched(by_name: Mapping[str, Metadata], files: Sequence[UploadFile]) -> list[Metadata | None]:
    """Of each file the metadata under its name, as it was sent or as it is stored."""
    names = [(file.filename or "", clean_filename(file.filename)) for file in files]
    if unknown := by_name.keys() - set(chain.from_iterable(names)):
        raise InvalidMetadataError(f"metadata names files that are not in the batch: {', '.join(sorted(unknown))}.")
    return [by_name.get(sent, by_name.get(stored)) for sent, stored in names]
