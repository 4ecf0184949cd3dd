"""Which images a search or a listing speaks of: conditions on fields, and their exact meaning.

`Filter.matches` is the reference that every repository's compiled filter must agree with.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from domain.images import ImageRecord
from domain.metadata import MetadataValue, parsed_time

Scalar = str | int | float | bool

TEXT_FIELDS = frozenset({"labels", "filename", "media_type", "sha256"})
NUMBER_FIELDS = frozenset({"width", "height"})
TIME_FIELDS = frozenset({"created_at"})
METADATA_PREFIX = "metadata."


@dataclass(frozen=True, slots=True)
class Field:
    """A built-in field (`labels`, `filename`, `media_type`, `width`, `height`, `created_at`) or `metadata.<key>`."""

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
    """The field is a number, or a time, within all given bounds. Times are `created_at`, and RFC 3339 texts."""

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


Condition = AnyOf | InRange | Exists


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Images for which every condition of `all`, at least one of `any` (if there are any) and none of `none` holds."""

    all: tuple[Condition, ...] = ()
    any: tuple[Condition, ...] = ()
    none: tuple[Condition, ...] = ()

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


EVERYTHING = Filter()


def _same(stored: object, wanted: object) -> bool:
    if isinstance(stored, bool) or isinstance(wanted, bool):
        return stored is wanted
    return stored == wanted
