"""From the domain's filters to conditions on points (see layout.py), with the meaning of `Filter.matches`.

Where a field has no payload index, a condition on it reads the whole payload of each point: 5 µs and more. So many
values must not become many conditions. The list of a point's metadata keys has an index, and is asked as well: the
engine mostly begins with it.
"""

import math
import operator
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import assert_never

from adapters.repositories.qdrant import layout, scalars
from adapters.repositories.qdrant.points import Begins, Between, Condition, Empty, HasId, OneOf, PointId, Where
from domain import filters as domain

LARGEST = 2**62 - 1
"""Beyond any stored width or height, and any time that can be said, in microseconds; so is its negative."""

NEVER = HasId(())


def nearest_filter(where: domain.Filter, *, leave_out: Collection[PointId] = ()) -> Where:
    """For searches by the vector that only images have: passes those for which `where.matches`, without `leave_out`."""
    # The vector's name picks the images already. With conditions, their kind is asked first, so that the others do not
    # read the payloads of all objects too: 5 times as many points, and as much time.
    kind = [OneOf(layout.KIND, [layout.KIND_IMAGE])] if where else []
    return _compiled(where, must=kind, must_not=[HasId(leave_out)] if leave_out else [])


def image_filter(where: domain.Filter) -> Where:
    """For listing and counting: passes exactly the points of images for which `where.matches`, and no object's."""
    return _compiled(where, must=[OneOf(layout.KIND, [layout.KIND_IMAGE])])


def object_filter(
    where: domain.Filter, *, leave_out: Collection[PointId] = (), without: Collection[PointId] = ()
) -> Where:
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


def _compiled(where: domain.Filter, *, must: Sequence[Condition] = (), must_not: Sequence[Condition] = ()) -> Where:
    every = [*must, *map(_condition, where.all)]
    if where.any:
        every.append(_some(map(_condition, _merged(where.any))))
    return Where(must=every, must_not=[*map(_condition, _merged(where.none)), *must_not])


def _condition(condition: domain.Condition) -> Condition:
    if isinstance(condition, domain.HasWords):
        return Where(must=[_begins(layout.WORDS, word) for word in condition.words])
    if isinstance(condition, domain.ShowsSame):
        pixels = [] if condition.pixels is None else [OneOf(layout.PIXELS, [condition.pixels])]
        return _some([OneOf(layout.SHA256, [condition.sha256]), *pixels])
    return _on_field(condition)


def _begins(path: str, prefix: str) -> Condition:
    return Begins(path, prefix) if _is_unicode(prefix) else NEVER


def _on_field(condition: domain.AnyOf | domain.InRange | domain.Exists | domain.StartsWith) -> Condition:
    key = condition.field.metadata_key
    if key is not None and not _is_unicode(key):  # nothing can be stored under it
        return Where(must_not=[NEVER]) if condition == domain.Exists(condition.field, expected=False) else NEVER
    match condition:
        case domain.AnyOf():
            return _some(_equalities(condition))
        case domain.InRange():
            return _in_range(condition)
        case domain.Exists(field=field, expected=expected):
            if key is not None:
                return _present(key) if expected else Where(must_not=[_present(key)])
            missing = Empty(field.name) if field.name in (layout.LABELS, "key", "source") else NEVER  # others are there
            return Where(must_not=[missing]) if expected else missing
        case domain.StartsWith(field=field, prefix=prefix):
            return _begins(field.name, prefix) if key is None else _begins(scalars.metadata_path(key), prefix)
        case _:
            assert_never(condition)


def _some(conditions: Iterable[Condition]) -> Condition:
    alternatives = list(conditions)
    if not alternatives:
        return NEVER
    return alternatives[0] if len(alternatives) == 1 else Where(should=alternatives)


def _merged(alternatives: Sequence[domain.Condition]) -> list[domain.Condition]:
    """What holds where one of these does, with all values that a field is compared with in one condition."""
    values: defaultdict[domain.Field, list[domain.Scalar | datetime]] = defaultdict(list)
    others: list[domain.Condition] = []
    for condition in alternatives:
        if isinstance(condition, domain.AnyOf):
            values[condition.field] += condition.values
        else:
            others.append(condition)
    return [*(domain.AnyOf(field, tuple(of_field)) for field, of_field in values.items()), *others]


# Equality


def _equalities(any_of: domain.AnyOf) -> list[Condition]:
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
        number_texts = [scalars.number_text(number) for number in numbers]
        stored = ((scalars.metadata_path(key), texts), (scalars.number_text_path(key), number_texts))
        return [
            *(OneOf(layout.METADATA_TRUE if flag else layout.METADATA_FALSE, [key]) for flag in sorted(flags)),
            *(_of_key(key, OneOf(path, values)) for path, values in stored if values),
        ]
    values: Sequence[str] | Sequence[int] = texts if field.name in domain.TEXT_FIELDS else ()
    if field.name in domain.NUMBER_FIELDS:
        values = [_nearest_integer(number) for number in numbers if number == _nearest_integer(number)]
    elif field.name in domain.TIME_FIELDS:
        values = [scalars.microseconds(value) for value in any_of.values if isinstance(value, datetime)]
    return [OneOf(field.name, values)] if values else []


def _of_key(key: str, condition: Condition) -> Condition:
    return Where(must=[_present(key), condition])


def _present(key: str) -> Condition:
    return OneOf(layout.METADATA_KEYS, [key])


# Ranges


def _in_range(bounds: domain.InRange) -> Condition:
    """Between the first and the last place that all bounds hold: of a double its place among all, else an integer."""
    key, is_double = bounds.field.metadata_key, bounds.field.metadata_key is not None and not bounds.is_of_times
    least, most = scalars.NUMBER_PLACES if is_double else (-LARGEST - 1, LARGEST)
    nearest: Callable[[float], float] = _nearest_double if is_double else _nearest_integer
    place_of: Callable[[float], int] = scalars.number_place if is_double else int
    first, last = least, most
    for bound, holds, inwards in (
        (bounds.gt, operator.gt, 1),
        (bounds.gte, operator.ge, 1),
        (bounds.lt, operator.lt, -1),
        (bounds.lte, operator.le, -1),
    ):
        if bound is not None:
            exact = scalars.microseconds(bound) if isinstance(bound, datetime) else bound
            if isinstance(exact, float) and math.isnan(exact):
                return NEVER
            place = place_of(nearest(exact)) + (0 if holds(nearest(exact), exact) else inwards)
            first, last = (max(first, place), last) if inwards > 0 else (first, min(last, place))
    if first > last or bounds.field.name in domain.TEXT_FIELDS:  # text lies within no bounds
        return NEVER
    if key is None:
        return Between(bounds.field.name, None if first == least else first, None if last == most else last)
    return _between(key, scalars.parts_paths(key, is_of_times=bounds.is_of_times), first, last)


def _between(key: str, paths: tuple[str, str], least: int, most: int) -> Condition:
    """The parts at these paths, the coarse one first, are of a place from `least` to `most`."""
    (coarse, fine), (first, after), (last, before) = paths, scalars.parts(least), scalars.parts(most)
    inner_first, inner_last = first + (after > 0), last - (before < scalars.FINEST)
    alternatives: list[Condition] = []
    if inner_first <= inner_last:
        alternatives.append(Between(coarse, inner_first, inner_last))
    if first == last and not alternatives:
        alternatives.append(Where(must=[OneOf(coarse, [first]), Between(fine, after, before)]))
    else:
        if after > 0:
            alternatives.append(Where(must=[OneOf(coarse, [first]), Between(fine, after, None)]))
        if before < scalars.FINEST:
            alternatives.append(Where(must=[OneOf(coarse, [last]), Between(fine, None, before)]))
    return _of_key(key, _some(alternatives))


def _nearest_integer(number: float) -> int:
    """Itself, where it is an integer that can be a time or more than any stored one."""
    return round(max(-LARGEST, min(number, LARGEST)))


def _nearest_double(number: float) -> float:
    """An integer as a double: not itself where it takes more than 53 bits."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _is_unicode(text: str) -> bool:
    """Whether `text` can be stored at all: a lone surrogate, which JSON can spell, cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
