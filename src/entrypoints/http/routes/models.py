"""What the models make of a picture, and which models these are."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from entrypoints.http.access.roles import require
from entrypoints.http.contract.model_schemas import DetectionsOut, EmbeddingOut, ModelsOut
from entrypoints.http.contract.parameters import Labels, PictureForm, Regions
from entrypoints.http.contract.problems import ALWAYS, PICTURE, problem_responses
from entrypoints.http.routes.bodies import BoundedRoute
from entrypoints.http.routes.dependencies import (
    DetectObjectsOf,
    ExtractEmbeddingOf,
    RunServiceOf,
    index_is_open,
    refuse_query,
    refuse_repeats,
)
from entrypoints.http.routes.uploads import MULTIPART, PicturesOf
from entrypoints.keys import Role

router = APIRouter(
    tags=["Models"], route_class=BoundedRoute, dependencies=[require(Role.READ), refuse_query, refuse_repeats]
)
detections = APIRouter(
    tags=["Models"], route_class=BoundedRoute, dependencies=[require(Role.SEARCH), refuse_query, refuse_repeats]
)


class EmbeddingForm(PictureForm):
    """A picture, or a part of it."""

    region: Annotated[Regions, Field(max_length=1, description="The part of the picture to encode.")] = []  # noqa: RUF012 - pydantic copies it


class DetectionForm(PictureForm):
    """A picture, and which of its objects to answer."""

    score_threshold: Annotated[
        float, Field(ge=0, le=1, description="Least confidence; below .05 it counts as .05.")
    ] = 0.3
    labels: Annotated[Labels, Field(max_length=100, description="Only these labels; all where none is given.")] = []  # noqa: RUF012
    max_detections: Annotated[int, Field(ge=1, le=300, description="Objects to answer at most.")] = 100


@router.post(
    "/embeddings",
    summary="Get a picture's feature vector",
    responses=problem_responses(*ALWAYS, *PICTURE, "invalid_region"),
)
async def embed(
    form: Annotated[EmbeddingForm, MULTIPART], extract: ExtractEmbeddingOf, pictures: PicturesOf
) -> EmbeddingOut:
    """The L2-normalised vector that search compares, of the picture or of a region of it. Nothing is stored."""
    region = form.region[0] if form.region else None
    found = await extract(await pictures.read(form), region=region)
    return EmbeddingOut(model=found.model, dimension=len(found.embedding), embedding=found.embedding.tolist())


@detections.post(
    "/detections",
    summary="Detect objects in a picture",
    responses=problem_responses(*ALWAYS, *PICTURE, "detector_unavailable"),
)
async def detect(
    form: Annotated[DetectionForm, MULTIPART], find: DetectObjectsOf, pictures: PicturesOf
) -> DetectionsOut:
    """The objects in the picture with their confidence, best first; boxes in upright pixels. Nothing is stored."""
    found = await find(
        await pictures.read(form),
        score_threshold=form.score_threshold,
        labels=form.labels or None,
        max_detections=form.max_detections,
    )
    return DetectionsOut.of(found)


@router.get(
    "/models", summary="See what is running", responses=problem_responses(*ALWAYS), dependencies=[index_is_open]
)
async def models(service: RunServiceOf) -> ModelsOut:
    """The index, its declared metadata keys, and the models with their weights' digests.

    Runtime, device and precision are as the models really run.
    """
    return ModelsOut.of(await service.describe())
