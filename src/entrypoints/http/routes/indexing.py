"""Index pictures, one by one or many at once."""

from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from itertools import chain
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from application.index_images import IfExists
from application.prepare_pictures import Upload
from domain.errors import InvalidMetadataError
from domain.metadata import Metadata, checked_metadata
from entrypoints.http.access.roles import require
from entrypoints.http.contract.image_schemas import (
    BatchOut,
    ImageOut,
    image_path,
)
from entrypoints.http.contract.name_schemas import ItemsText, KeyText, NewPicture, SourceText, UrlBatchIn
from entrypoints.http.contract.parameters import (
    OUTCOME_HEADER,
    Adopt,
    ExifText,
    FilePart,
    JsonObjectText,
    MetadataText,
    PictureForm,
    WhereItExists,
)
from entrypoints.http.contract.problems import ALWAYS, BODY, PICTURE, problem_responses, request_id_of
from entrypoints.http.routes.bodies import BatchRoute, BoundedRoute, JsonRoute
from entrypoints.http.routes.dependencies import (
    CallerView,
    IndexImagesOf,
    index_is_open,
    refuse_query,
    refuse_repeats,
)
from entrypoints.http.routes.uploads import MULTIPART, PicturesOf, clean_filename, filename_at, source_at, upload_of
from entrypoints.keys import Role


async def _refuse_empty_key(request: Request) -> None:
    """FastAPI takes an empty field for one that was not filled in: of a key, the picture would have none."""
    if "" in (await request.form()).getlist("key"):  # read already and kept
        raise RequestValidationError([{"loc": ("body", "key"), "msg": "The key is empty.", "type": "invalid_key"}])


_WRITING = [require(Role.WRITE), refuse_query, refuse_repeats, index_is_open]

writes = APIRouter(tags=["Images"], route_class=BoundedRoute, dependencies=_WRITING)
batches = APIRouter(tags=["Images"], route_class=BatchRoute, dependencies=_WRITING)
url_batches = APIRouter(tags=["Images"], route_class=JsonRoute, dependencies=_WRITING)

URL_BATCH = {"$ref": "#/components/schemas/UrlBatchIn"}
"""The schema of the JSON that the path of a batch takes beside forms: FastAPI documents one operation at a path."""


class IndexForm(PictureForm):
    """One picture."""

    key: KeyText | None = None
    source: SourceText | None = None
    metadata: MetadataText | None = None
    if_exists: WhereItExists = IfExists.REPLACE
    adopt: Adopt = False
    exif: ExifText | None = None


class BatchForm(BaseModel):
    """Many pictures."""

    model_config = ConfigDict(extra="forbid")

    files: Annotated[list[FilePart], Field(min_length=1, description="Pictures, in the order of the answer.")]
    items: ItemsText | None = None
    metadata: JsonObjectText | None = None
    if_exists: WhereItExists = IfExists.REPLACE
    adopt: Adopt = False
    exif: ExifText | None = None

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


@writes.post(
    "/images",
    status_code=HTTPStatus.CREATED,
    dependencies=[Depends(_refuse_empty_key)],
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
    form: Annotated[IndexForm, MULTIPART], index: IndexImagesOf, pictures: PicturesOf, view: CallerView
) -> JSONResponse:
    """Decode, detect, encode, store and index one picture. Sending the same again is safe.

    A picture is what stands under a `key`: other bytes sent under it replace it. Without a key, it is known by its
    bytes. The same bytes under several keys are several pictures, which share what is stored and computed of them.
    Of a picture by URL, the URL is the source where none is given, and the last part of its path the filename.
    """
    upload = Upload(
        filename=clean_filename(form.file.filename) if form.file else filename_at(form.url or ""),
        read=partial(pictures.read, form),
        key=form.key,
        source=source_at(form.url) if form.url and form.source is None else form.source,
        metadata=form.metadata,
        adopt=form.adopt,
        exif=pictures.exif(form.exif),
    )
    outcome = await index.one(upload, if_exists=form.if_exists)
    assert outcome.image is not None  # noqa: S101 - `one` raises where there is none
    created = outcome.status == "created"
    headers = {OUTCOME_HEADER: outcome.status}
    return JSONResponse(
        ImageOut.of(outcome.image, view).model_dump(mode="json", by_alias=True),
        status_code=HTTPStatus.CREATED if created else HTTPStatus.OK,
        headers=headers | {"Location": image_path(outcome.image, view.root)} if created else headers,
    )


@batches.post(
    "/images/batch",
    status_code=HTTPStatus.MULTI_STATUS,
    summary="Index many pictures at once",
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": URL_BATCH}}}},
    response_description="What became of each, in the order sent.",
    responses=problem_responses(
        *ALWAYS,
        *BODY,
        "malformed_request",
        "invalid_metadata",
        "storage_full",
        "fetching_disabled",
    ),
)
async def index_batch(
    request: Request,
    form: Annotated[BatchForm, MULTIPART],
    index: IndexImagesOf,
    pictures: PicturesOf,
    view: CallerView,
) -> BatchOut:
    """Index many pictures; one bad picture never fails the others.

    `items` has a key, a source and metadata for each picture. Or `metadata` is one object for all pictures, or, if
    every value of it is an object, one by filename; a filename that is not in the batch is refused.

    As `application/json`, `items` has the URL of each picture, which the service fetches, and what comes with it.
    """
    items = form.items or [NewPicture(metadata=metadata) for metadata in _metadata_of_each(form)]
    exif = pictures.exif(form.exif)
    uploads = [
        upload_of(clean_filename(file.filename), partial(pictures.read_file, file), item, adopt=form.adopt, exif=exif)
        for file, item in zip(form.files, items, strict=True)
    ]
    outcomes = [outcome async for outcome in index(uploads, if_exists=form.if_exists)]
    return BatchOut.of(outcomes, view=view, instance=request.scope["path"], request_id=request_id_of(request))


@url_batches.post("/images/batch", status_code=HTTPStatus.MULTI_STATUS, include_in_schema=False)
async def index_urls(
    request: Request,
    body: UrlBatchIn,
    index: IndexImagesOf,
    pictures: PicturesOf,
    view: CallerView,
) -> BatchOut:
    """The same for pictures by URL; documented with `index_batch`, whose path it has."""
    pictures.admit(len(body.items))
    async with pictures.fetch.many([item.url for item in body.items]) as reads:
        uploads = [
            upload_of(
                filename_at(item.url),
                read,
                item.model_copy(update={"source": item.source or source_at(item.url)}),
                adopt=body.adopt,
                exif=pictures.exif(body.exif),
            )
            for item, read in zip(body.items, reads, strict=True)
        ]
        outcomes = [outcome async for outcome in index(uploads, if_exists=body.if_exists)]
    return BatchOut.of(outcomes, view=view, instance=request.scope["path"], request_id=request_id_of(request))


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
