"""From the domain's filters to conditions on points, with the meaning of `Filter.matches` (see layout.py).

Where a field has no payload index, a condition on it reads the whole payload of each point: 5 µs and more. So many
values must not become many conditions. The list of a point's metadata keys has an index, and is asked as well: the
engine mostly begins with it.
"""

import math
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import assert_never

from adapters.repositories.qdrant import layout
from adapters.repositories.qdrant.points import Begins, Between, Condition, Empty, HasId, OneOf, PointId, Where
from domain import filters as domain
from domain.filters import (
    NUMBER_FIELDS,
    TEXT_FIELDS,
    TIME_FIELDS,
    AnyOf,
    Exists,
    Field,
    Filter,
    HasWords,
    InRange,
    ShowsSame,
    StartsWith,
)

LARGEST_INTEGER = 2**53
"""Beyond any stored width or height."""

LATEST = 2**62
"""Microseconds from the epoch, beyond any time that can be said; so is the same before it."""

NEVER = HasId(())


def nearest_filter(where: Filter, *, leave_out: Collection[PointId] = ()) -> Where:
    """For searches by the vector that only images have: passes those for which `where.matches`, without `leave_out`."""
    # The vector's name picks the images already. With conditions, their kind is asked first, so that the others do not
    # read the payloads of all objects too: 5 times as many points, and as much time.
    kind = [OneOf(layout.KIND, [layout.KIND_IMAGE])] if where else []
    return _compiled(where, must=kind, must_not=[HasId(leave_out)] if leave_out else [])


def image_filter(where: Filter) -> Where:
    """For listing and counting: passes exactly the points of images for which `where.matches`, and no object's."""
    return _compiled(where, must=[OneOf(layout.KIND, [layout.KIND_IMAGE])])


def object_filter(where: Filter, *, leave_out: Collection[PointId] = (), without: Collection[PointId] = ()) -> Where:
    """For searches by the vector that only objects have: passes those whose images `where` passes.

    Without the objects of the images `leave_out`, and without these points of objects.
    """
    must_not: list[Condition] = [OneOf(layout.OBJECT_IMAGE, list(leave_out))] if leave_out else []
    if without:
        must_not.append(HasId(without))
    return _compiled(where, must_not=must_not)


def objects_of(images: Collection[PointId] | None) -> Where:
    """Passes the points of objects of these images, or of all, whatever their generation."""
    return Where(
        must=[OneOf(layout.KIND, [layout.KIND_OBJECT]) if images is None else OneOf(layout.OBJECT_IMAGE, list(images))]
    )


def _compiled(where: Filter, *, must: Sequence[Condition] = (), must_not: Sequence[Condition] = ()) -> Where:
    every = [*must, *map(_condition, where.all)]
    if where.any:
        every.append(_some(map(_condition, _merged(where.any))))
    return Where(must=every, must_not=[*map(_condition, _merged(where.none)), *must_not])


def _condition(condition: domain.Condition) -> Condition:
    if isinstance(condition, HasWords):
        return Where(must=[_begins(layout.WORDS, word) for word in condition.words])
    if isinstance(condition, ShowsSame):
        pixels = [] if condition.pixels is None else [OneOf(layout.PIXELS, [condition.pixels])]
        return _some([OneOf(layout.SHA256, [condition.sha256]), *pixels])
    return _on_field(condition)


def _begins(path: str, prefix: str) -> Condition:
    return Begins(path, prefix) if _is_unicode(prefix) else NEVER


def _on_field(condition: AnyOf | InRange | Exists | StartsWith) -> Condition:
    key = condition.field.metadata_key
    if key is not None and not _is_unicode(key):  # nothing can be stored under it
        return Where(must_not=[NEVER]) if condition == Exists(condition.field, expected=False) else NEVER
    match condition:
        case AnyOf():
            return _some(_equalities(condition))
        case InRange():
            return _in_range(condition)
        case Exists(field=field, expected=expected):
            if key is not None:
                return _present(key) if expected else Where(must_not=[_present(key)])
            missing = Empty(field.name) if field.name in (layout.LABELS, "key", "source") else NEVER  # others are there
            return Where(must_not=[missing]) if expected else missing
        case StartsWith(field=field, prefix=prefix):
            return _begins(field.name, prefix) if key is None else _begins(layout.metadata_path(key), prefix)
        case _:
            assert_never(condition)


def _some(conditions: Iterable[Condition]) -> Condition:
    alternatives = list(conditions)
    if not alternatives:
        return NEVER
    return alternatives[0] if len(alternatives) == 1 else Where(should=alternatives)


def _merged(alternatives: Sequence[domain.Condition]) -> list[domain.Condition]:
    """What holds where one of these does, with all values that a field is compared with in one condition."""
    values: defaultdict[Field, list[domain.Scalar | datetime]] = defaultdict(list)
    others: list[domain.Condition] = []
    for condition in alternatives:
        if isinstance(condition, AnyOf):
            values[condition.field] += condition.values
        else:
            others.append(condition)
    return [*(AnyOf(field, tuple(of_field)) for field, of_field in values.items()), *others]


# Equality


def _equalities(any_of: AnyOf) -> list[Condition]:
    """One condition for all strings, one for all numbers and so on; none for values that the field never has."""
    field, key = any_of.field, any_of.field.metadata_key
    texts = [value for value in any_of.values if isinstance(value, str) and _is_unicode(value)]
    numbers = [
        value
        for value in any_of.values
        if isinstance(value, int | float) and not isinstance(value, bool) and _nearest_double(value) == value
    ]
    if key is not None:
        flags = {value for value in any_of.values if isinstance(value, bool)}
        number_texts = [layout.number_text(number) for number in numbers]
        stored = ((layout.metadata_path(key), texts), (layout.number_paths(key)[2], number_texts))
        return [
            *(OneOf(layout.METADATA_TRUE if flag else layout.METADATA_FALSE, [key]) for flag in sorted(flags)),
            *(_of_key(key, OneOf(path, values)) for path, values in stored if values),
        ]
    values: Sequence[str] | Sequence[int] = texts if field.name in TEXT_FIELDS else ()
    if field.name in NUMBER_FIELDS:
        values = [int(number) for number in numbers if abs(number) <= LARGEST_INTEGER and number == int(number)]
    elif field.name in TIME_FIELDS:
        values = [layout.microseconds(value) for value in any_of.values if isinstance(value, datetime)]
    return [OneOf(field.name, values)] if values else []


def _of_key(key: str, condition: Condition) -> Condition:
    return Where(must=[_present(key), condition])


def _present(key: str) -> Condition:
    return OneOf(layout.METADATA_KEYS, [key])


# Ranges


def _in_range(bounds: InRange) -> Condition:
    key, name = bounds.field.metadata_key, bounds.field.name
    given = (bounds.gt, bounds.gte, bounds.lt, bounds.lte)
    if any(isinstance(bound, float) and math.isnan(bound) for bound in given):
        return NEVER
    if key is not None and bounds.is_of_times:
        return _time_between(key, bounds)
    gt, gte, lt, lte = (layout.microseconds(each) if isinstance(each, datetime) else each for each in given)
    # The least and the greatest double within all bounds; infinite where nothing bounds.
    low = max(_first_within(gt, math.inf, strict=True), _first_within(gte, math.inf))
    high = min(_first_within(lt, -math.inf, strict=True), _first_within(lte, -math.inf))
    if low == math.inf or high == -math.inf or (key is None and name in TEXT_FIELDS):
        return NEVER  # text lies within no bounds
    if key is not None:
        return _number_between(key, low, high)
    return Between(
        name,
        low=None if low == -math.inf else float(math.ceil(low)),
        high=None if high == math.inf else float(math.floor(high)),
    )


def _first_within(bound: float | None, towards: float, *, strict: bool = False) -> float:
    """The double nearest to a bound on its inner side; the bound itself, if it is one and not `strict`."""
    if bound is None:
        return -towards
    nearest = _nearest_double(bound)
    is_outside = nearest < bound if towards > 0 else nearest > bound
    return math.nextafter(nearest, towards) if is_outside or (strict and nearest == bound) else nearest


def _time_between(key: str, bounds: InRange) -> Condition:
    gt, gte, lt, lte = (
        layout.microseconds(each) if isinstance(each, datetime) else None
        for each in (bounds.gt, bounds.gte, bounds.lt, bounds.lte)
    )
    first = max(-LATEST if gt is None else gt + 1, -LATEST if gte is None else gte)
    last = min(LATEST if lt is None else lt - 1, LATEST if lte is None else lte)
    if first > last:
        return NEVER
    return _between(key, layout.time_paths(key), layout.time_parts(first), layout.time_parts(last))


def _number_between(key: str, low: float, high: float) -> Condition:
    if low > high:
        return NEVER
    first, last = map(layout.number_parts, (low, min(high, sys.float_info.max)))
    coarse, fine, _ = layout.number_paths(key)
    return _between(key, (coarse, fine), first, last)


def _between(key: str, paths: tuple[str, str], least: tuple[int, int], most: tuple[int, int]) -> Condition:
    """The parts at these paths, the coarse one first, lie between these."""
    (coarse, fine), (first, after), (last, before) = paths, least, most
    inner_first, inner_last = first + (after > 0), last - (before < layout.FINEST)
    alternatives: list[Condition] = []
    if inner_first <= inner_last:
        alternatives.append(Between(coarse, inner_first, inner_last))
    if first == last and not alternatives:
        alternatives.append(Where(must=[OneOf(coarse, [first]), Between(fine, after, before)]))
    else:
        if after > 0:
            alternatives.append(Where(must=[OneOf(coarse, [first]), Between(fine, after, None)]))
        if before < layout.FINEST:
            alternatives.append(Where(must=[OneOf(coarse, [last]), Between(fine, None, before)]))
    return _of_key(key, _some(alternatives))


def _nearest_double(number: float) -> float:
    """An integer as a double: not itself where it takes more than 53 bits."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _is_unicode(text: str) -> bool:
    """Whether `text` can be stored at all: a lone surrogate, which JSON can spell, cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
