"""What the service answers. Fields that a newer service adds are kept: `model_dump` has them too."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Target = Literal["images", "objects", "any"]
"""What a query is compared with: whole pictures, the objects in them, or both."""

Band = Literal["identical", "copy", "very_alike", "alike", "weak"]
"""How alike a match is, in a word."""

MetadataValue = str | int | float | bool | list[str]
MetadataType = Literal["keyword", "integer", "float", "bool", "datetime"]
"""What the service may declare that a key of the metadata holds."""


class Answer(BaseModel):
    """A value that the service answers."""

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)


class Box(Answer):
    """Pixels of the upright picture, origin top left."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float


class DetectedObject(Answer):
    """An object in a picture; `score` is the detector's confidence in [0, 1]."""

    label: str
    score: float
    box: Box


class Links(Answer):
    """Paths of what belongs to an image."""

    self_: str = Field(alias="self")
    content: str
    thumbnail: str
    similar: str


class Image(Answer):
    """An indexed picture. `width` and `height` are pixels of it upright; without a key it is known by its bytes.

    `filename` is None for a key of the role `search`.
    """

    id: UUID
    key: str | None
    source: str | None
    filename: str | None
    media_type: str
    width: int
    height: int
    size_bytes: int
    sha256: str
    created_at: datetime
    updated_at: datetime
    metadata: Mapping[str, MetadataValue]
    objects: list[DetectedObject]
    links: Links


class ImagePage(Answer):
    """A part of the listing; `total` counts all that match."""

    items: list[Image]
    next_cursor: str | None
    total: int


class Query(Answer):
    """What was searched for. `objects`: what the detector sees in it, where objects were searched.

    `low_detail`: it shows too little to be found by.
    """

    width: int
    height: int
    regions: list[Box]
    target: Target
    objects: list[DetectedObject] | None
    low_detail: bool = False


class RegionMatch(Answer):
    """A region of the query, and the stored object that matches it (None: none does, and `score` is 0)."""

    query_region: Box
    object: DetectedObject | None
    score: float


class Match(Answer):
    """A similar image. `score` is the cosine similarity in [-1, 1], `region` the stored object that matched.

    `likeness` in [0, 1] means the same for every model, and `band` says it in a word; None where no one picture was
    compared with, or where the model has no scale. `order_score` is what the order was made by, None where that is
    `score`. `group`: where the search grouped.
    """

    rank: int
    score: float
    order_score: float | None = None
    likeness: float | None = None
    band: Band | None = None
    group: "MatchGroup | None" = None
    image: Image
    region: DetectedObject | None
    regions: list[RegionMatch] | None


class MatchGroup(Answer):
    """The group that a match stands for: how many images have the value and pass the filter, and the next best."""

    value: str | int | None
    images: int
    more: list[Match]


class SearchResult(Answer):
    """Matches in the order shown; `next_offset` leads on, None at the end."""

    query: Query
    matches: list[Match]
    next_offset: int | None


class Size(Answer):
    """Pixels."""

    width: int
    height: int


class Detections(Answer):
    """Objects in a picture, best first, and the model that found them."""

    model: str
    image: Size
    detections: list[DetectedObject]


class Embedding(Answer):
    """An L2-normalised feature vector."""

    model: str
    dimension: int
    embedding: list[float]


class FacetCount(Answer):
    """A value, and how many images have it."""

    value: str | int | bool
    images: int


class Facets(Answer):
    """The values of each field, most frequent first."""

    facets: Mapping[str, list[FacetCount]]


class Model(Answer):
    """A model as it runs."""

    model: str
    weights_digest: str
    runtime: str
    device: str
    precision: str
    input_size: Size


class BandScores(Answer):
    """The cosine similarities from which matches are in a band."""

    alike: float
    very_alike: float


class Scales(Answer):
    """Bands of whole pictures and of objects."""

    images: BandScores
    objects: BandScores


class Encoder(Model):
    """The encoder; `space` tells its embedding space from others. `bands` is None where the model has no scale."""

    dimension: int
    preprocessing: str
    decode_version: int
    space: str
    bands: Scales | None = None


class Repository(Answer):
    """The index, and how much it holds."""

    backend: str
    images: int
    objects: int
    details: Mapping[str, Any]


class Models(Answer):
    """What is running there. `detector` is None where objects are not detected; `index_id` is the index's own id."""

    encoder: Encoder
    detector: Model | None
    index_id: UUID
    repository: Repository
    metadata_types: Mapping[str, MetadataType]


class Edited(Answer):
    """What became of one image whose metadata was to be changed."""

    id: UUID
    key: str | None
    status: Literal["updated", "failed"]
    problem: "Problem | None" = None


class EditedMany(Answer):
    """What became of each image, in the order sent."""

    results: list[Edited]
    updated: int
    failed: int


class Renamed(Answer):
    """What became of one image that was to have another key."""

    from_: str = Field(alias="from")
    to: str
    status: Literal["renamed", "failed"]
    problem: "Problem | None" = None


class RenamedMany(Answer):
    """What became of each image, in the order sent."""

    results: list[Renamed]
    renamed: int
    failed: int


class Missing(Answer):
    """Names under which no image is stored."""

    ids: list[UUID]
    keys: list[str]


class Lookup(Answer):
    """Images that are there, each once, and the names of those that are not."""

    items: list[Image]
    missing: Missing


class Deleted(Answer):
    """How many images were removed."""

    deleted: int


class Updated(Answer):
    """How many images were changed."""

    updated: int


class Problem(Answer):
    """Why the service refused (RFC 9457)."""

    status: int
    code: str
    detail: str
    title: str = ""
    request_id: str = ""
    errors: list[dict[str, Any]] | None = None
