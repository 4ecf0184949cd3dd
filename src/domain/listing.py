"""Listings: their order, their pages, and the places where pages begin."""

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from domain.errors import InvalidOrderError, Remedy
from domain.filters import TIME_FIELDS, Field
from domain.images import ImageId, ImageRecord
from domain.metadata import MetadataType, MetadataTypes, fields_declared, parsed_time

OrderValue = float | datetime
"""What a listing is ordered by: a number, or a time."""

ORDERED = (MetadataType.INTEGER, MetadataType.FLOAT, MetadataType.DATETIME)
"""The declared types that have an order."""


@dataclass(frozen=True, slots=True)
class Order:
    """By `created_at`, `updated_at`, or a metadata key that is declared as integer, float or datetime.

    Equal values are in the order of ids.
    """

    field: Field
    is_descending: bool = True
    is_of_times: bool = True
    """Of metadata: whether it is by the times that texts say, or by numbers."""

    @classmethod
    def parsed(cls, text: str, types: MetadataTypes) -> "Order":
        """From `created_at`, `-metadata.price` and the like; `-` is for descending. Raises InvalidOrderError."""
        field = Field(text.removeprefix("-"))
        type_ = MetadataType.DATETIME if field.name in TIME_FIELDS else types.get(field.metadata_key or "")
        if type_ not in ORDERED:
            known = ["created_at", "updated_at", *fields_declared(types, ORDERED)]
            raise InvalidOrderError(
                f"There is no order by {field.name}. Order by {', '.join(known)}, or by "
                "a metadata key that is declared as integer, float or datetime; put - before it for descending.",
                remedy=Remedy.INDEX_THE_METADATA_KEY,
            )
        return cls(field, text.startswith("-"), is_of_times=type_ is MetadataType.DATETIME)

    @property
    def name(self) -> str:
        """As `parsed` reads it."""
        return f"-{self.field.name}" if self.is_descending else self.field.name

    def value_of(self, record: ImageRecord) -> OrderValue | None:
        """What `record` is ordered by; None where it has none, and is left out."""
        value = self.field.value_of(record)
        if self.is_of_times:
            return parsed_time(value) if isinstance(value, str) else value if isinstance(value, datetime) else None
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def after(self, record: ImageRecord) -> "Cursor":
        """The place right after `record`, which has a value."""
        value = self.value_of(record)
        if value is None:
            raise ValueError(f"Image {record.id} has no {self.field.name}.")
        return Cursor(value, record.id)

    def arranged(self, records: Iterable[ImageRecord], after: "Cursor | None" = None) -> list[ImageRecord]:
        """Those that have a value, in this order; only those right after a place, if one is given."""
        places = [(value, record) for record in records if (value := self.value_of(record)) is not None]
        if after is not None:
            beyond = operator.lt if self.is_descending else operator.gt
            places = [
                (value, record)
                for value, record in places
                if beyond(value, after.value) or (value == after.value and record.id > after.id)
            ]
        places.sort(key=lambda place: place[1].id)
        places.sort(key=lambda place: place[0], reverse=self.is_descending)
        return [record for _, record in places]

    def page(self, records: Iterable[ImageRecord], *, limit: int, after: "Cursor | None" = None) -> "ImagePage":
        """The listing of all these: at most `limit` of them from right after the cursor."""
        listed = self.arranged(records)
        rest = listed if after is None else self.arranged(listed, after)
        next_cursor = self.after(rest[limit - 1]) if len(rest) > limit else None
        return ImagePage(items=tuple(rest[:limit]), next_cursor=next_cursor, total=len(listed))


NEWEST_FIRST = Order(Field("created_at"))


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place in a listing right after the image of this value and id."""

    value: OrderValue
    id: ImageId


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePage:
    """A part of a listing. `next_cursor` is None at its end; `total` counts all that are listed."""

    items: tuple[ImageRecord, ...]
    next_cursor: Cursor | None
    total: int
