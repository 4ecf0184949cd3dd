"""The compiled filter passes exactly what `Filter.matches` passes, on the embedded engine and on the client's."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
from tests.unit.adapters.repositories.strategies import filters, records

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


def test_nothing_to_restrict_compiles_to_no_filter() -> None:
    assert compile_filter(Filter(), EDGE) is None
    assert compile_object_filter(Filter(), EDGE) is None
