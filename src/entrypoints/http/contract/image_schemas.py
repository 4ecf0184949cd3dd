"""Images, their objects and labels, and what is done to them."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal, Self
from unicodedata import normalize
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer
from pydantic.config import JsonDict

from application.index_images import IndexOutcome
from domain.images import ImageRecord
from domain.listing import ImagePage
from entrypoints.http.contract.filter_schema import FilterIn
from entrypoints.http.contract.image_view import ImageView
from entrypoints.http.contract.parameters import ListedUpTo, encode_cursor
from entrypoints.http.contract.problems import ProblemOut, example_problem, problem_of

# What `make demo` indexes: the examples can be tried out.
EXAMPLE_ID = "d202bcfc-e89f-5595-b73f-a8aa4e409767"
EXAMPLE_KEY = "examples/photos/hat-01.jpg"
EXAMPLE_BOX: JsonDict = {"x_min": 12.0, "y_min": 8.5, "x_max": 240.0, "y_max": 310.0}
EXAMPLE_IMAGE: JsonDict = {
    "id": EXAMPLE_ID,
    "key": EXAMPLE_KEY,
    "source": "/srv/lookalike/examples/photos/hat-01.jpg",
    "filename": "hat-01.jpg",
    "media_type": "image/jpeg",
    "width": 400,
    "height": 711,
    "size_bytes": 28387,
    "sha256": "5766cadc079c18500f8e45cb303ef7eb61cf2928fdbd99d23415030b509d08ce",
    "created_at": "2026-01-31T12:00:00.000001Z",
    "updated_at": "2026-01-31T12:00:00.000001Z",
    "metadata": {"brand": "acme", "price": 19.9},
    "objects": [],
    "links": {
        "self": f"/v1/images/{EXAMPLE_ID}",
        "content": f"/v1/images/{EXAMPLE_ID}/content",
        "thumbnail": f"/v1/images/{EXAMPLE_ID}/thumbnail?v=5766cadc079c",
        "similar": f"/v1/images/{EXAMPLE_ID}/similar",
    },
}


class FromDomain(BaseModel):
    """A shape whose fields are attributes of one of the domain's values."""

    model_config = ConfigDict(from_attributes=True)

    @classmethod
    def of(cls, value: object) -> Self:
        """From the domain."""
        return cls.model_validate(value)


class BoxOut(FromDomain):
    """A box in pixels of the upright picture, origin top left."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_BOX]})

    x_min: float
    y_min: float
    x_max: float
    y_max: float


class ObjectOut(FromDomain):
    """A detected object; `score` is the detector's confidence."""

    label: str
    score: Annotated[float, Field(ge=0, le=1)]
    box: BoxOut


class LinksOut(BaseModel):
    """Where the image's representations are. Keys of the role `search` open `thumbnail` and `similar` alone.

    Where keys are configured, `thumbnail` is signed: as it is, it loads without a key until it expires.
    """

    self_: Annotated[str, Field(alias="self")]
    content: str
    thumbnail: str
    similar: str

    model_config = ConfigDict(populate_by_name=True)


class ImageOut(BaseModel):
    """An indexed image.

    Keys of the role `search` see no `filename` and no `source`, and of `metadata` what
    `LOOKALIKE_AUTH__PUBLIC_METADATA` names.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_IMAGE]})

    id: UUID
    key: Annotated[str | None, Field(description="The caller's own name for it; the id follows from it.")]
    source: Annotated[str | None, Field(description="Where it came from, as the caller says: a path or an URL.")]
    filename: str | None
    media_type: str
    width: int
    height: int
    size_bytes: int
    sha256: str
    created_at: datetime
    updated_at: datetime
    metadata: Mapping[str, str | int | float | bool | list[str]]
    objects: list[ObjectOut]
    links: LinksOut

    @classmethod
    def of(cls, record: ImageRecord, view: ImageView) -> Self:
        """From the domain, as the caller may see it."""
        path = image_path(record, view.root)
        links = LinksOut(
            self_=path,
            content=f"{path}/content",
            thumbnail=f"{path}/thumbnail?{view.thumbnail_query(record)}",
            similar=f"{path}/similar",
        )
        fields = {name: getattr(record, name) for name in cls.model_fields if name != "links"}
        return cls(**view.visible(fields), links=links)


def image_path(record: ImageRecord, root: str) -> str:
    """Where an image is, such as /v1/images/<id>."""
    return f"{root}/v1/images/{record.id}"


class ImagePageOut(BaseModel):
    """A part of the listing."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [EXAMPLE_IMAGE], "next_cursor": None, "total": 1}]}
    )

    items: list[ImageOut]
    next_cursor: str | None
    total: int

    @classmethod
    def of(cls, page: ImagePage, view: ImageView, order_by: str) -> Self:
        """From the domain; `order_by` is the order's name."""
        next_ = None if page.next_cursor is None else encode_cursor(ListedUpTo(order_by, page.next_cursor))
        return cls(
            items=[ImageOut.of(record, view) for record in page.items],
            next_cursor=next_,
            total=page.total,
        )


class OutcomeOut(BaseModel):
    """What became of one of many. What there is none of is left out: a `problem`, or an `image` of what failed."""

    @model_serializer(mode="wrap")
    def _without_absent(self, serialized: SerializerFunctionWrapHandler):  # type: ignore[no-untyped-def]  # noqa: ANN202 - a type would be documented
        members: dict[str, Any] = serialized(self)
        if problem := members.get("problem"):
            members["problem"] = {name: value for name, value in problem.items() if value is not None}
        return {name: value for name, value in members.items() if value is not None or name not in {"problem", "image"}}


class BatchItemOut(OutcomeOut):
    """What became of one picture of a batch: `image`, or `problem` if it failed."""

    filename: str
    key: str | None
    status: Literal["created", "exists", "replaced", "failed"]
    image: ImageOut | None = None
    problem: ProblemOut | None = None


MAX_FACETS = 16
"""Fields whose values are counted at once."""

_EXAMPLE_PROBLEM = example_problem("unsupported_image_format", instance="/v1/images/batch")


class BatchOut(BaseModel):
    """What became of each picture, in the order sent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "results": [
                        {"filename": "hat-01.jpg", "key": EXAMPLE_KEY, "status": "created", "image": EXAMPLE_IMAGE},
                        {"filename": "notes.txt", "key": None, "status": "failed", "problem": _EXAMPLE_PROBLEM},
                    ],
                    "created": 1,
                    "existed": 0,
                    "replaced": 0,
                    "failed": 1,
                }
            ]
        }
    )

    results: list[BatchItemOut]
    created: int
    existed: int
    replaced: int
    failed: int

    @classmethod
    def of(cls, outcomes: list[IndexOutcome], *, view: ImageView, instance: str, request_id: str) -> Self:
        """From the outcomes."""
        results = [
            BatchItemOut(
                filename=outcome.upload.filename,
                key=outcome.upload.key,
                status=outcome.status,
                image=None if outcome.image is None else ImageOut.of(outcome.image, view),
                problem=problem_of(outcome.error, instance=instance, request_id=request_id),
            )
            for outcome in outcomes
        ]
        statuses = [outcome.status for outcome in outcomes]
        return cls(
            results=results,
            created=statuses.count("created"),
            existed=statuses.count("exists"),
            replaced=statuses.count("replaced"),
            failed=statuses.count("failed"),
        )


class FacetsIn(BaseModel):
    """Of which fields to count the values, and among which images."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"fields": ["labels", "media_type"], "limit": 10}]}
    )

    fields: Annotated[
        list[Annotated[str, AfterValidator(partial(normalize, "NFC"))]],
        Field(
            min_length=1,
            max_length=MAX_FACETS,
            description="`labels`, `media_type`, and metadata keys that are declared as keyword, integer or bool, such "
            "as `metadata.brand`.",
        ),
    ]
    filter: FilterIn | None = None
    limit: Annotated[int, Field(ge=1, le=1000, description="Values of each field at most, the most frequent.")] = 100


class FacetCountOut(BaseModel):
    """A value and how many images have it."""

    value: str | int | bool
    images: int


class FacetsOut(BaseModel):
    """The values of each field, most frequent first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"facets": {"labels": [{"value": "dog", "images": 12}, {"value": "cat", "images": 7}]}}]
        }
    )

    facets: Mapping[str, list[FacetCountOut]]


class DeleteIn(BaseModel):
    """Which images to delete; the filter must name something, and no `in` of it may be empty."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"filter": {"all": [{"field": "metadata.brand", "eq": "acme"}]}}]},
    )

    filter: FilterIn


class DeletedOut(BaseModel):
    """How many images were deleted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"deleted": 3}]})

    deleted: int
