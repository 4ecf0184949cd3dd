"""The compiled filter passes exactly what `Filter.matches` passes, on the embedded engine and on the client's."""

import math
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models

from adapters.repositories.qdrant.embedded import engine
from adapters.repositories.qdrant.embedded.engine import Engine
from adapters.repositories.qdrant.embedded.manifest import ShardLayout
from adapters.repositories.qdrant.filters import image_filter, nearest_filter, object_filter
from adapters.repositories.qdrant.layout import (
    Generation,
    IndexKind,
    image_point,
    image_vector,
    object_points,
    object_vector,
    payload_indexes,
)
from adapters.repositories.qdrant.points import (
    ANY_POINT,
    Between,
    Condition,
    Delete,
    Empty,
    HasId,
    OneOf,
    Payload,
    Point,
    Scroll,
    Upsert,
    Where,
)
from adapters.repositories.qdrant.server import points as server
from domain.filters import AnyOf, Exists, Field, Filter, InRange
from domain.images import ImageRecord
from domain.metadata import MetadataType
from tests.builders import a_record, a_space, an_embedding, some_embeddings
from tests.unit.adapters.repositories.strategies import AWKWARD_NUMBERS, NOON, filters, moved, records

IDS = [UUID(int=number) for number in (1, 2, 3, 4)]
SPACE = a_space(2)
VECTORS = (image_vector(SPACE), object_vector(SPACE))


@dataclass(frozen=True)
class Backend:
    replace_all: Callable[[Sequence[Point]], None]
    passing: Callable[[Where], set[UUID]]
    """The ids of the points that pass a compiled filter."""

    def store(self, records: Iterable[ImageRecord]) -> dict[UUID, Generation]:
        """The records' points and those of their objects, whose generations are answered by image."""
        generations: dict[UUID, Generation] = {}
        points: list[Point] = []
        for record in records:
            generation = generations[record.id] = Generation.new(record)
            embeddings = some_embeddings(len(record.objects), dimension=2)
            points.append(image_point(record, generation, an_embedding(dimension=2), SPACE))
            points += object_points(record, generation, embeddings, SPACE)
        self.replace_all(points)
        return generations


def engine_backend(directory: Path, indexes: Mapping[str, IndexKind]) -> Iterator[Backend]:
    shard = Engine.create(directory, ShardLayout(vectors=VECTORS, dimension=2, indexes=indexes, reserve_bytes=0))

    def passing(where: Where) -> set[UUID]:
        found, _ = shard.scroll(Scroll(where=where, limit=1_000, fields=()))
        assert shard.count(where) == len(found)
        return {UUID(point.id) for point in found}

    def replace_all(points: Sequence[Point]) -> None:
        there, _ = shard.scroll(Scroll(where=ANY_POINT, limit=1_000, fields=()))
        assert shard.write([[Delete([point.id for point in there]), Upsert(points)]]) == [None]

    yield Backend(replace_all, passing)
    shard.close()


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    yield from engine_backend(tmp_path_factory.mktemp("plain") / "shard", {})


@pytest.fixture(scope="module")
def embedded_with_indexes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    indexed = {
        "price": MetadataType.FLOAT,
        "a": MetadataType.INTEGER,
        "brand": MetadataType.KEYWORD,
        "a.b": MetadataType.BOOL,
        "back\\slash": MetadataType.KEYWORD,
        'q"x': MetadataType.FLOAT,
    }
    yield from engine_backend(tmp_path_factory.mktemp("indexed") / "shard", payload_indexes(indexed))


@pytest.fixture(scope="module")
def client_local_mode() -> Iterator[Backend]:
    client = QdrantClient(":memory:")
    params = models.VectorParams(size=2, distance=models.Distance.COSINE)
    client.create_collection("c", dict.fromkeys(VECTORS, params))

    def replace_all(points: Sequence[Point]) -> None:
        client.delete("c", models.Filter())
        client.upsert(
            "c",
            [
                models.PointStruct(
                    id=point.id, vector={point.vector_name: point.vector.tolist()}, payload=point.payload
                )
                for point in points
            ],
        )

    def passing(where: Where) -> set[UUID]:
        found, _ = client.scroll("c", scroll_filter=server._filter(where), limit=1_000)
        return {UUID(str(point.id)) for point in found}

    yield Backend(replace_all, passing)
    client.close()


BACKENDS = ["embedded", "embedded_with_indexes", "client_local_mode"]
record_sets = st.tuples(*(records(id_) for id_ in IDS)).map(list)


@pytest.mark.parametrize("backend", BACKENDS)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(stored=record_sets, where=filters, leave_out=st.sets(st.sampled_from(IDS), max_size=2))
def test_compiled_filters_agree_with_the_domain(
    request: pytest.FixtureRequest, backend: str, stored: list[ImageRecord], where: Filter, leave_out: set[UUID]
) -> None:
    qdrant: Backend = request.getfixturevalue(backend)
    generations = qdrant.store(stored)
    matching = {record.id for record in stored if where.matches(record)}
    objects = {image: set(map(UUID, generation.point_ids)) for image, generation in generations.items()}
    found_objects = set().union(*(objects[image] for image in matching - leave_out))
    orphan = set(sorted(found_objects)[:1])

    images = qdrant.passing(image_filter(where))
    by_vector = qdrant.passing(nearest_filter(where, leave_out=set(map(str, leave_out))))
    of_objects = qdrant.passing(object_filter(where, leave_out=set(map(str, leave_out)), without=set(map(str, orphan))))

    assert images == matching
    assert by_vector & set(IDS) == matching - leave_out
    assert of_objects - set(IDS) == found_objects - orphan


PRICE = Field("metadata.price")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("where", "passes"),
    [
        (Filter(all=(AnyOf(PRICE, (0.1 + 0.2,)),)), {3}),
        (Filter(all=(AnyOf(PRICE, (0.3,)),)), {2}),
        (Filter(all=(InRange(field=PRICE, gt=0.3, lt=1),)), {3}),
        (Filter(all=(InRange(field=PRICE, gte=0.3, lte=1),)), {1, 2, 3}),
        (Filter(all=(InRange(field=PRICE, gt=0.3, lt=0.3),)), set()),
        (Filter(all=(InRange(field=PRICE, gt=1, lt=0.3),)), set()),
        (Filter(all=(InRange(field=PRICE),)), {1, 2, 3}),
        (Filter(all=(InRange(field=PRICE, gt=-math.inf),)), {1, 2, 3}),
        (Filter(all=(InRange(field=PRICE, gte=math.nan),)), set()),
        (Filter(all=(AnyOf(PRICE, (True,)),)), {4}),
        (Filter(all=(AnyOf(PRICE, (1,)),)), {1}),
        (Filter(all=(AnyOf(PRICE, ()),)), set()),
        (Filter(none=(AnyOf(PRICE, (1,)),)), {2, 3, 4}),
        (Filter(any=(Exists(Field("width"), expected=False),)), set()),
        (Filter(none=(Exists(PRICE),)), set()),
        (Filter(), {1, 2, 3, 4}),
    ],
)
def test_values_that_naive_translations_get_wrong(
    request: pytest.FixtureRequest, backend: str, where: Filter, passes: set[int]
) -> None:
    qdrant: Backend = request.getfixturevalue(backend)
    prices = (1.0, 0.3, 0.1 + 0.2, True)
    stored = [a_record(id=id_, metadata={"price": price}) for id_, price in zip(IDS, prices, strict=True)]

    qdrant.store(stored)

    assert {id_.int for id_ in qdrant.passing(image_filter(where))} == passes


GRID = [struct.unpack(">d", struct.pack(">II", 0x40240000 + high, low))[0] for high in range(32) for low in range(32)]
"""Doubles from 10 on, in 32 groups of neighbours."""
EVERY_THIRD = GRID[::3]


@pytest.mark.parametrize("backend", BACKENDS)
def test_numbers_next_to_wanted_ones_are_others(request: pytest.FixtureRequest, backend: str) -> None:
    qdrant: Backend = request.getfixturevalue(backend)
    wanted = Filter(all=(AnyOf(PRICE, tuple(EVERY_THIRD)),))
    stored = [a_record(id=UUID(int=place), metadata={"price": number}) for place, number in enumerate(GRID[:100], 1)]

    qdrant.store(stored)

    assert {place.int for place in qdrant.passing(image_filter(wanted))} == set(range(1, 101, 3))


# What is evaluated for a point


@dataclass
class Evaluation:
    """Evaluates conditions on a payload, counting those that read it since what they compare has no payload index."""

    payload: Payload
    reads: int = 0

    def passes(self, condition: Condition) -> bool:
        match condition:
            case Where(must=must, should=should, must_not=must_not):
                # Of `must` the engine takes first what it holds for the least likely to hold, and that may be any.
                return (
                    all(map(self.passes, reversed(must)))
                    and (not should or any(map(self.passes, should)))
                    and not any(map(self.passes, must_not))
                )
            case OneOf(path, values):
                value = self._at(path)
                return bool({*values} & {*(value if isinstance(value, list) else [value])})
            case Between(path, low, high):
                value = self._at(path)
                return value is not None and (low is None or value >= low) and (high is None or value <= high)
            case Empty(path):
                return not self._at(path)
            case HasId(ids):
                assert not ids
                return False

    def _at(self, path: str) -> Any:
        self.reads += "." in path  # all other paths in use have a payload index
        value: Any = self.payload
        for name in path.split("."):
            value = value.get(name.strip('"'), {})
        return None if value == {} else value


def payload_of(record: ImageRecord) -> Payload:
    return image_point(record, Generation.new(record), an_embedding(dimension=2), SPACE).payload


CENTS = tuple(cents / 100 for cents in range(1000))


@pytest.mark.parametrize(
    ("where", "price", "passes", "most"),
    [
        (Filter(all=(AnyOf(PRICE, tuple(range(1000))),)), 500, True, 1),
        (Filter(all=(AnyOf(PRICE, CENTS),)), 5000.01, False, 1),
        (Filter(all=(AnyOf(PRICE, CENTS),)), 5.01, True, 1),
        (Filter(all=(AnyOf(PRICE, CENTS),)), "5.01", False, 1),
        (Filter(all=(AnyOf(PRICE, tuple(EVERY_THIRD)),)), GRID[500], False, 1),
        (Filter(none=tuple(AnyOf(PRICE, (cents,)) for cents in CENTS[:64])), 5.01, True, 1),
        (Filter(any=tuple(AnyOf(PRICE, (f"{cents}",)) for cents in CENTS[:64])), "x", False, 1),
        (Filter(all=(InRange(field=PRICE, gte=10, lt=50),)), 20, True, 1),
        (Filter(all=(InRange(field=PRICE, gte=10),)), 5, False, 1),
        (Filter(all=(InRange(field=PRICE, lt=10),)), 20, False, 1),
        (Filter(all=(InRange(field=PRICE),)), 5.01, True, 1),
        (Filter(all=(InRange(field=PRICE, gt=0.1, lt=19.99),)), 5.01, True, 1),
        (Filter(all=(InRange(field=PRICE, gt=0.1, lt=19.99),)), 19.99, False, 5),
    ],
)
def test_many_values_are_few_conditions_for_each_point(where: Filter, price: Any, passes: bool, most: int) -> None:
    record = a_record(metadata={"price": price})
    evaluation = Evaluation(payload_of(record))

    assert evaluation.passes(image_filter(where)) is passes is where.matches(record)
    assert evaluation.reads <= most


def test_times_and_sides_are_one_condition_however_many() -> None:
    times = AnyOf(Field("created_at"), tuple(NOON + timedelta(seconds=seconds) for seconds in range(1000)))
    compiled = image_filter(Filter(all=(times, AnyOf(Field("width"), tuple(range(1000))))))
    assert [condition.path for condition in compiled.must if isinstance(condition, OneOf)] == [
        "kind",
        "created_at",
        "width",
    ]
    assert len(compiled.must) == 3


any_number = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [*AWKWARD_NUMBERS, sys.float_info.max, -sys.float_info.max]
)
distances = st.integers(-5, 5) | st.sampled_from([-2049, -2048, -2047, 2047, 2048, 2049])


@settings(max_examples=1_000)
@given(
    number=any_number,
    bounds=st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), distances, min_size=1, max_size=3),
)
def test_a_range_is_exact_next_to_its_bounds(number: float, bounds: dict[str, int]) -> None:
    record = a_record(metadata={"price": number})
    in_range = InRange(field=PRICE, **{name: moved(number, distance) for name, distance in bounds.items()})
    compiled = image_filter(Filter(all=(in_range,)))
    assert Evaluation(payload_of(record)).passes(compiled) == in_range.matches(record)


def test_nothing_to_restrict_compiles_to_no_filter() -> None:
    for nothing in (ANY_POINT, nearest_filter(Filter()), object_filter(Filter())):
        assert engine._filter(nothing) is None
