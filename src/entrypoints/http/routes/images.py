"""Index images, look at them, change and delete them."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from itertools import chain
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query, Request, Response, UploadFile
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from application.index_images import IfExists
from domain.errors import InvalidMetadataError
from domain.filters import EVERYTHING
from domain.metadata import Metadata, checked_metadata
from domain.ports.thumbnail_renderer import THUMBNAIL_MEDIA_TYPE
from entrypoints.http.access.roles import require
from entrypoints.http.contract.edit_schemas import EditedManyOut, EditManyIn, MetadataPatchIn, UpdatedOut
from entrypoints.http.contract.filter_schema import FilterText
from entrypoints.http.contract.image_schemas import (
    BatchOut,
    DeletedOut,
    DeleteIn,
    FacetCountOut,
    FacetsIn,
    FacetsOut,
    ImageOut,
    ImagePageOut,
    image_path,
)
from entrypoints.http.contract.name_schemas import ItemsText, KeyText, NewPicture, SourceText
from entrypoints.http.contract.parameters import (
    OUTCOME_HEADER,
    CursorText,
    FilePart,
    IdInPath,
    JsonObjectText,
    MetadataText,
    PictureFile,
)
from entrypoints.http.contract.problems import ALWAYS, BODY, PICTURE, problem_responses, request_id_of
from entrypoints.http.routes.bodies import BatchRoute, BoundedRoute, BulkRoute, PatientRoute
from entrypoints.http.routes.caching import is_current
from entrypoints.http.routes.dependencies import (
    BrowseImagesOf,
    DeleteImagesOf,
    EditMetadataOf,
    IndexImagesOf,
    MaxUploadBytes,
    ProxyRoot,
    index_is_open,
    refuse_query,
    refuse_repeats,
)
from entrypoints.http.routes.downloads import OriginalResponse, not_modified, thumbnail_response
from entrypoints.http.routes.uploads import MULTIPART, batch_upload_of, clean_filename, upload_of
from entrypoints.keys import Role

_READING = [require(Role.READ), refuse_repeats, index_is_open]
_WRITING = [require(Role.WRITE), refuse_query, refuse_repeats, index_is_open]

reads = APIRouter(tags=["Images"], route_class=BoundedRoute, dependencies=_READING)
writes = APIRouter(tags=["Images"], route_class=BoundedRoute, dependencies=_WRITING)
deletions = APIRouter(tags=["Images"], route_class=PatientRoute, dependencies=_WRITING)
edits = APIRouter(tags=["Images"], route_class=BulkRoute, dependencies=_WRITING)
batches = APIRouter(tags=["Images"], route_class=BatchRoute, dependencies=_WRITING)


MERGE_PATCH: dict[str, Any] = {
    "requestBody": {
        "content": {"application/merge-patch+json": {"schema": {"$ref": "#/components/schemas/MetadataPatchIn"}}}
    }
}

WhereItExists = Annotated[
    IfExists,
    Field(
        description="What to do with a picture that is there under the key, or without a key with the same bytes: "
        "`replace` it (metadata and source that are not given stay), `keep` it as it is, or `fail`."
    ),
]
Adopt = Annotated[
    bool, Field(description="A picture of the same bytes that is stored without a key gets the key that is given.")
]


class IndexForm(BaseModel):
    """One picture."""

    model_config = ConfigDict(extra="forbid")

    file: PictureFile
    key: KeyText | None = None
    source: SourceText | None = None
    metadata: MetadataText | None = None
    if_exists: WhereItExists = IfExists.REPLACE
    adopt: Adopt = False


class BatchForm(BaseModel):
    """Many pictures."""

    model_config = ConfigDict(extra="forbid")

    files: Annotated[list[FilePart], Field(min_length=1, description="Pictures, in the order of the answer.")]
    items: ItemsText | None = None
    metadata: JsonObjectText | None = None
    if_exists: WhereItExists = IfExists.REPLACE
    adopt: Adopt = False

    @model_validator(mode="after")
    def _an_item_for_each(self) -> Self:
        if self.items is not None and self.metadata is not None:
            raise PydanticCustomError(
                "invalid_items", "give items, with the metadata in them, or metadata: one of the two"
            )
        if self.items is not None and len(self.items) != len(self.files):
            raise PydanticCustomError(
                "invalid_items", f"items has {len(self.items)} elements for {len(self.files)} files: give one for each"
            )
        return self


class ListQuery(BaseModel):
    """Which part of the listing."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=200, description="Images to answer at most.")] = 50
    cursor: CursorText | None = None
    filter: FilterText | None = None


@writes.post(
    "/images",
    status_code=HTTPStatus.CREATED,
    response_model=ImageOut,
    summary="Index a picture",
    response_description="It is indexed, and was not before. `Location` is its path.",
    responses={
        201: {"headers": {OUTCOME_HEADER: {}}},
        200: {
            "model": ImageOut,
            "description": "It was there, or other bytes were under its key, which it replaces; metadata and source "
            "given now replace those that were stored.",
            "headers": {OUTCOME_HEADER: {}},
        },
        **problem_responses(*ALWAYS, *PICTURE, "image_exists", "invalid_key", "index_damaged"),
    },
)
async def index_image(
    form: Annotated[IndexForm, MULTIPART], index: IndexImagesOf, max_bytes: MaxUploadBytes, root: ProxyRoot
) -> JSONResponse:
    """Decode, detect, encode, store and index one picture. Sending the same again is safe.

    A picture is what stands under a `key`: other bytes sent under it replace it. Without a key, it is known by its
    bytes. The same bytes under several keys are several pictures, which share what is stored and computed of them.
    """
    upload = upload_of(form.file, max_bytes, key=form.key, source=form.source, metadata=form.metadata, adopt=form.adopt)
    outcome = await index.one(upload, if_exists=form.if_exists)
    assert outcome.image is not None  # noqa: S101 - `one` raises where there is none
    created = outcome.status == "created"
    headers = {OUTCOME_HEADER: outcome.status}
    return JSONResponse(
        ImageOut.of(outcome.image, root).model_dump(mode="json", by_alias=True),
        status_code=HTTPStatus.CREATED if created else HTTPStatus.OK,
        headers=headers | {"Location": image_path(outcome.image, root)} if created else headers,
    )


@batches.post(
    "/images/batch",
    status_code=HTTPStatus.MULTI_STATUS,
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
    root: ProxyRoot,
) -> BatchOut:
    """Index many pictures; one bad picture never fails the others.

    `items` has a key, a source and metadata for each picture. Or `metadata` is one object for all pictures, or, if
    every value of it is an object, one by filename; a filename that is not in the batch is refused.
    """
    items = form.items or [NewPicture(metadata=metadata) for metadata in _metadata_of_each(form)]
    uploads = [
        batch_upload_of(file, max_bytes, item, adopt=form.adopt) for file, item in zip(form.files, items, strict=True)
    ]
    outcomes = [outcome async for outcome in index(uploads, if_exists=form.if_exists)]
    return BatchOut.of(outcomes, root=root, instance=request.scope["path"], request_id=request_id_of(request))


@reads.get(
    "/images",
    summary="List images, newest first",
    responses=problem_responses(*ALWAYS),
)
async def list_images(query: Annotated[ListQuery, Query()], browse: BrowseImagesOf, root: ProxyRoot) -> ImagePageOut:
    """A page of the listing, and the cursor of the next one. Pages stay complete while others write."""
    page = await browse.page(limit=query.limit, after=query.cursor, where=query.filter or EVERYTHING)
    return ImagePageOut.of(page, root)


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
async def get_image(id: IdInPath, browse: BrowseImagesOf, root: ProxyRoot) -> ImageOut:  # noqa: A002 - the contract's name
    """What is known of an indexed image."""
    return ImageOut.of(await browse.get(id), root)


@writes.patch(
    "/images/{id:uuid}",
    summary="Change an image's metadata",
    responses=problem_responses(
        *ALWAYS, *BODY, "malformed_json", "image_not_found", "invalid_metadata", "storage_full", "index_damaged"
    ),
    openapi_extra=MERGE_PATCH,
)
async def patch_image(id: IdInPath, patch: MetadataPatchIn, edit: EditMetadataOf, root: ProxyRoot) -> ImageOut:  # noqa: A002
    """Apply a JSON merge patch (RFC 7396) to the metadata: null removes a key. Nothing is encoded again."""
    return ImageOut.of(await edit(id, patch.metadata), root)


@edits.post(
    "/images/metadata",
    status_code=HTTPStatus.MULTI_STATUS,
    response_model=EditedManyOut,
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
    outcomes = await edit.many([(item.name, item.metadata) for item in body.items or ()])
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


def _file_responses(media_type: str, description: str) -> dict[int | str, dict[str, Any]]:
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {
        200: {"content": content, "description": description},
        304: {"description": "The caller's copy (`If-None-Match`) is current."},
        **problem_responses(*ALWAYS, "image_not_found"),
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


@reads.get(
    "/images/{id:uuid}/thumbnail",
    summary="Get a small upright rendition",
    response_class=Response,
    responses=_file_responses(THUMBNAIL_MEDIA_TYPE, "A small upright rendition."),
    dependencies=[refuse_query],
)
async def get_thumbnail(id: IdInPath, request: Request, browse: BrowseImagesOf) -> Response:  # noqa: A002
    """A JPEG of at most 384 pixels a side, upright whatever the original's EXIF orientation."""
    record = await browse.get(id)
    etag = f'"thumbnail-{record.sha256}"'
    if is_current(request, etag):
        return not_modified(etag)
    return thumbnail_response(await browse.thumbnail(record), etag)


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
