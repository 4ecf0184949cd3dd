"""Images by their keys: look at them, change, delete and rename them."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from entrypoints.http.access.roles import require
from entrypoints.http.contract.edit_schemas import MetadataPatchIn
from entrypoints.http.contract.image_schemas import ImageOut
from entrypoints.http.contract.name_schemas import KeyText, LookupIn, LookupOut, RenamedManyOut, RenameManyIn
from entrypoints.http.contract.problems import ALWAYS, BODY, problem_responses, request_id_of
from entrypoints.http.routes.bodies import BoundedRoute, BulkRoute
from entrypoints.http.routes.dependencies import (
    BrowseImagesOf,
    DeleteImagesOf,
    EditMetadataOf,
    ProxyRoot,
    RenameImagesOf,
    index_is_open,
    refuse_query,
    refuse_repeats,
)
from entrypoints.http.routes.images import MERGE_PATCH
from entrypoints.keys import Role

_READING = [require(Role.READ), refuse_repeats, index_is_open]
_WRITING = [require(Role.WRITE), refuse_repeats, index_is_open]

reads = APIRouter(tags=["Images"], route_class=BoundedRoute, dependencies=_READING)
lookups = APIRouter(tags=["Images"], route_class=BulkRoute, dependencies=[*_READING, refuse_query])
writes = APIRouter(tags=["Images"], route_class=BoundedRoute, dependencies=_WRITING)
renames = APIRouter(tags=["Images"], route_class=BulkRoute, dependencies=[*_WRITING, refuse_query])


class KeyQuery(BaseModel):
    """Which image."""

    model_config = ConfigDict(extra="forbid")

    key: KeyText


async def _key(query: Annotated[KeyQuery, Query()]) -> str:
    return str(query.key)


KeyInQuery = Annotated[str, Depends(_key)]


@reads.get(
    "/images/by-key",
    summary="Get the record of the image under a key",
    responses=problem_responses(*ALWAYS, "image_not_found", "invalid_key"),
)
async def get_by_key(key: KeyInQuery, browse: BrowseImagesOf, root: ProxyRoot) -> ImageOut:
    """What is known of it; its links lead on."""
    return ImageOut.of(await browse.get(key), root)


@writes.patch(
    "/images/by-key",
    summary="Change the metadata of the image under a key",
    responses=problem_responses(
        *ALWAYS, *BODY, "malformed_json", "image_not_found", "invalid_metadata", "storage_full", "index_damaged"
    ),
    openapi_extra=MERGE_PATCH,
)
async def patch_by_key(key: KeyInQuery, patch: MetadataPatchIn, edit: EditMetadataOf, root: ProxyRoot) -> ImageOut:
    """Apply a JSON merge patch (RFC 7396) to the metadata: null removes a key. Nothing is encoded again."""
    return ImageOut.of(await edit(key, patch.metadata), root)


@writes.delete(
    "/images/by-key",
    status_code=HTTPStatus.NO_CONTENT,
    response_class=Response,
    summary="Delete the image under a key",
    responses=problem_responses(*ALWAYS, "image_not_found", "storage_full"),
)
async def delete_by_key(key: KeyInQuery, delete: DeleteImagesOf) -> None:
    """Remove its vector and its objects, and what is stored of it where no other image has the same bytes."""
    await delete.one(key)


@lookups.post(
    "/images/lookup",
    summary="Get many records at once",
    responses=problem_responses(*ALWAYS, *BODY, "malformed_json", "invalid_key"),
)
async def look_up(body: LookupIn, browse: BrowseImagesOf, root: ProxyRoot) -> LookupOut:
    """The images under these ids and keys, and the names under which there is none."""
    return LookupOut.of(await browse.lookup([*body.ids, *body.keys]), root)


@renames.post(
    "/images/rename",
    status_code=HTTPStatus.MULTI_STATUS,
    summary="Give images other keys",
    response_description="What became of each, in the order sent.",
    responses=problem_responses(*ALWAYS, *BODY, "malformed_json", "invalid_key", "storage_full"),
)
async def rename(request: Request, body: RenameManyIn, rename: RenameImagesOf) -> RenamedManyOut:
    """The same images under other keys: metadata, objects and `created_at` stay, and the id follows the key.

    No bytes are sent and nothing is encoded. One that fails never fails the others.
    """
    outcomes = await rename(body.to_domain())
    return RenamedManyOut.of(outcomes, instance=request.scope["path"], request_id=request_id_of(request))
