import json
import math
import sys
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.repositories.qdrant.layout import (
    RECORD_FIELDS,
    Generation,
    IndexKind,
    changed_payload,
    image_point,
    image_vector,
    object_points,
    object_vector,
    payload_indexes,
    point_ids,
    record_of,
)
from adapters.repositories.qdrant.points import FoundPoint, Payload
from adapters.repositories.qdrant.scalars import (
    FINEST,
    metadata_path,
    number_place,
    number_text,
    number_text_path,
    parts,
    parts_paths,
)
from domain.images import ImageRecord
from domain.metadata import MetadataType
from tests.builders import a_record, a_space, an_embedding, an_object, some_embeddings
from tests.unit.adapters.repositories.strategies import AWKWARD_NUMBERS, KEYS, records

ID = UUID("00000000-0000-5000-8000-000000000001")
SPACE = a_space(16)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(AWKWARD_NUMBERS)


def payload_of(record: ImageRecord, generation: Generation | None = None) -> Payload:
    return image_point(record, generation or Generation.new(record), an_embedding(), SPACE).payload


def object_payloads(record: ImageRecord, generation: Generation) -> list[Payload]:
    embeddings = some_embeddings(len(record.objects))
    return [point.payload for point in object_points(record, generation, embeddings, SPACE)]


@given(records(ID))
def test_a_record_reads_back_exactly(record: ImageRecord) -> None:
    stored = json.loads(json.dumps(payload_of(record)))

    restored = record_of(FoundPoint(str(ID), {field: stored[field] for field in RECORD_FIELDS}))

    assert restored == record
    assert restored.appearance == record.appearance  # no part of a comparison of records
    assert repr(dict(restored.metadata)) == repr(dict(record.metadata))  # 10 stays 10, 10.0 stays 10.0, in order


@given(numbers, numbers)
def test_numbers_have_the_same_text_where_they_are_equal(one: float, other: float) -> None:
    assert (number_text(one) == number_text(other)) == (one == other)
    assert number_text(one) == number_text(float(one))


@given(numbers, numbers)
def test_the_parts_of_numbers_order_and_equal_as_these_do(one: float, other: float) -> None:
    assert (parts(number_place(one)) < parts(number_place(other))) == (one < other)
    assert (parts(number_place(one)) == parts(number_place(other))) == (one == other)


@given(numbers)
def test_the_parts_of_numbers_that_follow_each_other_do_too(number: float) -> None:
    coarse, fine = parts(number_place(number))
    following = (coarse, fine + 1) if fine < FINEST else (coarse + 1, 0)
    assert parts(number_place(math.nextafter(number, math.inf))) == following


@pytest.mark.parametrize("number", [-math.inf, -sys.float_info.max, -1.5, 0.0, sys.float_info.max, math.inf])
def test_the_parts_of_numbers_are_exact_as_doubles(number: float) -> None:
    coarse, fine = parts(number_place(number))
    assert abs(coarse) < 2**53
    assert 0 <= fine <= FINEST < 2**53


def test_zero_is_zero_whatever_its_sign() -> None:
    assert number_text(-0.0) == number_text(0) == "0.0"
    assert parts(number_place(-0.0)) == parts(number_place(0)) == (0, 0)


@given(records(ID))
def test_nothing_that_filters_compare_is_a_float(record: ImageRecord) -> None:
    """A float comes back off from the engine."""
    payload = payload_of(record)
    del payload["metadata"]  # of which only strings are compared
    assert not any(isinstance(value, float) for value in values_in(payload))


def values_in(payload: object) -> Iterator[object]:
    match payload:
        case dict():
            for value in payload.values():
                yield from values_in(value)
        case list():
            yield from payload
        case _:
            yield payload


def test_setting_the_fields_of_an_update_replaces_metadata_whole() -> None:
    metadata = {"text": "x", "number": 1, "yes": True, "no": False, "list": ["a"]}
    everything = changed_payload(a_record(source="x", metadata=metadata))

    assert changed_payload(a_record()).keys() == everything.keys()
    assert everything.keys() < payload_of(a_record()).keys()


def test_different_keys_have_different_paths() -> None:
    assert len({metadata_path(key) for key in KEYS}) == len(KEYS)
    assert len(
        {path for key in KEYS for path in (*parts_paths(key, is_of_times=False), number_text_path(key))}
    ) == 3 * len(KEYS)


NUMBER_INDEXES = {
    'metadata_numbers."k".coarse': "integer",
    'metadata_numbers."k".fine': "order",
    'metadata_numbers."k".text': "keyword",
}


@pytest.mark.parametrize(
    ("type_", "added"),
    [
        (MetadataType.KEYWORD, {'metadata."k"': "prefix"}),
        (MetadataType.INTEGER, NUMBER_INDEXES),
        (MetadataType.FLOAT, NUMBER_INDEXES),
        (MetadataType.BOOL, {}),
        (
            MetadataType.DATETIME,
            {'metadata."k"': "keyword", 'metadata_times."k".coarse': "integer", 'metadata_times."k".fine': "order"},
        ),
    ],
)
def test_indexed_metadata_adds_an_index(type_: MetadataType, added: dict[str, IndexKind]) -> None:
    assert payload_indexes({"k": type_}) == {**payload_indexes({}), **added}


@given(records(ID))
def test_objects_hold_what_filters_compare_of_their_image(record: ImageRecord) -> None:
    generation = Generation.new(record)
    image = payload_of(record, generation)

    payloads = object_payloads(record, generation)

    assert Generation.of(FoundPoint(str(record.id), image)) == generation
    assert len(set(generation.point_ids)) == len(payloads) == len(record.objects)
    for index, payload in enumerate(payloads):
        assert Generation.of(FoundPoint("its own id", json.loads(json.dumps(payload)))) == generation
        assert payload["index"] == index
        read_only = {"objects_json", "metadata_json", "detection", "low_detail", "colours"}
        filtered = image.keys() - {"kind", "size_bytes", "sha256", *read_only}
        assert {key: payload[key] for key in filtered} == {key: image[key] for key in filtered}
        assert payload["kind"] != image["kind"]


def test_points_have_the_vector_of_their_kind_and_space() -> None:
    record = a_record(objects=(an_object(), an_object()))
    generation, embeddings = Generation.new(record), some_embeddings(2)
    objects = object_points(record, generation, embeddings, SPACE)
    assert image_point(record, generation, an_embedding(), SPACE).vector_name == image_vector(SPACE)
    assert [point.vector_name for point in objects] == [object_vector(SPACE)] * 2
    assert [point.id for point in objects] == generation.point_ids
    assert all((point.vector == embedding).all() for point, embedding in zip(objects, embeddings, strict=True))
    other = a_space(16, model="other-model")
    assert len({image_vector(SPACE), object_vector(SPACE), image_vector(other), object_vector(other)}) == 4


def test_a_generation_knows_when_it_was_written() -> None:
    generation = Generation.new(a_record())
    assert not generation.is_older_than(timedelta(hours=1))
    assert generation.is_older_than(timedelta(microseconds=-1))


def test_no_two_generations_share_a_point() -> None:
    record = a_record(objects=(an_object(), an_object()))

    assert len(set(point_ids(Generation.new(record) for _ in range(10)))) == 20


def test_setting_the_metadata_fields_replaces_those_of_objects_too() -> None:
    record = a_record(objects=(an_object(),))
    [payload] = object_payloads(record, Generation.new(record))

    assert changed_payload(record).keys() >= {key for key in payload if key.startswith("metadata")}
