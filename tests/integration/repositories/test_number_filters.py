"""Filters on metadata numbers are exact, though the engine's floats move whenever it rewrites its segments."""

import math
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID

import pytest

from adapters.repositories.qdrant.embedded import engine as embedded
from adapters.repositories.qdrant.embedded.engine import Engine
from adapters.repositories.qdrant.embedded.manifest import ShardLayout
from adapters.repositories.qdrant.filters import image_filter
from adapters.repositories.qdrant.layout import (
    Generation,
    image_point,
    image_vector,
    object_vector,
    payload_indexes,
)
from adapters.repositories.qdrant.points import Delete, HasId, Scroll, Upsert, Where
from domain.filters import AnyOf, Field, Filter, InRange
from domain.images import ImageRecord
from domain.metadata import MetadataType
from tests.builders import a_record, a_space, some_embeddings

NUMBER = Field("metadata.number")
SPACE = a_space(16)
EVERY = 40
"""So many numbers apart are those about which all records are asked for; about the others, those next to them."""
NEXT = 6


def awkward_numbers() -> list[int | float]:
    chance = random.Random(1)
    numbers: list[int | float] = [0, 0.0, -0.0, 5e-324, -5e-324, 1e300, -1e300, 2**53 - 1, -(2**53) + 1, 2.0**53]
    numbers += [sys.float_info.max, -sys.float_info.max, sys.float_info.min, 0.1 + 0.2, 0.3, 19.99, 1 / 3]
    numbers += [chance.uniform(0, 100) for _ in range(100)]
    numbers += [third / 3 for third in range(-20, 20)]
    numbers += [chance.gauss(0, 1) * 10.0 ** chance.randint(-300, 300) for _ in range(180)]
    numbers += [chance.uniform(-1e-310, 1e-310) for _ in range(20)]
    numbers += [chance.randint(-(2**53) + 1, 2**53 - 1) for _ in range(10)]
    numbers += [math.nextafter(number, math.inf) for number in numbers[::10]]
    return sorted(filter(math.isfinite, numbers))


NUMBERS = [a_record(place, metadata={"number": number}) for place, number in enumerate(awkward_numbers())]
RECORDS = [
    *NUMBERS,
    a_record(2_000, metadata={"number": "1"}),
    a_record(2_001, metadata={"number": True}),
    a_record(2_002, metadata={"other": 1}),
]


@pytest.fixture(
    params=[{}, {"number": MetadataType.FLOAT}], ids=["metadata without an index", "metadata with an index"]
)
def engine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """In which a few hundred vectors are above the indexing threshold."""
    monkeypatch.setattr(embedded, "INDEXING_THRESHOLD_KILOBYTES", 10)
    layout = ShardLayout(
        vectors=(image_vector(SPACE), object_vector(SPACE)),
        dimension=SPACE.dimension,
        indexes=payload_indexes(request.param),
        reserve_bytes=0,
    )
    engine = Engine.create(tmp_path / "shard", layout)
    yield engine
    engine.close()


def store(engine: Engine, records: Sequence[ImageRecord]) -> None:
    points = [
        image_point(record, Generation.new(record), embedding, SPACE)
        for record, embedding in zip(records, some_embeddings(len(records)), strict=True)
    ]
    assert engine.write([[Upsert(points)]]) == [None]


def rewrite_segments(engine: Engine, *, times: int) -> None:
    """Let others come and go, so that each time the engine merges the segments of all."""
    for round_ in range(times):
        others = [a_record(10_000 + 1_000 * round_ + number) for number in range(300)]
        before = engine.details()["optimizations"]
        store(engine, others)
        engine.optimize()
        assert engine.write([[Delete([str(record.id) for record in others])]]) == [None]
        engine.optimize()
        assert engine.details()["optimizations"] > before


def filters_about(number: float) -> Iterator[Filter]:
    yield Filter(all=(AnyOf(NUMBER, (number,)),))
    for bound in (math.nextafter(number, -math.inf), number, math.nextafter(number, math.inf)):
        for test in ("gt", "gte", "lt", "lte"):
            yield Filter(all=(InRange(field=NUMBER, **{test: bound}),))


def assert_exact(engine: Engine) -> None:
    for place, record in enumerate(NUMBERS):
        asked = RECORDS if place % EVERY == 0 else RECORDS[max(0, place - NEXT) : place + NEXT]
        these = HasId([str(other.id) for other in asked])
        number = record.metadata["number"]
        assert isinstance(number, int | float)
        for where in filters_about(number):
            compiled = image_filter(where)
            compiled = compiled if asked is RECORDS else Where(must=[compiled, these])
            found, rest = engine.scroll(Scroll(where=compiled, limit=10_000, fields=()))
            assert rest is None
            assert {UUID(point.id) for point in found} == {other.id for other in asked if where.matches(other)}, where


def test_they_pass_what_the_domain_says(engine: Engine) -> None:
    store(engine, RECORDS)
    assert_exact(engine)
    rewrite_segments(engine, times=4)
    assert_exact(engine)

    numbers = {str(record.id): record.metadata["number"] for record in NUMBERS}
    stored = engine.retrieve(list(numbers), fields=("metadata",))
    moved = [point for point in stored if point.payload["metadata"]["number"] != numbers[point.id]]
    assert moved, "The engine reads its floats back exactly: then filters could compare them."
