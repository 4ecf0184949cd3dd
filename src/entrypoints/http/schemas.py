"""What the API answers, and the JSON that it takes. Names and shapes are the contract of version 1."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from application.detect_objects import Detections
from application.index_images import IndexOutcome
from application.run_service import ServiceDescription
from application.search_result import SearchResult, Target
from domain.geometry import BoundingBox
from domain.images import DetectedObject, ImagePage, ImageRecord, Match, RegionMatch
from domain.models import ModelDescription
from entrypoints.http.filter_schema import FilterIn
from entrypoints.http.parameters import Limit, Offset, ScoreThreshold, encode_cursor
from entrypoints.http.problems import ProblemOut, problem_of

# What `make demo` indexes: the examples can be tried out.
EXAMPLE_ID = "be9152ba-2bf0-5e92-a78f-ed633ecd360b"
EXAMPLE_BOX: JsonDict = {"x_min": 12.0, "y_min": 8.5, "x_max": 240.0, "y_max": 310.0}
EXAMPLE_IMAGE: JsonDict = {
    "id": EXAMPLE_ID,
    "filename": "hat-01.jpg",
    "media_type": "image/jpeg",
    "width": 400,
    "height": 711,
    "size_bytes": 28387,
    "sha256": "5766cadc079c18500f8e45cb303ef7eb61cf2928fdbd99d23415030b509d08ce",
    "created_at": "2026-01-31T12:00:00.000001Z",
    "metadata": {"brand": "acme", "price": 19.9},
    "objects": [],
    "links": {
        "self": f"/v1/images/{EXAMPLE_ID}",
        "content": f"/v1/images/{EXAMPLE_ID}/content",
        "thumbnail": f"/v1/images/{EXAMPLE_ID}/thumbnail",
        "similar": f"/v1/images/{EXAMPLE_ID}/similar",
    },
}

EXAMPLE_PROBLEM: JsonDict = {
    "type": "urn:lookalike:problem:unsupported_image_format",
    "title": "Unsupported Media Type",
    "status": 415,
    "detail": "The content is not an accepted image format.",
    "instance": "/v1/images/batch",
    "code": "unsupported_image_format",
    "request_id": "5f1f6e6c0d6b4c6e",
}


class BoxOut(BaseModel):
    """A box in pixels of the upright picture, origin top left."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_BOX]})

    x_min: float
    y_min: float
    x_max: float
    y_max: float

    @classmethod
    def of(cls, box: BoundingBox) -> Self:
        """From the domain."""
        return cls(x_min=box.x_min, y_min=box.y_min, x_max=box.x_max, y_max=box.y_max)


class ObjectOut(BaseModel):
    """A detected object; `score` is the detector's confidence."""

    label: str
    score: Annotated[float, Field(ge=0, le=1)]
    box: BoxOut

    @classmethod
    def of(cls, found: DetectedObject) -> Self:
        """From the domain."""
        return cls(label=found.label, score=found.score, box=BoxOut.of(found.box))


class LinksOut(BaseModel):
    """Where the image's representations are."""

    self_: Annotated[str, Field(alias="self")]
    content: str
    thumbnail: str
    similar: str

    model_config = ConfigDict(populate_by_name=True)


class ImageOut(BaseModel):
    """An indexed image."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_IMAGE]})

    id: UUID
    filename: str
    media_type: str
    width: int
    height: int
    size_bytes: int
    sha256: str
    created_at: datetime
    metadata: Mapping[str, str | int | float | bool | list[str]]
    objects: list[ObjectOut]
    links: LinksOut

    @classmethod
    def of(cls, record: ImageRecord, root: str = "") -> Self:
        """From the domain; `root` is the path under which a proxy serves us."""
        path = image_path(record, root)
        return cls(
            id=record.id,
            filename=record.filename,
            media_type=record.media_type,
            width=record.width,
            height=record.height,
            size_bytes=record.size_bytes,
            sha256=record.sha256,
            created_at=record.created_at,
            metadata=record.metadata,
            objects=[ObjectOut.of(found) for found in record.objects],
            links=LinksOut(
                self_=path, content=f"{path}/content", thumbnail=f"{path}/thumbnail", similar=f"{path}/similar"
            ),
        )


def image_path(record: ImageRecord, root: str) -> str:
    """Where an image is, such as /v1/images/<id>."""
    return f"{root}/v1/images/{record.id}"


class ImagePageOut(BaseModel):
    """A part of the listing, newest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [EXAMPLE_IMAGE], "next_cursor": None, "total": 1}]}
    )

    items: list[ImageOut]
    next_cursor: str | None
    total: int

    @classmethod
    def of(cls, page: ImagePage, root: str) -> Self:
        """From the domain."""
        return cls(
            items=[ImageOut.of(record, root) for record in page.items],
            next_cursor=None if page.next_cursor is None else encode_cursor(page.next_cursor),
            total=page.total,
        )


class BatchItemOut(BaseModel):
    """What became of one picture of a batch: `image`, or `problem` if it failed."""

    filename: str
    status: Literal["created", "exists", "failed"]
    image: ImageOut | None = None
    problem: ProblemOut | None = None


class BatchOut(BaseModel):
    """What became of each picture, in the order sent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "results": [
                        {"filename": "hat-01.jpg", "status": "created", "image": EXAMPLE_IMAGE},
                        {"filename": "notes.txt", "status": "failed", "problem": EXAMPLE_PROBLEM},
                    ],
                    "created": 1,
                    "existed": 0,
                    "failed": 1,
                }
            ]
        }
    )

    results: list[BatchItemOut]
    created: int
    existed: int
    failed: int

    @classmethod
    def of(cls, outcomes: list[IndexOutcome], *, root: str, instance: str, request_id: str) -> Self:
        """From the outcomes."""
        results = [
            BatchItemOut(
                filename=outcome.filename,
                status=outcome.status,
                image=None if outcome.image is None else ImageOut.of(outcome.image, root),
                problem=None
                if outcome.error is None
                else problem_of(outcome.error, instance=instance, request_id=request_id),
            )
            for outcome in outcomes
        ]
        statuses = [outcome.status for outcome in outcomes]
        return cls(
            results=results,
            created=statuses.count("created"),
            existed=statuses.count("exists"),
            failed=statuses.count("failed"),
        )


def _cosine(score: float) -> float:
    """A similarity without the last bits by which arithmetic leaves [-1, 1]."""
    return max(-1.0, min(1.0, score))


class QueryOut(BaseModel):
    """What was searched for. For examples, the size is that of the first one."""

    width: int
    height: int
    regions: list[BoxOut]
    target: Target
    objects: Annotated[
        list[ObjectOut] | None,
        Field(description="What the detector sees in the query; null where images were searched, or without one."),
    ]


class RegionMatchOut(BaseModel):
    """How one region of the query is matched by a stored object."""

    query_region: BoxOut
    object: Annotated[ObjectOut | None, Field(description="null: no object of the image matches this region.")]
    score: Annotated[float, Field(ge=-1, le=1)]

    @classmethod
    def of(cls, pair: RegionMatch) -> Self:
        """From the domain."""
        return cls(
            query_region=BoxOut.of(pair.query_region),
            object=None if pair.object is None else ObjectOut.of(pair.object),
            score=_cosine(pair.score),
        )


class MatchOut(BaseModel):
    """A match; `score` is the cosine similarity."""

    rank: Annotated[int, Field(ge=1)]
    score: Annotated[float, Field(ge=-1, le=1)]
    image: ImageOut
    region: ObjectOut | None = None
    regions: list[RegionMatchOut] | None = None

    @classmethod
    def of(cls, rank: int, match: Match, root: str) -> Self:
        """From the domain."""
        return cls(
            rank=rank,
            score=_cosine(match.score),
            image=ImageOut.of(match.image, root),
            region=None if match.region is None else ObjectOut.of(match.region),
            regions=None if match.regions is None else [RegionMatchOut.of(pair) for pair in match.regions],
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
    def of(cls, result: SearchResult, root: str = "") -> Self:
        """From the use case."""
        return cls(
            query=QueryOut(
                width=result.width,
                height=result.height,
                regions=[BoxOut.of(region) for region in result.regions],
                target=result.target,
                objects=None if result.objects is None else [ObjectOut.of(found) for found in result.objects],
            ),
            matches=[
                MatchOut.of(rank, match, root) for rank, match in enumerate(result.matches, start=result.offset + 1)
            ],
            next_offset=result.next_offset,
        )


class LabelCountOut(BaseModel):
    """A label and how many images show it."""

    label: str
    images: int


class LabelsOut(BaseModel):
    """The labels of detected objects, most frequent first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"labels": [{"label": "dog", "images": 12}, {"label": "cat", "images": 7}]}]}
    )

    labels: list[LabelCountOut]


class MetadataPatchIn(BaseModel):
    """A JSON merge patch (RFC 7396): null removes a key."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"metadata": {"price": 24.5, "brand": None}}]}
    )

    metadata: dict[str, Any]


class DeleteIn(BaseModel):
    """Which images to delete; the filter must name something."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"filter": {"all": [{"field": "metadata.brand", "eq": "acme"}]}}]},
    )

    filter: FilterIn


class DeletedOut(BaseModel):
    """How many images were deleted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"deleted": 3}]})

    deleted: int


class ExamplesIn(BaseModel):
    """Images to find the like of, and images to stay away from."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"positive": [EXAMPLE_ID], "negative": [], "limit": 10}]}
    )

    positive: Annotated[list[UUID], Field(max_length=100)] = []
    negative: Annotated[list[UUID], Field(max_length=100)] = []
    limit: Limit = 10
    offset: Offset = 0
    score_threshold: ScoreThreshold | None = None
    filter: FilterIn | None = None


class EmbeddingOut(BaseModel):
    """An L2-normalised feature vector."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"model": "tf_efficientnet_lite2", "dimension": 3, "embedding": [0.6, 0.0, 0.8]}]
        }
    )

    model: str
    dimension: int
    embedding: list[float]


class SizeOut(BaseModel):
    """Pixels."""

    width: int
    height: int


class ModelOut(BaseModel):
    """A model as it runs."""

    model: str
    weights_digest: Annotated[str, Field(description="SHA-256 of the checkpoint that the weights come from.")]
    runtime: str
    device: str
    precision: str
    input_size: SizeOut

    @classmethod
    def of(cls, model: ModelDescription) -> "ModelOut":
        """From the domain."""
        return ModelOut(**_described(model))


class EncoderOut(ModelOut):
    """The encoder as it runs, and the embedding space that it makes."""

    dimension: int
    preprocessing: str
    decode_version: int
    space: Annotated[str, Field(description="Fingerprint of the embedding space that the index is bound to.")]


class RepositoryOut(BaseModel):
    """The index as it stands."""

    backend: str
    images: int
    objects: int
    details: Mapping[str, str | int | float | bool]


class ModelsOut(BaseModel):
    """What is running."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "encoder": {
                        "model": "tf_efficientnet_lite2",
                        "weights_digest": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
                        "runtime": "openvino",
                        "device": "cpu",
                        "precision": "bf16",
                        "input_size": {"width": 320, "height": 320},
                        "dimension": 1280,
                        "preprocessing": "letterbox on white, 320x320, bicubic (reducing gap 2), mean 0.5,0.5,0.5, "
                        "std 0.5,0.5,0.5, gem p=3",
                        "decode_version": 1,
                        "space": "47e4720ea812aa04",
                    },
                    "detector": {
                        "model": "ssd_mobilenet_v2_coco",
                        "weights_digest": "2a8d8a89d695842e60d8c6d144181100555563e21acf2fa1e8f561fec5c3c6ad",
                        "runtime": "openvino",
                        "device": "cpu",
                        "precision": "bf16",
                        "input_size": {"width": 300, "height": 300},
                    },
                    "repository": {"backend": "edge", "images": 100, "objects": 240, "details": {"segments": 2}},
                }
            ]
        }
    )

    encoder: EncoderOut
    detector: Annotated[ModelOut | None, Field(description="null: this deployment runs no object detector.")]
    repository: RepositoryOut

    @classmethod
    def of(cls, service: ServiceDescription) -> Self:
        """From the use case."""
        space = service.space
        return cls(
            encoder=EncoderOut(
                **_described(service.encoder),
                dimension=space.dimension,
                preprocessing=space.preprocessing,
                decode_version=space.decode_version,
                space=space.fingerprint,
            ),
            detector=None if service.detector is None else ModelOut.of(service.detector),
            repository=RepositoryOut(
                backend=service.repository.backend,
                images=service.repository.images,
                objects=service.repository.objects,
                details=service.repository.details,
            ),
        )


class DetectionsOut(BaseModel):
    """The objects in a picture, best first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "ssd_mobilenet_v2_coco",
                    "image": {"width": 640, "height": 427},
                    "detections": [{"label": "cat", "score": 0.93, "box": EXAMPLE_BOX}],
                }
            ]
        }
    )

    model: str
    image: SizeOut
    detections: list[ObjectOut]

    @classmethod
    def of(cls, found: Detections) -> Self:
        """From the use case."""
        return cls(
            model=found.model,
            image=SizeOut(width=found.width, height=found.height),
            detections=[ObjectOut.of(each) for each in found.objects],
        )


def _described(model: ModelDescription) -> dict[str, Any]:
    return {
        "model": model.model,
        "weights_digest": model.weights_digest,
        "runtime": model.runtime,
        "device": model.device,
        "precision": model.precision,
        "input_size": SizeOut(width=model.input_width, height=model.input_height),
    }


class HealthOut(BaseModel):
    """`ok` or `ready`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ready"}]})

    status: str


def restore_examples(document: dict[str, Any]) -> None:
    """Put the models' examples into an OpenAPI document anew: FastAPI drops nulls from them, which mean something."""
    models: dict[str, type[BaseModel]] = {
        name: found for name, found in globals().items() if isinstance(found, type) and issubclass(found, BaseModel)
    }
    for name, component in document["components"]["schemas"].items():
        more = models[name].model_config.get("json_schema_extra") if name in models else None
        if isinstance(more, dict) and "examples" in more:
            component["examples"] = more["examples"]
