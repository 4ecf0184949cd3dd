"""How an image record is laid out in a Qdrant point's payload, so that it reads back exactly and filters exactly.

Qdrant keeps payloads as JSON and reads numbers of 16 and 17 digits back one unit in the last place off; its integer
indexes drop fractions; its embedded binding takes `true` for 1. So a record's free parts (metadata, objects) are stored
as JSON text of our own, and what filters compare is laid out beside them in strings and in integers below 2^53.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from domain.geometry import BoundingBox
from domain.images import DetectedObject, ImageRecord
from domain.metadata import Metadata, MetadataType

LOW_BITS = 32

VECTOR_NAME = "image"
"""The named vector that holds the embedding of a whole picture. Only the points of images have it."""

KIND = "kind"
"""What a point stands for: an image, or one object of an image (see object_payload.py)."""
KIND_IMAGE = "image"
KIND_OBJECT = "object"

GENERATION = "generation"
"""Which of an image's object points, written with this same value, are its objects as it is now."""
OBJECT_COUNT = "object_count"
"""How many objects the image has. Summed over the images, it is how many there are, whatever a crash left behind."""
OBJECT_IMAGE = "image"
"""Of an object's point: the image that it belongs to."""

METADATA_KEYS = "metadata_keys"
METADATA_TRUE = "metadata_true"
METADATA_FALSE = "metadata_false"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class PayloadIndexKind(StrEnum):
    """The kinds of payload index in use. An integer index serves ranges and look-ups."""

    KEYWORD = "keyword"
    INTEGER = "integer"


@dataclass(frozen=True, slots=True)
class PayloadIndex:
    """An index over the payload value at a JSON path."""

    path: str
    kind: PayloadIndexKind


def payload_indexes(indexed_metadata: Mapping[str, MetadataType]) -> tuple[PayloadIndex, ...]:
    """The indexes that a collection needs, in the order of their creation: before any data."""
    indexes = [
        *(PayloadIndex(path, PayloadIndexKind.KEYWORD) for path in (KIND, OBJECT_IMAGE, GENERATION)),
        *(PayloadIndex(path, PayloadIndexKind.INTEGER) for path in (OBJECT_COUNT, "created_at", "width", "height")),
        *(PayloadIndex(path, PayloadIndexKind.KEYWORD) for path in ("labels", "filename", "media_type")),
        *(PayloadIndex(path, PayloadIndexKind.KEYWORD) for path in (METADATA_KEYS, METADATA_TRUE, METADATA_FALSE)),
    ]
    for key, type_ in indexed_metadata.items():
        match type_:
            case MetadataType.KEYWORD:
                indexes.append(PayloadIndex(metadata_path(key), PayloadIndexKind.KEYWORD))
            case MetadataType.INTEGER | MetadataType.FLOAT:
                indexes.append(PayloadIndex(number_paths(key)[0], PayloadIndexKind.INTEGER))
            case MetadataType.BOOL:
                pass  # metadata_true and metadata_false are indexed already
    return tuple(indexes)


def payload_of(record: ImageRecord, generation: str) -> dict[str, Any]:
    """The payload of a record's point; its id is the point's. `generation` is that of its objects' points."""
    return {
        KIND: KIND_IMAGE,
        GENERATION: generation,
        OBJECT_COUNT: len(record.objects),
        "size_bytes": record.size_bytes,
        "sha256": record.sha256,
        "objects_json": _json([asdict(found) for found in record.objects]),
        "detection": record.detection,
        **filtered_payload(record),
        **metadata_payload(record.metadata),
    }


def filtered_payload(record: ImageRecord) -> dict[str, Any]:
    """What filters compare of a record: the points of its objects hold it too."""
    return {
        "filename": record.filename,
        "media_type": record.media_type,
        "width": record.width,
        "height": record.height,
        "created_at": microseconds(record.created_at),
        "labels": sorted(record.labels),
        **filtered_metadata_payload(record.metadata),
    }


def metadata_payload(metadata: Metadata) -> dict[str, Any]:
    """The top-level payload fields that hold an image's metadata: setting all of them replaces it whole."""
    return {"metadata_json": _json(metadata), **filtered_metadata_payload(metadata)}


def filtered_metadata_payload(metadata: Metadata) -> dict[str, Any]:
    """What filters compare of metadata: setting all of these fields of an object's point replaces it whole."""
    numbers = {
        _escaped(key): dict(zip(("high", "low"), split(ordinal(value)), strict=True))
        for key, value in metadata.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return {
        "metadata": {_escaped(key): value for key, value in metadata.items()},
        "metadata_numbers": numbers,
        METADATA_KEYS: list(metadata),
        METADATA_TRUE: [key for key, value in metadata.items() if value is True],
        METADATA_FALSE: [key for key, value in metadata.items() if value is False],
    }


RECORD_FIELDS = (
    "filename",
    "media_type",
    "width",
    "height",
    "size_bytes",
    "sha256",
    "created_at",
    "metadata_json",
    "objects_json",
    "detection",
)
"""What `record_of` reads."""


def record_of(id_: UUID, payload: Mapping[str, Any]) -> ImageRecord:
    """The record that `payload_of` laid out, from its payload or from RECORD_FIELDS of it."""
    return ImageRecord(
        id=id_,
        filename=payload["filename"],
        media_type=payload["media_type"],
        width=payload["width"],
        height=payload["height"],
        size_bytes=payload["size_bytes"],
        sha256=payload["sha256"],
        created_at=_EPOCH + payload["created_at"] * _MICROSECOND,
        metadata=json.loads(payload["metadata_json"]),
        objects=tuple(
            DetectedObject(label=found["label"], score=found["score"], box=BoundingBox(**found["box"]))
            for found in json.loads(payload["objects_json"])
        ),
        detection=payload["detection"],
    )


def metadata_path(key: str) -> str:
    """The JSON path of a metadata value. Quoted, so that dots and brackets in a key are no syntax."""
    return f'metadata."{_escaped(key)}"'


def number_paths(key: str) -> tuple[str, str]:
    """The JSON paths of the high and the low part of a metadata number (see `split`)."""
    return f'metadata_numbers."{_escaped(key)}".high', f'metadata_numbers."{_escaped(key)}".low'


def microseconds(moment: datetime) -> int:
    """Whole microseconds from the epoch: exact in order and in ranges (below 2^53 until the year 2255)."""
    return (moment - _EPOCH) // _MICROSECOND


def ordinal(number: float) -> int:
    """A signed integer of 64 bits that orders and equals as the (not NaN) number does; neighbours differ by one.

    The bits of an IEEE double, read as a sign and a magnitude, order as the doubles do. Metadata integers are below
    2^53, hence exact as doubles.
    """
    (bits,) = struct.unpack(">q", struct.pack(">d", number))
    magnitude = int(bits & (2**63 - 1))
    return magnitude if bits >= 0 else -magnitude


def split(ordinal_: int) -> tuple[int, int]:
    """An ordinal as a signed high and an unsigned low part of 32 bits: all that range conditions take exactly."""
    return ordinal_ >> LOW_BITS, ordinal_ & (2**LOW_BITS - 1)


def _escaped(key: str) -> str:
    """`key` without what a quoted JSON path cannot hold; different keys stay different."""
    return key.replace("%", "%25").replace('"', "%22").replace("\\", "%5C")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
