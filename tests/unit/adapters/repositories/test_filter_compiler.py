"""The compiled filter passes exactly what `Filter.matches` passes, on the embedded engine and on the client's."""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import qdrant_edge as engine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models

from adapters.repositories.edge.dialect import EDGE, create_index
from adapters.repositories.filter_compiler import (
    FilterDialect,
    compile_filter,
    compile_image_filter,
    compile_object_filter,
)
from adapters.repositories.object_payload import Generation, object_payloads
from adapters.repositories.payload import payload_indexes, payload_of
from adapters.repositories.qdrant_dialect import QDRANT
from domain.filters import AnyOf, Exists, Field, Filter, InRange
from domain.images import ImageRecord
from domain.metadata import MetadataType
from tests.builders import a_record
from tests.unit.adapters.repositories.strategies import NOON, filters, records

IDS = [UUID(int=number) for number in (1, 2, 3, 4)]
VECTOR = [1.0, 0.0]

Points = dict[UUID, tuple[str, dict[str, Any]]]
"""Payloads by the point's id, each with the name of the point's vector."""


@dataclass(frozen=True)
class Backend:
    dialect: FilterDialect
    replace_all: Callable[[Points], None]
    passing: Callable[[Any], set[UUID]]
    """The ids of the points that pass a compiled filter."""

    def store(self, records: list[ImageRecord]) -> dict[UUID, Generation]:
        """The records' points and those of their objects, whose generations are answered by image."""
        generations = {record.id: Generation.new(record) for record in records}
        points: Points = {}
        for record in records:
            generation = generations[record.id]
            points[record.id] = ("image", payload_of(record, generation.name))
            for id_, payload in zip(generation.point_ids, object_payloads(record, generation), strict=True):
                points[id_] = ("object", payload)
        self.replace_all(points)
        return generations


def edge_backend(directory: Path, indexed_metadata: dict[str, MetadataType]) -> Iterator[Backend]:
    params = engine.EdgeVectorParams(size=2, distance=engine.Distance.Cosine)
    shard = engine.EdgeShard.create(str(directory), engine.EdgeConfig(vectors={"image": params, "object": params}))
    if indexed_metadata:
        for index in payload_indexes(indexed_metadata):
            shard.update(create_index(index))

    def replace_all(points: Points) -> None:
        shard.update(engine.UpdateOperation.delete_points_by_filter(engine.Filter()))
        shard.update(
            engine.UpdateOperation.upsert_points(
                [engine.Point(id_, {name: VECTOR}, payload) for id_, (name, payload) in points.items()]
            )
        )

    def passing(compiled: Any) -> set[UUID]:
        found, _ = shard.scroll(engine.ScrollRequest(limit=100, filter=compiled, with_payload=False))
        assert shard.count(engine.CountRequest(exact=True, filter=compiled)) == len(found)
        return {UUID(str(point.id)) for point in found}

    yield Backend(EDGE, replace_all, passing)
    shard.close()


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    yield from edge_backend(tmp_path_factory.mktemp("plain") / "shard", {})


@pytest.fixture(scope="module")
def edge_with_indexes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    indexed = {
        "price": MetadataType.FLOAT,
        "a": MetadataType.INTEGER,
        "brand": MetadataType.KEYWORD,
        "a.b": MetadataType.BOOL,
        "back\\slash": MetadataType.KEYWORD,
    }
    yield from edge_backend(tmp_path_factory.mktemp("indexed") / "shard", indexed)


@pytest.fixture(scope="module")
def client_local_mode() -> Iterator[Backend]:
    client = QdrantClient(":memory:")
    params = models.VectorParams(size=2, distance=models.Distance.COSINE)
    client.create_collection("c", {"image": params, "object": params})

    def replace_all(points: Points) -> None:
        client.delete("c", models.Filter())
        client.upsert(
            "c",
            [
                models.PointStruct(id=str(id_), vector={name: VECTOR}, payload=payload)
                for id_, (name, payload) in points.items()
            ],
        )

    def passing(compiled: Any) -> set[UUID]:
        found, _ = client.scroll("c", scroll_filter=compiled, limit=100)
        return {UUID(str(point.id)) for point in found}

    yield Backend(QDRANT, replace_all, passing)
    client.close()


record_sets = st.tuples(*(records(id_) for id_ in IDS)).map(list)


@pytest.mark.parametrize("backend", ["edge", "edge_with_indexes", "client_local_mode"])
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
    objects = {image: set(generation.point_ids) for image, generation in generations.items()}
    found_objects = set().union(*(objects[image] for image in matching - leave_out))
    orphan = set(sorted(found_objects)[:1])

    images = qdrant.passing(compile_image_filter(where, qdrant.dialect))
    by_vector = qdrant.passing(compile_filter(where, qdrant.dialect, leave_out=leave_out))
    of_objects = qdrant.passing(compile_object_filter(where, qdrant.dialect, leave_out=leave_out, orphans=orphan))

    assert images == matching
    assert by_vector & set(IDS) == matching - leave_out
    assert of_objects - set(IDS) == found_objects - orphan


PRICE = Field("metadata.price")


@pytest.mark.parametrize("backend", ["edge", "edge_with_indexes", "client_local_mode"])
@pytest.mark.parametrize(
    ("where", "passes"),
    [
        (Filter(all=(AnyOf(PRICE, (0.1 + 0.2,)),)), {3}),
        (Filter(all=(AnyOf(PRICE, (0.3,)),)), {2}),
        (Filter(all=(InRange(field=PRICE, gt=0.3, lt=1),)), {3}),
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

    assert {id_.int for id_ in qdrant.passing(compile_image_filter(where, qdrant.dialect))} == passes


# What is evaluated for a point

GRID = [struct.unpack(">d", struct.pack(">II", 0x40240000 + high, low))[0] for high in range(32) for low in range(32)]
"""Doubles from 10 on: all combinations of 32 high and 32 low parts."""
EVERY_THIRD = GRID[::3]


@pytest.mark.parametrize("backend", ["edge", "edge_with_indexes", "client_local_mode"])
def test_numbers_that_combine_the_parts_of_two_wanted_ones_are_others(
    request: pytest.FixtureRequest, backend: str
) -> None:
    qdrant: Backend = request.getfixturevalue(backend)
    wanted = Filter(all=(AnyOf(PRICE, tuple(EVERY_THIRD)),))
    stored = [a_record(id=UUID(int=place), metadata={"price": number}) for place, number in enumerate(GRID[:100], 1)]

    qdrant.store(stored)

    assert {place.int for place in qdrant.passing(compile_image_filter(wanted, qdrant.dialect))} == set(
        range(1, 101, 3)
    )


@dataclass
class PayloadReads:
    """A dialect whose conditions are evaluated here, counting those that read a point's payload."""

    count: int = 0

    def dialect(self) -> FilterDialect:
        return FilterDialect(
            every=self._every,
            some=lambda conditions: lambda payload: any(condition(payload) for condition in conditions),
            text_in=lambda path, texts: self._at(path, lambda value: bool({*texts} & {*_listed(value)})),
            integer_in=lambda path, integers: self._at(path, lambda value: value in {*integers}),
            between=lambda path, low, high: self._at(
                path,
                lambda value: value is not None and (low is None or value >= low) and (high is None or value <= high),
            ),
            empty=lambda path: self._at(path, lambda value: not value),
            ids=lambda _ids: lambda _payload: False,
        )

    def _every(self, must: Sequence[Any], must_not: Sequence[Any]) -> Any:
        # Of `must` the engine takes first what it holds for the least likely to hold, and that may be any.
        return lambda payload: (
            all(condition(payload) for condition in reversed(must))
            and not any(condition(payload) for condition in must_not)
        )

    def _at(self, path: str, test: Callable[[Any], bool]) -> Any:
        def condition(payload: Any) -> bool:
            self.count += "." in path  # all other paths in use have a payload index
            for name in path.split("."):
                payload = payload.get(name.strip('"'), {})
            return test(payload if payload != {} else None)

        return condition


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


CENTS = tuple(cents / 100 for cents in range(1000))


@pytest.mark.parametrize(
    ("where", "price", "passes", "most"),
    [
        (Filter(all=(AnyOf(PRICE, tuple(range(1000))),)), 500, True, 2),
        (Filter(all=(AnyOf(PRICE, CENTS),)), 5000.01, False, 2),
        (Filter(all=(AnyOf(PRICE, CENTS),)), 5.01, True, 24),
        (Filter(all=(AnyOf(PRICE, CENTS),)), "5.01", False, 2),
        (Filter(all=(AnyOf(PRICE, tuple(EVERY_THIRD)),)), GRID[500], False, 16),
        (Filter(none=tuple(AnyOf(PRICE, (cents,)) for cents in CENTS[:64])), 5.01, True, 2),
        (Filter(any=tuple(AnyOf(PRICE, (f"{cents}",)) for cents in CENTS[:64])), "x", False, 1),
        (Filter(all=(InRange(field=PRICE, gte=10, lt=50),)), 20, True, 1),
        (Filter(all=(InRange(field=PRICE, gt=0.1, lt=19.99),)), 5.01, True, 5),
    ],
)
def test_many_values_are_few_conditions_for_each_point(where: Filter, price: Any, passes: bool, most: int) -> None:
    reads = PayloadReads()
    record = a_record(metadata={"price": price})
    compiled = compile_image_filter(where, reads.dialect())

    assert compiled(payload_of(record, "generation")) is passes is where.matches(record)
    assert reads.count <= most


def test_times_and_sides_are_one_condition_however_many() -> None:
    dialect = replace(PayloadReads().dialect(), integer_in=lambda path, _integers: made.append(path))
    made: list[str] = []
    times = AnyOf(Field("created_at"), tuple(NOON + timedelta(seconds=seconds) for seconds in range(1000)))
    compile_image_filter(Filter(all=(times, AnyOf(Field("width"), tuple(range(1000))))), dialect)
    assert made == ["created_at", "width"]


def test_nothing_to_restrict_compiles_to_no_filter() -> None:
    assert compile_filter(Filter(), EDGE) is None
    assert compile_object_filter(Filter(), EDGE) is None
