"""From the domain's filters to Qdrant's, with the meaning of `Filter.matches`.

The server's client and the embedded engine have near-identical condition classes; a `FilterDialect` holds the few
constructors in which they differ. Every comparison is one of strings or of integers (see payload.py).

A condition on what has no payload index reads the whole payload of each point that it is evaluated for: 5 µs and more,
and many values must not become many conditions. The list of a point's metadata keys has an index, and is asked as
well: the engine mostly begins with it.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, assert_never
from uuid import UUID

from adapters.repositories.payload import (
    KIND,
    KIND_IMAGE,
    LOW_BITS,
    METADATA_FALSE,
    METADATA_KEYS,
    METADATA_TRUE,
    OBJECT_IMAGE,
    metadata_path,
    microseconds,
    number_paths,
    ordinal,
    split,
)
from domain.filters import NUMBER_FIELDS, TEXT_FIELDS, TIME_FIELDS, AnyOf, Condition, Exists, Field, Filter, InRange

_LARGEST = 2**53
"""Beyond any stored width or height, and exact as a double, which is what range conditions take."""

_GREATEST_LOW = 2**LOW_BITS - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterDialect:
    """How one library builds its filters. Conditions and filters are opaque here, and filters are conditions."""

    every: Callable[[Sequence[Any], Sequence[Any]], Any]
    """(must, must_not): all of the first hold and none of the second."""
    some: Callable[[Sequence[Any]], Any]
    """At least one holds; never called with none."""
    text_in: Callable[[str, Sequence[str]], Any]
    """The value at a path, or an element of the array there, is one of these strings."""
    integer_in: Callable[[str, Sequence[int]], Any]
    """The integer at a path is one of these."""
    between: Callable[[str, int | None, int | None], Any]
    """The integer at a path lies within these inclusive bounds; None does not bound."""
    empty: Callable[[str], Any]
    """There is nothing at a path, or an empty array."""
    ids: Callable[[Collection[UUID]], Any]
    """The point's id is one of these; of none, no point's is."""


def compile_filter(where: Filter, dialect: FilterDialect, *, leave_out: Collection[UUID] = ()) -> Any:  # noqa: ANN401
    """For searches by the vector that only images have: passes those for which `where.matches`, without `leave_out`.

    None if that is all of them.
    """
    # Without a condition the vector's name picks the images; with some, their kind keeps a condition on what has no
    # payload index from reading the payloads of all objects too: 5 times as many points, and as much time.
    kind = [dialect.text_in(KIND, [KIND_IMAGE])] if where else []
    return _compile(where, dialect, must=kind, must_not=[dialect.ids(leave_out)] if leave_out else [])


def compile_image_filter(where: Filter, dialect: FilterDialect) -> Any:  # noqa: ANN401
    """For listing and counting: passes exactly the points of images for which `where.matches`, and no object's."""
    return _compile(where, dialect, must=[dialect.text_in(KIND, [KIND_IMAGE])])


def compile_object_filter(
    where: Filter, dialect: FilterDialect, *, leave_out: Collection[UUID] = (), orphans: Collection[UUID] = ()
) -> Any:  # noqa: ANN401
    """For searches by the vector that only objects have: passes those whose images `where` passes.

    Without the objects of the images `leave_out`, and without the points `orphans`. None if that is all of them.
    """
    must_not = [dialect.text_in(OBJECT_IMAGE, [str(id_) for id_ in leave_out])] if leave_out else []
    if orphans:
        must_not.append(dialect.ids(orphans))
    return _compile(where, dialect, must_not=must_not)


def _compile(where: Filter, dialect: FilterDialect, *, must: Sequence[Any] = (), must_not: Sequence[Any] = ()) -> Any:  # noqa: ANN401
    compiler = _Compiler(dialect)
    every = [*must, *(compiler.condition(condition) for condition in where.all)]
    if where.any:
        every.append(compiler.some([compiler.condition(condition) for condition in _merged(where.any)]))
    none = [*(compiler.condition(condition) for condition in _merged(where.none)), *must_not]
    return dialect.every(every, none) if every or none else None


@dataclass(frozen=True, slots=True)
class _Compiler:
    dialect: FilterDialect

    def condition(self, condition: Condition) -> Any:  # noqa: ANN401
        key = condition.field.metadata_key
        if key is not None and not _is_unicode(key):
            never = self.some([])  # nothing can be stored under it
            return self.dialect.every([], [never]) if condition == Exists(condition.field, expected=False) else never
        match condition:
            case AnyOf():
                return self.some(self._equalities(condition))
            case InRange():
                return self._in_range(condition)
            case Exists():
                return self._exists(condition)
            case _:
                assert_never(condition)

    def some(self, conditions: Sequence[Any]) -> Any:  # noqa: ANN401
        if not conditions:
            return self.dialect.ids(())
        return conditions[0] if len(conditions) == 1 else self.dialect.some(conditions)

    def _equalities(self, any_of: AnyOf) -> list[Any]:
        """One condition for all strings, one for all numbers and so on; none for values that the field never has."""
        field, key = any_of.field, any_of.field.metadata_key
        texts = [value for value in any_of.values if isinstance(value, str) and _is_unicode(value)]
        flags = {value for value in any_of.values if isinstance(value, bool)}
        numbers = [
            value
            for value in any_of.values
            if isinstance(value, int | float) and not isinstance(value, bool) and _nearest_double(value) == value
        ]
        conditions: list[Any] = []
        if texts and (key is not None or field.name in TEXT_FIELDS):
            conditions.append(
                self.dialect.text_in(field.name, texts)
                if key is None
                else self.dialect.every([self._present(key), self.dialect.text_in(metadata_path(key), texts)], [])
            )
        if key is not None:
            conditions += [
                self.dialect.text_in(METADATA_TRUE if flag else METADATA_FALSE, [key]) for flag in sorted(flags)
            ]
            if numbers:
                conditions.append(self._metadata_number_in(key, numbers))
        elif field.name in NUMBER_FIELDS:
            whole = [int(number) for number in numbers if abs(number) <= _LARGEST and number == int(number)]
            if whole:
                conditions.append(self.dialect.integer_in(field.name, whole))
        elif field.name in TIME_FIELDS:
            times = [microseconds(value) for value in any_of.values if isinstance(value, datetime)]
            if times:
                conditions.append(self.dialect.integer_in(field.name, times))
        return conditions

    def _metadata_number_in(self, key: str, numbers: Sequence[float]) -> Any:  # noqa: ANN401
        """The pair (high, low) is one of these numbers'.

        A point with none of these high parts or none of these low parts fails after two conditions. One with both may
        still combine two numbers: then its high part is looked up by halving, for the low parts that go with it.
        """
        integer_in, (high, low) = self.dialect.integer_in, number_paths(key)
        runs = _runs(numbers)
        highs = [part for run in runs for part in run.highs]
        lows = sorted({part for run in runs for part in run.lows})
        must = [self._present(key), integer_in(high, highs), integer_in(low, lows)]
        # In `must_not`: the engine may begin with any condition of `must`, and comes to these only after those.
        return self.dialect.every(must, self._other_lows(high, low, runs))

    def _other_lows(self, high: str, low: str, runs: "Sequence[_Run]") -> list[Any]:
        """One of these holds if the low part does not go with the high part, which is one of those of `runs`."""
        if len(runs) == 1:
            return []
        between, every, middle = self.dialect.between, self.dialect.every, len(runs) // 2
        halves = (
            (between(high, None, runs[middle - 1].highs[-1]), runs[:middle]),
            (between(high, runs[middle].highs[0], None), runs[middle:]),
        )
        return [every([in_half], [self._goes_with(high, low, half)]) for in_half, half in halves]

    def _goes_with(self, high: str, low: str, runs: "Sequence[_Run]") -> Any:  # noqa: ANN401
        if len(runs) == 1:
            return self.dialect.integer_in(low, runs[0].lows)
        return self.dialect.every([], self._other_lows(high, low, runs))

    def _in_range(self, bounds: InRange) -> Any:  # noqa: ANN401
        key, name = bounds.field.metadata_key, bounds.field.name
        if any(
            isinstance(bound, float) and math.isnan(bound) for bound in (bounds.gt, bounds.gte, bounds.lt, bounds.lte)
        ):
            return self.some([])
        if key is not None:
            return self._metadata_between(key, *_inclusive(bounds, _double_rank))
        if name in TIME_FIELDS:
            return self.dialect.between(name, *_inclusive(bounds, _time_rank))
        if name in NUMBER_FIELDS:
            return self.dialect.between(name, *_inclusive(bounds, _integer_rank))
        return self.some([])  # text lies within no bounds

    def _metadata_between(self, key: str, lowest: int | None, highest: int | None) -> Any:  # noqa: ANN401
        """The pair (high, low) lies between two such pairs, in lexicographic order."""
        between, some, (high, low) = self.dialect.between, self.dialect.some, number_paths(key)
        least_high, least_low = split(ordinal(-math.inf) if lowest is None else lowest)
        greatest_high, greatest_low = (None, _GREATEST_LOW) if highest is None else split(highest)
        must = [self._present(key), between(high, least_high, greatest_high)]
        if least_low > 0:
            must.append(some([between(high, least_high + 1, None), between(low, least_low, None)]))
        if greatest_high is not None and greatest_low < _GREATEST_LOW:
            must.append(some([between(high, None, greatest_high - 1), between(low, None, greatest_low)]))
        return self.dialect.every(must, [])

    def _exists(self, exists: Exists) -> Any:  # noqa: ANN401
        missing = self._missing(exists.field)
        return self.dialect.every([], [missing]) if exists.expected else missing

    def _present(self, key: str) -> Any:  # noqa: ANN401
        return self.dialect.text_in(METADATA_KEYS, [key])

    def _missing(self, field: Field) -> Any:  # noqa: ANN401
        if (key := field.metadata_key) is not None:
            return self.dialect.every([], [self._present(key)])
        if field.name == "labels":
            return self.dialect.empty(field.name)
        return self.some([])  # the other fields are always there


@dataclass(frozen=True, slots=True)
class _Run:
    """High parts, ascending and with none of another run's between them, that all go with the same low parts."""

    highs: list[int]
    lows: list[int]


def _runs(numbers: Sequence[float]) -> list[_Run]:
    """The parts of these numbers, by ascending high part. Integers below 2^21 all have the low part 0: one run."""
    lows_of: defaultdict[int, set[int]] = defaultdict(set)
    for high, low in (split(ordinal(number)) for number in numbers):
        lows_of[high].add(low)
    grouped = groupby(sorted(lows_of), key=lows_of.__getitem__)
    return [_Run(list(highs), sorted(lows)) for lows, highs in grouped]


def _merged(alternatives: Sequence[Condition]) -> list[Condition]:
    """What holds where one of these does, with all values that a field is compared with in one condition."""
    values: defaultdict[Field, list[Any]] = defaultdict(list)
    others: list[Condition] = []
    for condition in alternatives:
        if isinstance(condition, AnyOf):
            values[condition.field] += condition.values
        else:
            others.append(condition)
    return [*(AnyOf(field, tuple(of_field)) for field, of_field in values.items()), *others]


_Rank = tuple[int, bool]
"""Where a bound stands among the integers that stand for values: the last one not above it, and whether they equal."""


def _inclusive(bounds: InRange, rank: Callable[[Any], _Rank]) -> tuple[int | None, int | None]:
    """The least and the greatest stored integer within all bounds; None where nothing bounds."""
    least: list[int] = []
    greatest: list[int] = []
    if bounds.gt is not None:
        least.append(rank(bounds.gt)[0] + 1)
    if bounds.gte is not None:
        place, exact = rank(bounds.gte)
        least.append(place if exact else place + 1)
    if bounds.lt is not None:
        place, exact = rank(bounds.lt)
        greatest.append(place - 1 if exact else place)
    if bounds.lte is not None:
        greatest.append(rank(bounds.lte)[0])
    return max(least, default=None), min(greatest, default=None)


def _time_rank(moment: datetime) -> _Rank:
    return microseconds(moment), True


def _integer_rank(number: float) -> _Rank:
    number = max(-_LARGEST, min(_LARGEST, number))
    return math.floor(number), math.floor(number) == number


def _double_rank(number: float) -> _Rank:
    nearest = _nearest_double(number)
    place = ordinal(nearest)
    return (place - 1, False) if nearest > number else (place, nearest == number)


def _nearest_double(number: float) -> float:
    """An integer as a double: not itself where it takes more than 53 bits."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _is_unicode(text: str) -> bool:
    """Whether `text` can be stored at all: a lone surrogate, which JSON can spell, cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
