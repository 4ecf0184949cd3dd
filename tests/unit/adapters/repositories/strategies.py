"""Random records and filters, drawn from few values so that filters often hit."""

import math
from datetime import UTC, datetime, timedelta
from typing import get_args
from uuid import UUID

from hypothesis import strategies as st

from domain.filters import (
    NUMBER_FIELDS,
    TEXT_FIELDS,
    TIME_FIELDS,
    AnyOf,
    Condition,
    Exists,
    Field,
    Filter,
    HasWords,
    InRange,
    ShowsSame,
    StartsWith,
)
from domain.geometry import BoundingBox
from domain.images import DetectedObject, ImageRecord
from domain.metadata import MetadataValue
from tests.builders import an_appearance

NOON = datetime(2026, 5, 17, 12, tzinfo=UTC)
KEYS = ["price", "brand", "a.b", "a", "a[0]", 'q"x', "back\\slash", "per%cent", "%22", "ünï 😀"]
TEXTS = ["acme", "Acme", "", "10", "true", "dog"]
LABELS = ["dog", "cat", "traffic light"]
AWKWARD_NUMBERS: list[int | float] = [
    0, -0.0, 1, 1.0, 10, 10.0, 10.5, 19.99, 0.1, 0.1 + 0.2, 0.3, -3, -3.25, 1e-300, -1e-300, 5e-324, 1e300,
    2**53 - 1, -(2**53 - 1), 2.0**53, 1234567.8912345678, 1234567.8912345676, 4294967296, 4294967295.5,
]  # fmt: skip
BEYOND_STORED: list[int | float] = [2**53 + 1, 10**30, -(10**400), 10**400, float("inf"), float("-inf")]


def moved(number: float, doubles: int) -> float:
    """The double that is so many after `number`, or before it."""
    for _ in range(abs(doubles)):
        number = math.nextafter(number, math.copysign(math.inf, doubles))
    return float(number)


numbers = (
    st.sampled_from(AWKWARD_NUMBERS)
    | st.builds(moved, st.sampled_from(AWKWARD_NUMBERS), st.integers(-20, 20))
    | st.floats(allow_nan=False, allow_infinity=False)
)
metadata_values: st.SearchStrategy[MetadataValue] = (
    st.sampled_from(TEXTS) | numbers | st.booleans() | st.lists(st.sampled_from(TEXTS), max_size=2)
)
times = st.integers(-2, 2).map(lambda steps: NOON + timedelta(microseconds=steps))
objects = st.lists(st.sampled_from(LABELS), max_size=2).map(
    lambda labels: tuple(
        DetectedObject(label=label, score=1 / 3, box=BoundingBox(x_min=0.1, y_min=0.2, x_max=0.1 + 0.2, y_max=2 / 3))
        for label in labels
    )
)
sides = st.sampled_from([1, 99, 100, 101, 4000])


@st.composite
def records(draw: st.DrawFn, id_: UUID) -> ImageRecord:
    return ImageRecord(
        id=id_,
        key=draw(st.sampled_from([None, "a", "a/b", "B \u00e4"])),
        source=draw(st.sampled_from([None, "/a", "x"])),
        filename=draw(st.sampled_from(["a.jpg", "A.jpg", "ä b.png"])),
        media_type=draw(st.sampled_from(["image/jpeg", "image/png"])),
        width=draw(sides),
        height=draw(sides),
        size_bytes=draw(st.integers(1, 2**40)),
        sha256=f"{id_.int:064x}",
        created_at=draw(times),
        updated_at=draw(times),
        metadata=draw(st.dictionaries(st.sampled_from(KEYS), metadata_values, max_size=4)),
        objects=draw(objects),
        detection=draw(st.sampled_from(["", "0123456789abcdef"])),
        appearance=draw(st.none() | st.builds(an_appearance, st.integers(0, 2), low_detail=st.booleans())),
    )


fields = st.sampled_from(
    [Field(f"metadata.{key}") for key in [*KEYS, "absent", "\ud800"]]
    + [Field(name) for name in sorted(TEXT_FIELDS | NUMBER_FIELDS | TIME_FIELDS)]
)
any_values = (
    st.sampled_from([*TEXTS, *LABELS, "a.jpg", "image/png", "\udfff", 99, 100, 100.0, 100.5, True, False])
    | numbers
    | st.sampled_from(BEYOND_STORED)
    | times
)


@st.composite
def ranges(draw: st.DrawFn) -> InRange:
    field = draw(fields)
    bound: st.SearchStrategy[object] = numbers | st.sampled_from([*BEYOND_STORED, 99.5, 100, 100.0])
    if field.name in TIME_FIELDS:
        bound = times
    bounds = draw(st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), bound, max_size=2))
    return InRange(field=field, **bounds)  # type: ignore[arg-type]


conditions: st.SearchStrategy[Condition] = st.one_of(
    st.builds(AnyOf, fields, st.lists(any_values, max_size=3).map(tuple)),
    ranges(),
    st.builds(Exists, fields, st.booleans()),
    st.builds(
        StartsWith,
        st.sampled_from([Field(name) for name in ("key", "source", "filename", "metadata.brand", "metadata.price")]),
        st.sampled_from(["", "a", "A", "a/", "ac", "1", "\udfff"]),
    ),
    st.builds(
        ShowsSame,
        st.sampled_from([f"{1:064x}", f"{2:064x}", "none"]),
        st.none() | st.sampled_from([an_appearance(seed).pixels for seed in (0, 1, 9)]),
    ),
    st.builds(HasWords, st.lists(st.sampled_from(["a", "b", "\u00e4", "jp", "png", "x"]), max_size=2).map(tuple)),
)
assert len(get_args(Condition)) == 6, "a new kind of condition must be drawn here too"


def _some(size: int) -> st.SearchStrategy[tuple[Condition, ...]]:
    return st.lists(conditions, max_size=size).map(tuple)


filters = st.builds(Filter, all=_some(2), any=_some(3), none=_some(2))
