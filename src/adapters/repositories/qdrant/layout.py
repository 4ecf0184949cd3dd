"""How images and their objects are laid out in points, so that they read back exactly and filter exactly.

An image is a point, and each of its objects is one, with vectors of different names. The points of one write's objects
carry its `generation`, and never change. The image's point names the generation that counts and is written after them,
so that it commits them. Object points of any other generation are orphans, which no search answers: those of a write
that a crash cut short, of one under way, or of before the last. An object's point repeats what filters compare of its
image, since filters always speak of images.

Qdrant keeps payloads as JSON and reads numbers of 16 and 17 digits back a little off, and further at each optimization:
of 3 million doubles of all sizes a quarter moved, one by 98. Its integer indexes drop fractions; its embedded binding
takes `true` for 1. So a record's free parts (metadata, objects) are stored as JSON text of our own, and what filters
compare is laid out beside them in strings and in integers below 2^53: a metadata number as canonical text, which is
equal where the numbers are, and as two integers, which are ordered as the numbers are. A metadata time, which may be of
any year, is two integers as well.
"""

import json
import math
import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID, uuid4, uuid5

from adapters.repositories.qdrant.points import FoundPoint, Payload, Point, PointId
from domain.embeddings import Embedding, Embeddings, EmbeddingSpace
from domain.errors import ConfigurationError, Remedy
from domain.filters import name_words
from domain.geometry import BoundingBox
from domain.images import DetectedObject, ImageId, ImageRecord
from domain.listing import Order, OrderValue
from domain.metadata import Metadata, MetadataType, parsed_time

FORMAT = 4
"""The version of this layout: 2 added objects; 3 named the vectors for their space, and made of a metadata number a
text and two integers; 4 made two integers of a metadata time as well, and added what an image is called (key, source,
words), when it changed, indexes of prefixes, and the identity of the index. There is no way from one to another but a
backup by the release that wrote it."""


def check_format(what: str, version: int) -> None:
    """Raise ConfigurationError if `what` has another format."""
    message = f"{what} has format {version}; this version reads format {FORMAT}."
    if version > FORMAT:
        raise ConfigurationError(f"{message} Run the newer version that wrote it.")
    if version < FORMAT:
        raise ConfigurationError(message, remedy=Remedy.CARRY_OVER_THE_OLDER_FORMAT)


KIND = "kind"
"""What a point stands for. Every point of ours has it."""
KIND_IMAGE = "image"
KIND_OBJECT = "object"

GENERATION = "generation"
OBJECT_COUNT = "object_count"
"""How many objects the image has. Summed over the images, it is how many there are, whatever a crash left behind."""
OBJECT_IMAGE = "image"
"""Of an object's point: the image that it belongs to."""
OBJECT_INDEX = "index"
"""Its place among the record's objects."""
CREATED_AT = "created_at"
UPDATED_AT = "updated_at"
LABELS = "labels"
SHA256 = "sha256"
WORDS = "words"
"""Those of key, source and filename."""
METADATA_KEYS = "metadata_keys"
METADATA_NUMERIC = "metadata_numeric"
METADATA_TIMED = "metadata_timed"
METADATA_TRUE = "metadata_true"
METADATA_FALSE = "metadata_false"

IndexKind = Literal["keyword", "prefix", "integer", "words", "order"]
"""The kinds of payload index in use. All serve look-ups; `integer` and `order` ranges and orders too, `prefix` and
`words` prefixes. `words` and `order` have no part in the vectors' graph, in which each value that many points have
takes links of its own: an optimization would take several times as long, for filters that few searches have."""

_PLAIN_INDEXES: Mapping[str, IndexKind] = {
    "filename": "prefix",
    "media_type": "keyword",
    "width": "integer",
    "height": "integer",
    "size_bytes": "order",
    SHA256: "keyword",
}
"""The fields of a record that never change, are stored as they are, on the points of its objects too, and indexed."""

_OTHER_INDEXES: Mapping[str, IndexKind] = {
    **dict.fromkeys((KIND, OBJECT_IMAGE, GENERATION, LABELS), "keyword"),
    **dict.fromkeys((METADATA_KEYS, METADATA_NUMERIC, METADATA_TIMED, METADATA_TRUE, METADATA_FALSE), "keyword"),
    **dict.fromkeys((OBJECT_COUNT, CREATED_AT), "integer"),
    UPDATED_AT: "order",
    "key": "prefix",
    "source": "prefix",
    WORDS: "words",
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def image_vector(space: EmbeddingSpace) -> str:
    """The name of the vector of a whole picture, which only the points of images have."""
    return f"image-{space.fingerprint}"


def object_vector(space: EmbeddingSpace) -> str:
    """The name of the vector of an object's crop, which only the points of objects have."""
    return f"object-{space.fingerprint}"


def vector_names(space: EmbeddingSpace) -> tuple[str, str]:
    """Those of all vectors of an index."""
    return image_vector(space), object_vector(space)


def payload_indexes(indexed_metadata: Mapping[str, MetadataType]) -> Mapping[str, IndexKind]:
    """The payload indexes that an index of images needs, by JSON path; to be created before there is any data."""
    indexes = {**_PLAIN_INDEXES, **_OTHER_INDEXES}
    for key, type_ in indexed_metadata.items():
        if type_ is MetadataType.KEYWORD:
            indexes[metadata_path(key)] = "prefix"
        elif type_ is not MetadataType.BOOL:  # whose lists of keys are indexed already
            is_of_times = type_ is MetadataType.DATETIME
            coarse, fine = parts_paths(key, is_of_times=is_of_times)
            indexes |= {coarse: "integer", fine: "order"}
            indexes[metadata_path(key) if is_of_times else number_text_path(key)] = "keyword"
    return indexes


# Images


def image_point(record: ImageRecord, generation: "Generation", embedding: Embedding, space: EmbeddingSpace) -> Point:
    """The point of an image, which commits the objects of `generation`."""
    payload = {
        KIND: KIND_IMAGE,
        GENERATION: generation.name,
        OBJECT_COUNT: len(record.objects),
        "objects_json": _json([asdict(found) for found in record.objects]),
        "detection": record.detection,
        "metadata_json": _json(record.metadata),
        **_filtered_payload(record),
    }
    return Point(str(record.id), image_vector(space), embedding, payload)


def _filtered_payload(record: ImageRecord) -> Payload:
    """What filters compare of a record: the points of its objects hold it too."""
    return {
        "key": record.key,
        **{field: getattr(record, field) for field in _PLAIN_INDEXES},
        CREATED_AT: microseconds(record.created_at),
        LABELS: sorted(record.labels),
        **_changing_payload(record),
    }


def changed_payload(record: ImageRecord) -> Payload:
    """The top-level payload fields that hold what an update changes: setting all of them replaces it whole."""
    return {"metadata_json": _json(record.metadata), **_changing_payload(record)}


def _changing_payload(record: ImageRecord) -> Payload:
    return {
        "source": record.source,
        WORDS: sorted(name_words(record)),
        UPDATED_AT: microseconds(record.updated_at),
        **_filtered_metadata(record.metadata),
    }


def _filtered_metadata(metadata: Metadata) -> Payload:
    numbers = {
        _escaped(key): {**_parts_payload(number_place(value)), "text": number_text(value)}
        for key, value in metadata.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    times = {
        _escaped(key): _parts_payload(microseconds(time))
        for key, value in metadata.items()
        if isinstance(value, str) and (time := parsed_time(value)) is not None
    }
    return {
        "metadata": {_escaped(key): value for key, value in metadata.items()},
        "metadata_numbers": numbers,
        "metadata_times": times,
        METADATA_KEYS: list(metadata),
        METADATA_NUMERIC: list(numbers),
        METADATA_TIMED: list(times),
        METADATA_TRUE: [key for key, value in metadata.items() if value is True],
        METADATA_FALSE: [key for key, value in metadata.items() if value is False],
    }


def _parts_payload(place: int) -> Payload:
    coarse, fine = parts(place)
    return {"coarse": coarse, "fine": fine}


_PLAIN_FIELDS = (*_PLAIN_INDEXES, "detection")

RECORD_FIELDS = (KIND, "key", "source", *_PLAIN_FIELDS, CREATED_AT, UPDATED_AT, "metadata_json", "objects_json")
"""What `record_of` reads."""


def record_of(point: Point | FoundPoint) -> ImageRecord:
    """The record of an image's point, from its payload or from RECORD_FIELDS of it."""
    payload = point.payload
    return ImageRecord(
        id=UUID(point.id),
        key=payload.get("key"),  # setting a field to null removes it
        source=payload.get("source"),
        **{field: payload[field] for field in _PLAIN_FIELDS},
        created_at=_EPOCH + payload[CREATED_AT] * _MICROSECOND,
        updated_at=_EPOCH + payload[UPDATED_AT] * _MICROSECOND,
        metadata=json.loads(payload["metadata_json"]),
        objects=tuple(
            DetectedObject(label=found["label"], score=found["score"], box=BoundingBox(**found["box"]))
            for found in json.loads(payload["objects_json"])
        ),
    )


# Objects

GENERATION_FIELDS = (KIND, OBJECT_IMAGE, GENERATION, OBJECT_COUNT)
"""What `Generation.of` reads. The points of images have no OBJECT_IMAGE."""
IMAGE_FIELDS = (*RECORD_FIELDS, *GENERATION_FIELDS)
"""What both read of an image's point."""


@dataclass(frozen=True, slots=True)
class Generation:
    """The object points that one write made for one image. Any two writes make different ones."""

    image: PointId
    name: str
    """Begins with the time of the write."""
    object_count: int

    @classmethod
    def new(cls, record: ImageRecord) -> "Generation":
        """One for the objects of `record` that no write has used."""
        name = f"{microseconds(datetime.now(UTC)):x}-{uuid4().hex}"
        return cls(image=str(record.id), name=name, object_count=len(record.objects))

    @classmethod
    def of(cls, point: Point | FoundPoint) -> "Generation":
        """The one that a point names: an image's point the one that counts, an object's its own."""
        payload = point.payload
        return cls(payload.get(OBJECT_IMAGE, point.id), payload[GENERATION], payload[OBJECT_COUNT])

    def is_older_than(self, age: timedelta) -> bool:
        """Whether it was written longer than `age` ago."""
        written_at, _, _ = self.name.partition("-")
        return int(written_at, 16) < microseconds(datetime.now(UTC) - age)

    @property
    def point_ids(self) -> Sequence[PointId]:
        """The ids of its points, in the order of the record's objects."""
        return [str(uuid5(ImageId(self.image), f"{self.name}/{index}")) for index in range(self.object_count)]


def point_ids(generations: Iterable[Generation]) -> list[PointId]:
    """The ids of the points of all of these."""
    return [id_ for generation in generations for id_ in generation.point_ids]


def object_points(
    record: ImageRecord, generation: Generation, embeddings: Embeddings, space: EmbeddingSpace
) -> list[Point]:
    """The points of `record.objects`, in their order. `embeddings` has shape (len(record.objects), dimension)."""
    shared = {
        KIND: KIND_OBJECT,
        OBJECT_IMAGE: str(record.id),
        GENERATION: generation.name,
        OBJECT_COUNT: len(record.objects),
        **_filtered_payload(record),
    }
    vector_name = object_vector(space)
    return [
        Point(id_, vector_name, vector, {**shared, OBJECT_INDEX: index})
        for index, (id_, vector) in enumerate(zip(generation.point_ids, embeddings, strict=True))
    ]


# Values and paths


def metadata_path(key: str) -> str:
    """The JSON path of a metadata value. Quoted, so that dots and brackets in a key are no syntax."""
    return f'metadata."{_escaped(key)}"'


def parts_paths(key: str, *, is_of_times: bool) -> tuple[str, str]:
    """The JSON paths of the `parts` of a metadata number, or of the time that a text says."""
    of_key = f'{"metadata_times" if is_of_times else "metadata_numbers"}."{_escaped(key)}"'
    return f"{of_key}.coarse", f"{of_key}.fine"


def number_text_path(key: str) -> str:
    """The JSON path of the `number_text` of a metadata number."""
    return f'metadata_numbers."{_escaped(key)}".text'


def order_paths(order: Order) -> tuple[str, ...]:
    """The JSON paths of the integers that order by one after the other as `order` does, without the ids."""
    key = order.field.metadata_key
    return (order.field.name,) if key is None else parts_paths(key, is_of_times=order.is_of_times)


def order_presence(key: str, *, is_of_times: bool) -> tuple[str, str]:
    """The path of a list, and what is in it where the metadata has a number under `key`, or a time."""
    return METADATA_TIMED if is_of_times else METADATA_NUMERIC, _escaped(key)


def order_parts(order: Order, value: OrderValue) -> tuple[int, ...]:
    """What is at the `order_paths` of a record with this value."""
    place = microseconds(value) if isinstance(value, datetime) else number_place(value)
    return (place,) if order.field.metadata_key is None else parts(place)


FINEST = 2**11 - 1
"""The greatest fine part."""


def parts(place: int) -> tuple[int, int]:
    """Two integers below 2^53, the coarse one first, that are ordered as the places (or microseconds) are."""
    return divmod(place, FINEST + 1)


def number_place(number: float) -> int:
    """A number's place among all doubles, whose bits order them: equal where the numbers are, and in their order."""
    bits: int = struct.unpack(">q", struct.pack(">d", number))[0]
    return bits if bits >= 0 else -(bits + 2**63)


NUMBER_PLACES = number_place(-math.inf), number_place(sys.float_info.max)
"""The place before all finite doubles, and that of the last one."""


def number_text(number: float) -> str:
    """The same text for numbers that are equal, another for others. Metadata integers are exact as doubles."""
    return repr(float(number) + 0.0)  # -0.0 + 0.0 is 0.0


def microseconds(moment: datetime) -> int:
    """Whole microseconds from the epoch: exact in order and in ranges (below 2^53 until the year 2255)."""
    return (moment - _EPOCH) // _MICROSECOND


def _escaped(key: str) -> str:
    """`key` without what a quoted JSON path cannot hold; different keys stay different."""
    return key.replace("%", "%25").replace('"', "%22").replace("\\", "%5C")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
