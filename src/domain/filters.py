"""Which images a search or a listing speaks of: conditions on fields, and their exact meaning.

`Filter.matches` is the reference that every repository's compiled filter must agree with.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar

from domain.errors import InvalidFilterError, Remedy
from domain.images import ImageRecord
from domain.metadata import MetadataType, MetadataTypes, MetadataValue, parsed_time
from domain.names import words_of

Scalar = str | int | float | bool

TEXT_FIELDS = frozenset({"labels", "filename", "media_type", "key", "source", "sha256"})
NUMBER_FIELDS = frozenset({"width", "height", "size_bytes"})
TIME_FIELDS = frozenset({"created_at", "updated_at"})
PREFIX_FIELDS = frozenset({"key", "source", "filename"})
"""The built-in fields of which a condition can name the beginning, and whose words it can name."""
METADATA_PREFIX = "metadata."


@dataclass(frozen=True, slots=True)
class Field:
    """A built-in field (one of TEXT_FIELDS, NUMBER_FIELDS and TIME_FIELDS) or `metadata.<key>`."""

    name: str

    @property
    def metadata_key(self) -> str | None:
        """The key behind `metadata.`, or None for a built-in field."""
        return self.name.removeprefix(METADATA_PREFIX) if self.name.startswith(METADATA_PREFIX) else None

    def value_of(self, record: ImageRecord) -> MetadataValue | datetime | None:
        """The record's value, or None where it has none. Labels are a list, missing where no object was found."""
        if (key := self.metadata_key) is not None:
            return record.metadata.get(key)
        if self.name == "labels":
            return sorted(record.labels) or None
        value: MetadataValue | datetime = getattr(record, self.name)
        return value


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The field equals one of `values`, or as an array contains one of them. Numbers equal by value, 1 is not true."""

    field: Field
    values: tuple[Scalar | datetime, ...]

    def matches(self, record: ImageRecord) -> bool:
        """Whether this holds for `record`."""
        stored = self.field.value_of(record)
        if stored is None:
            return False
        candidates: Iterable[object] = stored if isinstance(stored, list) else [stored]
        return any(_same(candidate, value) for candidate in candidates for value in self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class InRange:
    """The field is a number, or a time, within all given bounds. Times are TIME_FIELDS, and RFC 3339 texts."""

    field: Field
    gt: float | datetime | None = None
    gte: float | datetime | None = None
    lt: float | datetime | None = None
    lte: float | datetime | None = None

    @property
    def is_of_times(self) -> bool:
        """Whether the bounds are times: then all of them are."""
        return any(isinstance(bound, datetime) for bound in self._bounds)

    @property
    def is_bounded(self) -> bool:
        """Whether there is any bound: without one, every number and every time holds."""
        return any(bound is not None for bound in self._bounds)

    @property
    def _bounds(self) -> tuple[float | datetime | None, ...]:
        return self.gt, self.gte, self.lt, self.lte

    def matches(self, record: ImageRecord) -> bool:
        """Whether this holds for `record`."""
        stored = self.field.value_of(record)
        if self.is_of_times and isinstance(stored, str):
            stored = parsed_time(stored)
        if isinstance(stored, bool) or not isinstance(stored, int | float | datetime):
            return False
        if self.is_bounded and isinstance(stored, datetime) != self.is_of_times:
            return False
        return (
            (self.gt is None or stored > self.gt)  # type: ignore[operator]
            and (self.gte is None or stored >= self.gte)  # type: ignore[operator]
            and (self.lt is None or stored < self.lt)  # type: ignore[operator]
            and (self.lte is None or stored <= self.lte)  # type: ignore[operator]
        )


@dataclass(frozen=True, slots=True)
class Exists:
    """The field is there (or, with `expected` False, is not). `labels` is there where an object was found."""

    field: Field
    expected: bool = True

    def matches(self, record: ImageRecord) -> bool:
        """Whether this holds for `record`."""
        return (self.field.value_of(record) is not None) is self.expected


@dataclass(frozen=True, slots=True)
class StartsWith:
    """The field is text that begins so, or an array of which one element does. Case counts.

    The field is one of PREFIX_FIELDS, or a metadata key that is declared as keyword (`Filter.check_prefixes`).
    """

    field: Field
    prefix: str

    def matches(self, record: ImageRecord) -> bool:
        """Whether this holds for `record`."""
        stored = self.field.value_of(record)
        candidates = stored if isinstance(stored, list) else [stored]
        return any(isinstance(each, str) and each.startswith(self.prefix) for each in candidates)


@dataclass(frozen=True, slots=True)
class HasWords:
    """Each of these `words_of` a text begins a word of the key, the source or the filename."""

    field: ClassVar[Field] = Field("name")
    """All three."""
    words: tuple[str, ...]

    def matches(self, record: ImageRecord) -> bool:
        """Whether this holds for `record`."""
        stored = name_words(record)
        return all(any(word.startswith(wanted) for word in stored) for wanted in self.words)


@dataclass(frozen=True, slots=True)
class ShowsSame:
    """The image has these bytes, or other bytes with the same pixels."""

    field: ClassVar[Field] = Field("sha256")
    sha256: str
    pixels: str | None

    def matches(self, record: ImageRecord) -> bool:
        """Whether this holds for `record`."""
        pixels = None if record.appearance is None else record.appearance.pixels
        return record.sha256 == self.sha256 or (pixels is not None and pixels == self.pixels)


def name_words(record: ImageRecord) -> frozenset[str]:
    """The words of all that the image is called."""
    return frozenset(word for name in (record.key, record.source, record.filename) for word in words_of(name or ""))


Condition = AnyOf | InRange | Exists | StartsWith | HasWords | ShowsSame


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Images for which every condition of `all`, at least one of `any` (if there are any) and none of `none` holds."""

    all: tuple[Condition, ...] = ()
    any: tuple[Condition, ...] = ()
    none: tuple[Condition, ...] = ()

    @property
    def field_names(self) -> list[str]:
        """What its conditions speak of."""
        return [condition.field.name for condition in (*self.all, *self.any, *self.none)]

    def narrowed(self, *conditions: Condition) -> "Filter":
        """Only images for which these hold too."""
        return replace(self, all=(*self.all, *conditions))

    def __bool__(self) -> bool:
        """Whether the filter names anything."""
        return bool(self.all or self.any or self.none)

    def matches(self, record: ImageRecord) -> bool:
        """Whether `record` passes."""
        return (
            all(condition.matches(record) for condition in self.all)
            and (not self.any or any(condition.matches(record) for condition in self.any))
            and not any(condition.matches(record) for condition in self.none)
        )

    def check_prefixes(self, types: MetadataTypes) -> None:
        """Raise InvalidFilterError for a `StartsWith` on a metadata key that is not declared as keyword."""
        for condition in (*self.all, *self.any, *self.none):
            key = condition.field.metadata_key if isinstance(condition, StartsWith) else None
            if key is not None and types.get(key) is not MetadataType.KEYWORD:
                raise InvalidFilterError(
                    f"metadata.{key} is not declared as keyword, so that no prefix of it can be asked for. Declare it, "
                    "or compare with eq or in.",
                    remedy=Remedy.INDEX_THE_METADATA_KEY,
                )


EVERYTHING = Filter()


def _same(stored: object, wanted: object) -> bool:
    if isinstance(stored, bool) or isinstance(wanted, bool):
        return stored is wanted
    return stored == wanted
