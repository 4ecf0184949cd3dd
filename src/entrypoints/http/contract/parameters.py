"""Parameters that several operations share, from text to the domain's values."""

import base64
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple
from unicodedata import normalize
from uuid import UUID

from fastapi import Path, UploadFile
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema, field_validator
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError
from starlette.datastructures import UploadFile as StarletteUploadFile

from application.index_images import IfExists
from application.search_result import MAX_LIMIT, MAX_OFFSET
from domain.errors import InvalidCursorError, InvalidInputError, InvalidMetadataError, InvalidRegionError
from domain.exif import parse_exif_parts
from domain.filters import Field as FilterField
from domain.geometry import BoundingBox
from domain.listing import Cursor
from domain.metadata import Metadata, checked_metadata
from entrypoints.remedies import explained

REQUEST_ID_HEADER = "X-Request-ID"
OUTCOME_HEADER = "X-Outcome"
DEADLINE_HEADER = "X-Request-Deadline-Ms"
MAX_DEADLINE = 999_999_999
"""Milliseconds: eleven days."""


def parse_region(text: str) -> BoundingBox:
    """A box from `x_min,y_min,x_max,y_max`, pixels of the upright picture. Raises InvalidRegionError."""
    try:
        x_min, y_min, x_max, y_max = (float(part) for part in text.split(","))
    except ValueError as error:
        raise InvalidRegionError(f"A region is written x_min,y_min,x_max,y_max, not {text[:100]!r}.") from error
    return BoundingBox(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max)


def parse_json_object(text: str) -> dict[str, Any]:
    """A JSON object from text. Raises InvalidMetadataError."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidMetadataError(f"metadata is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidMetadataError('metadata is a JSON object such as {"brand": "acme"}.')
    return value


def parse_metadata(text: str) -> Metadata:
    """Metadata from JSON text. Raises InvalidMetadataError."""
    return checked_metadata(parse_json_object(text))


class ListedUpTo(NamedTuple):
    """A place in the listing by the order of this name (`Order.name`)."""

    order: str
    cursor: Cursor


def encode_cursor(place: ListedUpTo) -> str:
    """A place in a listing as opaque text that fits in an address."""
    value = place.cursor.value
    plain = value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
    return base64.urlsafe_b64encode(json.dumps([place.order, plain, place.cursor.id.hex]).encode()).decode()


def parse_cursor(text: str) -> ListedUpTo:
    """The place that `encode_cursor` wrote. Raises InvalidCursorError."""
    try:
        raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
        order, plain, id_ = json.loads(raw, parse_constant=_refuse_constant)
        value = _utc(plain) if isinstance(plain, str) else plain
        if isinstance(value, bool) or not isinstance(value, datetime | int | float) or not isinstance(order, str):
            raise TypeError
        if not isinstance(value, datetime) and not math.isfinite(value):
            raise ValueError
        return ListedUpTo(order, Cursor(value, UUID(hex=id_)))
    except (UnicodeError, ValueError, OverflowError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidCursorError("The cursor is not one that a listing returned as next_cursor.") from error


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def parsed_by(parse: Callable[[str], object], *, optional: bool = True) -> BeforeValidator:
    """Runs a parser on text; what it finds wrong becomes a validation error with the domain's code as its type."""

    def validate(value: object) -> object:
        if not isinstance(value, str):
            raise PydanticCustomError("string_type", "send it as text")
        if optional and not value:
            return None  # an empty form field is one that was not filled in
        try:
            return parse(value)
        except InvalidInputError as error:
            raise PydanticCustomError(error.code, "{reason}", {"reason": explained(error)}) from error

    return BeforeValidator(validate)


def form_text(description: str) -> WithJsonSchema:
    """The schema of a parsed form field. Swagger UI sends examples as they are: of an optional field it is empty."""
    return WithJsonSchema({"type": "string", "description": description, "examples": [""]})


RegionText = Annotated[
    Any,
    parsed_by(parse_region),
    form_text("`x_min,y_min,x_max,y_max` in pixels of the upright picture, such as `40,60,300,400`; clipped to it."),
]
"""A form field whose value is a BoundingBox."""

_FilledIn = BeforeValidator(lambda given: [part for part in given if part] if isinstance(given, list) else given)

Regions = Annotated[list[RegionText], _FilledIn]
"""A repeated form field whose values are BoundingBoxes; empty ones were not filled in."""

Labels = Annotated[list[str], _FilledIn]
"""A repeated form field of labels; empty ones were not filled in."""

MetadataText = Annotated[
    Any,
    parsed_by(parse_metadata),
    form_text(
        "A flat JSON object of strings, numbers, booleans and arrays of strings, as text, such as "
        '`{"brand": "acme", "price": 19.9}`.'
    ),
]
"""A form field whose value is Metadata."""

JsonObjectText = Annotated[
    Any,
    parsed_by(parse_json_object),
    form_text(
        'One metadata object for all pictures, such as `{"brand": "acme"}`, or (if every value is an object) one by '
        'filename: `{"hat.jpg": {"brand": "acme"}}`.'
    ),
]
"""A form field whose value is any JSON object."""

CursorText = Annotated[
    Any,
    parsed_by(parse_cursor, optional=False),
    WithJsonSchema({"type": "string", "description": "`next_cursor` of the page before."}),
]
"""A query parameter whose value is a ListedUpTo."""

IdInPath = Annotated[UUID, Path(description="The image's id.")]
"""An id in a path `{id:uuid}`: what is no UUID is no image, and another operation's path is not taken for an id."""


def _check_file(value: object) -> object:
    if not isinstance(value, StarletteUploadFile):
        raise PydanticCustomError("value_error", "send the picture as a file part, with a filename")
    return value


FilePart = Annotated[
    UploadFile,
    BeforeValidator(_check_file),
    # Beside what OpenAPI 3.1 says of a file, what 3.0 said: many generators of clients know no other way.
    WithJsonSchema({"type": "string", "contentMediaType": "application/octet-stream", "format": "binary"}),
]
"""A form field whose value is a file."""

PictureUrl = Annotated[
    Any,
    parsed_by(str.strip),
    form_text(
        "In the place of `file`: an address, by http or https, from which the service fetches the picture. It takes a "
        "key with the role `write`, and is refused unless the deployment fetches."
    ),
]
"""A form field whose value is an URL."""


class PictureForm(BaseModel):
    """A picture: a file, or the URL of one."""

    model_config = ConfigDict(extra="forbid")

    url: PictureUrl | None = None
    file: Annotated[
        FilePart | SkipJsonSchema[None],
        Field(
            validate_default=True,
            description="A picture: JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF (HEIC where installed), told by its content.",
        ),
    ] = None

    @field_validator("file")
    @classmethod
    def _one_of_both(cls, value: UploadFile | None, info: ValidationInfo) -> UploadFile | None:
        if (value is None) == (info.data.get("url") is None):
            raise PydanticCustomError("invalid_picture", "send the picture as file, or its url: exactly one of the two")
        return value


ExifText = Annotated[
    Any,
    parsed_by(parse_exif_parts),
    form_text(
        "What the picture's own EXIF or XMP adds to its metadata under other keys: `true` for `taken,camera,lens` "
        "(`exif_taken` a time, UTC where it names no zone, `exif_camera`, `exif_lens`), some of these and `place` "
        "(`exif_latitude`, `exif_longitude` in degrees), or `false`. Without it, what the deployment is set to."
    ),
    BeforeValidator(lambda given: str(given).lower() if isinstance(given, bool) else given),
]
"""A form field, or a value of JSON, that is a set of ExifParts."""

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

Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT, description="Matches, or groups, to answer at most.")]
Offset = Annotated[int, Field(ge=0, le=MAX_OFFSET, description="Matches, or groups, to skip.")]
ScoreThreshold = Annotated[float, Field(ge=-1, le=1, description="Least cosine similarity of a match.")]
MinLikeness = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="Least likeness of a match, where one picture is compared with: 0.5 leaves what is `alike`, 0.75 "
        "what is `very_alike`, 1 what is the same. It cuts by the number alone: two pictures of low detail may be very "
        "like each other, and pass, though their band is `weak`; see `query.low_detail`.",
    ),
]
_FIELD = parsed_by(lambda text: FilterField(normalize("NFC", text)))

GroupBy = Annotated[
    Any,
    _FIELD,
    form_text(
        "`metadata.<key>` of a key that is declared as keyword or integer, or `sha256`: each value is shown once, by "
        "its best match. An array counts by its first value; a picture without the key is a group of its own."
    ),
]
"""A field whose values make groups; its value is the domain's Field."""

GroupSize = Annotated[
    int, Field(ge=1, le=10, description="Matches of a group to name at most, its best included; 1 where not given.")
]
Diversity = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="Maximal marginal relevance: order the first 200 matches by (1 - diversity) * score - diversity * "
        "the greatest similarity to those in front. 0 leaves the order of the scores.",
    ),
]
AdaptTo = Annotated[
    Any,
    _FIELD,
    form_text(
        "`metadata.<key>` of a key that is declared as keyword, with two values of five pictures each or more: what "
        "tells its values apart in this index counts beside the cosine, among the first 200 matches. With target "
        "`images`."
    ),
]
"""A field whose values are to be told apart; its value is the domain's Field."""

ColorWeight = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="How much the colours count against all else, among the first 200 matches. With target `images`.",
    ),
]
