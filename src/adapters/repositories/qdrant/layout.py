"""How images and their objects are laid out in points, so that they read back exactly and filter exactly.

An image is a point, and each of its objects is one, with vectors of different names. The points of one write's objects
carry its `generation`, and never change. The image's point names the generation that counts and is written after them,
so that it commits them. Object points of any other generation are orphans, which no search answers: those of a write
that a crash cut short, of one under way, or of before the last. An object's point repeats what filters compare of its
image, since filters always speak of images. For how its numbers and times are kept see scalars.py.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID, uuid4, uuid5

from adapters.repositories.qdrant import scalars
from adapters.repositories.qdrant.points import FoundPoint, Payload, Point, PointId
from domain.appearance import Appearance
from domain.embeddings import Embedding, Embeddings, EmbeddingSpace
from domain.errors import ConfigurationError, Remedy
from domain.filters import name_words
from domain.geometry import BoundingBox
from domain.images import DetectedObject, ImageId, ImageRecord
from domain.metadata import Metadata, MetadataType, parsed_time

FORMAT = 5
"""The version of this layout: 2 added objects; 3 named the vectors for their space, and made of a metadata number a
text and two integers; 4 made two integers of a metadata time as well, and added what an image is called (key, source,
words), when it changed, indexes of prefixes, and the identity of the index; 5 added the appearance. There is no way
from one to another but a backup by the release that wrote it."""


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
LOW_DETAIL = "low_detail"
COLOURS = "colours"
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
    **dict.fromkeys((KIND, OBJECT_IMAGE, GENERATION, LABELS, PIXELS), "keyword"),
    **dict.fromkeys((METADATA_KEYS, METADATA_NUMERIC, METADATA_TIMED, METADATA_TRUE, METADATA_FALSE), "keyword"),
    **dict.fromkeys((OBJECT_COUNT, CREATED_AT), "integer"),
    UPDATED_AT: "order",
    "key": "prefix",
    "source": "prefix",
    WORDS: "words",
}


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
            indexes[scalars.metadata_path(key)] = "prefix"
        elif type_ is not MetadataType.BOOL:  # whose lists of keys are indexed already
            is_of_times = type_ is MetadataType.DATETIME
            coarse, fine = scalars.parts_paths(key, is_of_times=is_of_times)
            indexes |= {coarse: "integer", fine: "order"}
            indexes[scalars.metadata_path(key) if is_of_times else scalars.number_text_path(key)] = "keyword"
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
        **_appearance_payload(record.appearance),
        "metadata_json": _json(record.metadata),
        **_filtered_payload(record),
    }
    return Point(str(record.id), image_vector(space), embedding, payload)


def _appearance_payload(appearance: Appearance | None) -> Payload:
    """What no filter compares: searches read it of what they have found."""
    if appearance is None:
        return {LOW_DETAIL: None, COLOURS: None}
    return {LOW_DETAIL: appearance.low_detail, COLOURS: b64encode(appearance.colours).decode()}


def _filtered_payload(record: ImageRecord) -> Payload:
    """What filters compare of a record: the points of its objects hold it too."""
    return {
        "key": record.key,
        **{field: getattr(record, field) for field in _PLAIN_INDEXES},
        PIXELS: None if record.appearance is None else record.appearance.pixels,
        CREATED_AT: scalars.microseconds(record.created_at),
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
        UPDATED_AT: scalars.microseconds(record.updated_at),
        **_filtered_metadata(record.metadata),
    }


def _filtered_metadata(metadata: Metadata) -> Payload:
    numbers = {
        scalars.escaped(key): {**_parts_payload(scalars.number_place(value)), "text": scalars.number_text(value)}
        for key, value in metadata.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    times = {
        scalars.escaped(key): _parts_payload(scalars.microseconds(time))
        for key, value in metadata.items()
        if isinstance(value, str) and (time := parsed_time(value)) is not None
    }
    return {
        "metadata": {scalars.escaped(key): value for key, value in metadata.items()},
        "metadata_numbers": numbers,
        "metadata_times": times,
        METADATA_KEYS: list(metadata),
        METADATA_NUMERIC: list(numbers),
        METADATA_TIMED: list(times),
        METADATA_TRUE: [key for key, value in metadata.items() if value is True],
        METADATA_FALSE: [key for key, value in metadata.items() if value is False],
    }


def _parts_payload(place: int) -> Payload:
    coarse, fine = scalars.parts(place)
    return {"coarse": coarse, "fine": fine}


_PLAIN_FIELDS = (*_PLAIN_INDEXES, "detection")

APPEARANCE_FIELDS = (PIXELS, LOW_DETAIL, COLOURS)
"""What `appearance_of` reads."""

RECORD_FIELDS = (
    *(KIND, "key", "source", *_PLAIN_FIELDS, CREATED_AT, UPDATED_AT, "metadata_json", "objects_json"),
    *APPEARANCE_FIELDS,
)
"""What `record_of` reads."""


def record_of(point: Point | FoundPoint) -> ImageRecord:
    """The record of an image's point, from its payload or from RECORD_FIELDS of it."""
    payload = point.payload
    return ImageRecord(
        id=UUID(point.id),
        key=payload.get("key"),  # setting a field to null removes it
        source=payload.get("source"),
        **{field: payload[field] for field in _PLAIN_FIELDS},
        created_at=scalars.time_of(payload[CREATED_AT]),
        updated_at=scalars.time_of(payload[UPDATED_AT]),
        metadata=json.loads(payload["metadata_json"]),
        objects=tuple(
            DetectedObject(label=found["label"], score=found["score"], box=BoundingBox(**found["box"]))
            for found in json.loads(payload["objects_json"])
        ),
        appearance=appearance_of(payload),
    )


def appearance_of(payload: Payload) -> Appearance | None:
    """That of an image's point."""
    if payload.get(COLOURS) is None:
        return None
    return Appearance(pixels=payload[PIXELS], low_detail=payload[LOW_DETAIL], colours=b64decode(payload[COLOURS]))


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
        name = f"{scalars.microseconds(datetime.now(UTC)):x}-{uuid4().hex}"
        return cls(image=str(record.id), name=name, object_count=len(record.objects))

    @classmethod
    def of(cls, point: Point | FoundPoint) -> "Generation":
        """The one that a point names: an image's point the one that counts, an object's its own."""
        payload = point.payload
        return cls(payload.get(OBJECT_IMAGE, point.id), payload[GENERATION], payload[OBJECT_COUNT])

    def is_older_than(self, age: timedelta) -> bool:
        """Whether it was written longer than `age` ago."""
        written_at, _, _ = self.name.partition("-")
        return int(written_at, 16) < scalars.microseconds(datetime.now(UTC) - age)

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


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
