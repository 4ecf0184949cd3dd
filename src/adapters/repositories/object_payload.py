"""How an image's objects are stored: each is a point of its own, with a vector of another name than the image's.

The points of one write carry its `generation`, and never change. The image's point names the generation that counts and
is written after them, so that it commits them; object points of any other generation are orphans, which nobody sees:
those of a write that a crash cut short, of one under way, or of before the last. Whoever finds an object compares its
generation with its image's.

An object's point repeats what filters compare of its image, since filters always speak of images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4, uuid5

from adapters.repositories.payload import (
    GENERATION,
    KIND,
    KIND_OBJECT,
    OBJECT_COUNT,
    OBJECT_IMAGE,
    filtered_payload,
    microseconds,
)
from domain.images import ImageId, ImageRecord

OBJECT_VECTOR_NAME = "object"
"""The named vector that holds the embedding of an object's crop. Only the points of objects have it."""

OBJECT_INDEX = "index"
WRITTEN_AT = "written_at"

FOUND_OBJECT_FIELDS = (OBJECT_IMAGE, GENERATION, OBJECT_COUNT, OBJECT_INDEX, WRITTEN_AT)
"""What `FoundObject.of` reads of an object's payload."""
GENERATION_FIELDS = (KIND, GENERATION, OBJECT_COUNT)
"""What `Generation.of` reads of an image's payload."""


@dataclass(frozen=True, slots=True)
class Generation:
    """The object points that one write made for one image. Any two writes make different ones."""

    image: ImageId
    name: str
    object_count: int

    @classmethod
    def new(cls, record: ImageRecord) -> "Generation":
        """One for the objects of `record` that nobody has used."""
        return cls(image=record.id, name=uuid4().hex, object_count=len(record.objects))

    @classmethod
    def of(cls, id_: ImageId, payload: Mapping[str, Any]) -> "Generation":
        """The one that counts, by the payload of the image's point."""
        return cls(image=id_, name=payload[GENERATION], object_count=payload[OBJECT_COUNT])

    @property
    def point_ids(self) -> Sequence[UUID]:
        """The ids of its points, in the order of the record's objects."""
        return [uuid5(self.image, f"{self.name}/{index}") for index in range(self.object_count)]


@dataclass(frozen=True, slots=True)
class FoundObject:
    """An object's point, as a search meets it."""

    generation: Generation
    index: int
    """Its place among the record's objects."""
    written_at: int
    """Microseconds from the epoch."""

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> "FoundObject":
        """From the payload of an object's point, or of no more than FOUND_OBJECT_FIELDS of it."""
        generation = Generation.of(UUID(payload[OBJECT_IMAGE]), payload)
        return cls(generation=generation, index=payload[OBJECT_INDEX], written_at=payload[WRITTEN_AT])

    def is_older_than(self, age: timedelta) -> bool:
        """Whether it was written longer than `age` ago."""
        return self.written_at < microseconds(datetime.now(UTC) - age)


def object_payloads(record: ImageRecord, generation: Generation) -> Sequence[dict[str, Any]]:
    """The payloads of the points of `record.objects`, in their order; their ids are `generation.point_ids`."""
    shared = {
        KIND: KIND_OBJECT,
        OBJECT_IMAGE: str(record.id),
        GENERATION: generation.name,
        OBJECT_COUNT: len(record.objects),
        WRITTEN_AT: microseconds(datetime.now(UTC)),
        **filtered_payload(record),
    }
    return [{**shared, OBJECT_INDEX: index} for index in range(len(record.objects))]
