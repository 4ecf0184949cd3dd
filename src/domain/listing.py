"""Listings: their order, their pages, and the places where pages begin."""

from dataclasses import dataclass
from datetime import datetime

from domain.errors import InvalidOrderError
from domain.filters import Field
from domain.images import ImageId, ImageRecord
from domain.metadata import MetadataType, MetadataTypes, parsed_time

OrderValue = float | datetime
"""What a listing is ordered by: a number, or a time."""

ORDERED = (MetadataType.INTEGER, MetadataType.FLOAT, MetadataType.DATETIME)
"""The declared types that have an order."""


@dataclass(frozen=True, slots=True)
class Order:
    """By `created_at`, `updated_at`, or a metadata key that is declared as integer, float or datetime."""

    field: Field
    is_descending: bool = True

    @classmethod
    def parsed(cls, text: str, types: MetadataTypes) -> "Order":
        """From `created_at`, `-metadata.price` and the like; `-` is for descending. Raises InvalidOrderError."""
        field = Field(text.removeprefix("-"))
        if field.name not in ("created_at", "updated_at") and types.get(field.metadata_key or "") not in ORDERED:
            known = [f"metadata.{key}" for key, type_ in types.items() if type_ in ORDERED]
            raise InvalidOrderError(
                f"There is no order by {field.name}. Order by {', '.join(['created_at', 'updated_at', *known])}, or by "
                "a metadata key that is declared as integer, float or datetime; put - before it for descending."
            )
        return cls(field, is_descending=text.startswith("-"))

    @property
    def name(self) -> str:
        """As `parsed` reads it."""
        return f"-{self.field.name}" if self.is_descending else self.field.name

    def value_of(self, record: ImageRecord) -> OrderValue | None:
        """What `record` is ordered by; None where it has none, and is left out."""
        value = self.field.value_of(record)
        if isinstance(value, str):
            return parsed_time(value)
        return value if isinstance(value, int | float | datetime) and not isinstance(value, bool) else None


NEWEST_FIRST = Order(Field("created_at"))


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """The place in a listing right after this image: (the order's value, id), both in the order's direction."""

    value: OrderValue
    id: ImageId


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePage:
    """A part of a listing. `next_cursor` is None at its end; `total` counts all that are listed."""

    items: tuple[ImageRecord, ...]
    next_cursor: Cursor | None
    total: int
