"""Change, rename and delete images."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from application.rename_images import Rename
from entrypoints.http.access.roles import require
from entrypoints.http.contract.edit_schemas import EditedManyOut, EditManyIn, MetadataPatchIn, UpdatedOut
from entrypoints.http.contract.image_schemas import (
    DeletedOut,
    DeleteIn,
    ImageOut,
)
from entrypoints.http.contract.name_schemas import (
    RenamedManyOut,
    RenameManyIn,
)
from entrypoints.http.contract.parameters import (
    IdInPath,
)
from entrypoints.http.contract.problems import ALWAYS, BODY, problem_responses, request_id_of
from entrypoints.http.routes.bodies import BoundedRoute, BulkRoute, PatientRoute
from entrypoints.http.routes.dependencies import (
    CallerView,
    DeleteImagesOf,
    EditMetadataOf,
    KeyInQuery,
    RenameImagesOf,
    index_is_open,
    refuse_query,
    refuse_repeats,
)
from entrypoints.http.routes.uploads import clean_filename
from entrypoints.keys import Role

_WRITING = [require(Role.WRITE), refuse_repeats, index_is_open]

writes = APIRouter(tags=["Images"], route_class=BoundedRoute, dependencies=[*_WRITING, refuse_query])
by_key = APIRouter(tags=["Images"], route_class=BoundedRoute, dependencies=_WRITING)
deletions = APIRouter(tags=["Images"], route_class=PatientRoute, dependencies=[*_WRITING, refuse_query])
edits = APIRouter(tags=["Images"], route_class=BulkRoute, dependencies=[*_WRITING, refuse_query])

MERGE_PATCH: dict[str, Any] = {
    "requestBody": {
        "content": {"application/merge-patch+json": {"schema": {"$ref": "#/components/schemas/MetadataPatchIn"}}}
    }
}


@writes.patch(
    "/images/{id:uuid}",
    summary="Change an image's metadata",
    responses=problem_responses(
        *ALWAYS, *BODY, "malformed_json", "image_not_found", "invalid_metadata", "storage_full", "index_damaged"
    ),
    openapi_extra=MERGE_PATCH,
)
async def patch_image(id: IdInPath, patch: MetadataPatchIn, edit: EditMetadataOf, view: CallerView) -> ImageOut:  # noqa: A002
    """Apply a JSON merge patch (RFC 7396) to the metadata: null removes a key. Nothing is encoded again."""
    return ImageOut.of(await edit(id, patch.metadata), view)


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


@by_key.patch(
    "/images/by-key",
    summary="Change the metadata of the image under a key",
    responses=problem_responses(
        *ALWAYS, *BODY, "malformed_json", "image_not_found", "invalid_metadata", "storage_full", "index_damaged"
    ),
    openapi_extra=MERGE_PATCH,
)
async def patch_by_key(key: KeyInQuery, patch: MetadataPatchIn, edit: EditMetadataOf, view: CallerView) -> ImageOut:
    """Apply a JSON merge patch (RFC 7396) to the metadata: null removes a key. Nothing is encoded again."""
    return ImageOut.of(await edit(key, patch.metadata), view)


@by_key.delete(
    "/images/by-key",
    status_code=HTTPStatus.NO_CONTENT,
    response_class=Response,
    summary="Delete the image under a key",
    responses=problem_responses(*ALWAYS, "image_not_found", "storage_full"),
)
async def delete_by_key(key: KeyInQuery, delete: DeleteImagesOf) -> None:
    """Remove its vector and its objects, and what is stored of it where no other image has the same bytes."""
    await delete.one(key)


@edits.post(
    "/images/rename",
    status_code=HTTPStatus.MULTI_STATUS,
    summary="Give images other keys",
    response_description="What became of each, in the order sent.",
    responses=problem_responses(*ALWAYS, *BODY, "malformed_json", "invalid_key", "storage_full"),
)
async def rename(request: Request, body: RenameManyIn, rename: RenameImagesOf) -> RenamedManyOut:
    """The same images under other keys: metadata, objects and `created_at` stay, and the id follows the key.

    No bytes are sent and nothing is encoded; source and filename change where new ones are given. One that fails never
    fails the others.
    """
    renames = [
        Rename(
            before=item.from_,
            after=item.to,
            source=item.source,
            filename=None if item.filename is None else clean_filename(item.filename),
        )
        for item in body.items
    ]
    outcomes = await rename(renames)
    return RenamedManyOut.of(outcomes, instance=request.scope["path"], request_id=request_id_of(request))
