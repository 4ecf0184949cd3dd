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
import struct
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
PIXELS = "pixels"
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
    keywords = (KIND, OBJECT_IMAGE, GENERATION, LABELS, SHA256, "media_type")
    indexes = dict[str, IndexKind]()
    indexes |= dict.fromkeys((*keywords, METADATA_KEYS, METADATA_NUMERIC, METADATA_TIMED), "keyword")
    indexes |= dict.fromkeys((METADATA_TRUE, METADATA_FALSE), "keyword")
    indexes |= dict.fromkeys(("key", "source", "filename"), "prefix")
    indexes |= {WORDS: "words", UPDATED_AT: "order", "size_bytes": "order"}
    indexes |= dict.fromkeys((OBJECT_COUNT, CREATED_AT, "width", "height"), "integer")
    for key, type_ in indexed_metadata.items():
        coarse, fine, text = number_paths(key)
        if type_ is MetadataType.KEYWORD:
            indexes[metadata_path(key)] = "prefix"
        elif type_ is MetadataType.DATETIME:
            coarse, fine = time_paths(key)
            indexes |= {metadata_path(key): "keyword", coarse: "integer", fine: "order"}
        elif type_ is not MetadataType.BOOL:  # whose lists of keys are indexed already
            indexes |= {coarse: "integer", fine: "order", text: "keyword"}
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
        **{field: getattr(record, field) for field in _COMPARED_FIELDS},
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
        _escaped(key): _number_payload(value)
        for key, value in metadata.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    times = {
        _escaped(key): dict(zip(_PARTS, time_parts(microseconds(time)), strict=True))
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


def _number_payload(number: float) -> Payload:
    return {**dict(zip(_PARTS, number_parts(number), strict=True)), "text": number_text(number)}


_COMPARED_FIELDS = ("filename", "media_type", "width", "height", "size_bytes", SHA256)
_PLAIN_FIELDS = (*_COMPARED_FIELDS, "detection")

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


_PARTS = ("coarse", "fine")


def time_paths(key: str) -> tuple[str, str]:
    """The JSON paths of the two parts of the time that a metadata text says, the coarse one first."""
    of_key = f'metadata_times."{_escaped(key)}"'
    return f"{of_key}.coarse", f"{of_key}.fine"


def number_paths(key: str) -> tuple[str, str, str]:
    """The JSON paths of a metadata number's two parts, the coarse one first, and of its text."""
    of_key = f'metadata_numbers."{_escaped(key)}"'
    return f"{of_key}.coarse", f"{of_key}.fine", f"{of_key}.text"


def order_paths(order: Order) -> tuple[str, ...]:
    """The JSON paths of the integers that order by one after the other as `order` does, without the ids."""
    key = order.field.metadata_key
    if key is None:
        return (order.field.name,)
    return time_paths(key) if order.is_of_times else number_paths(key)[:2]


def order_presence(key: str, *, is_of_times: bool) -> tuple[str, str]:
    """The path of a list, and what is in it where the metadata has a number under `key`, or a time."""
    return METADATA_TIMED if is_of_times else METADATA_NUMERIC, _escaped(key)


def order_parts(order: Order, value: OrderValue) -> tuple[int, ...]:
    """What is at the `order_paths` of a record with this value."""
    if not isinstance(value, datetime):
        return number_parts(value)
    micros = microseconds(value)
    return (micros,) if order.field.metadata_key is None else time_parts(micros)


FINEST = 2**11 - 1
"""The greatest fine part of a number or a time."""


def number_parts(number: float) -> tuple[int, int]:
    """Two integers below 2^53, the coarse one first, that are ordered as the numbers are, and equal where these are.

    Together they are the number's place among all doubles, whose bits order them.
    """
    bits: int = struct.unpack(">q", struct.pack(">d", number))[0]
    return divmod(bits if bits >= 0 else -(bits + 2**63), FINEST + 1)


def time_parts(micros: int) -> tuple[int, int]:
    """Of a time in microseconds, two integers below 2^53, the coarse one first, that are ordered as the times are."""
    return divmod(micros, FINEST + 1)


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
