import json
import math
import struct
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.repositories.object_payload import FoundObject, Generation, object_payloads
from adapters.repositories.payload import (
    RECORD_FIELDS,
    MetadataType,
    PayloadIndex,
    PayloadIndexKind,
    filtered_metadata_payload,
    metadata_path,
    metadata_payload,
    ordinal,
    payload_indexes,
    payload_of,
    record_of,
    split,
)
from domain.images import ImageRecord
from tests.builders import a_record, an_object
from tests.unit.adapters.repositories.strategies import AWKWARD_NUMBERS, KEYS, records

ID = UUID("00000000-0000-5000-8000-000000000001")
doubles = st.floats(allow_nan=False) | st.sampled_from(AWKWARD_NUMBERS).map(float)


@given(records(ID))
def test_a_record_reads_back_exactly(record: ImageRecord) -> None:
    stored = json.loads(json.dumps(payload_of(record, "a generation")))

    restored = record_of(ID, {field: stored[field] for field in RECORD_FIELDS})

    assert restored == record
    assert repr(dict(restored.metadata)) == repr(dict(record.metadata))  # 10 stays 10, 10.0 stays 10.0, in order


@given(doubles, doubles)
def test_ordinals_order_and_equal_as_the_numbers_do(one: float, other: float) -> None:
    assert (ordinal(one) < ordinal(other)) == (one < other)
    assert (ordinal(one) == ordinal(other)) == (one == other)
    assert (split(ordinal(one)) < split(ordinal(other))) == (one < other)


@given(doubles.filter(lambda number: number < math.inf))
def test_ordinals_of_neighbours_differ_by_one(number: float) -> None:
    assert ordinal(math.nextafter(number, math.inf)) == ordinal(number) + 1


def test_parts_of_ordinals_are_exact_as_doubles() -> None:
    for number in (-math.inf, -1.5, 0.0, math.inf):
        for part in split(ordinal(number)):
            assert struct.unpack("d", struct.pack("d", part)) == (part,)


def test_setting_the_metadata_fields_replaces_metadata_whole() -> None:
    everything = metadata_payload({"text": "x", "number": 1, "yes": True, "no": False, "list": ["a"]})

    assert metadata_payload({}).keys() == everything.keys()
    assert everything.keys() < payload_of(a_record(), "a generation").keys()


def test_different_keys_have_different_paths() -> None:
    assert len({metadata_path(key) for key in KEYS}) == len(KEYS)


@pytest.mark.parametrize(
    ("type_", "added"),
    [
        (MetadataType.KEYWORD, {PayloadIndex('metadata."k"', PayloadIndexKind.KEYWORD)}),
        (MetadataType.INTEGER, {PayloadIndex('metadata_numbers."k".high', PayloadIndexKind.INTEGER)}),
        (MetadataType.FLOAT, {PayloadIndex('metadata_numbers."k".high', PayloadIndexKind.INTEGER)}),
        (MetadataType.BOOL, set()),
    ],
)
def test_indexed_metadata_adds_an_index(type_: MetadataType, added: set[PayloadIndex]) -> None:
    assert set(payload_indexes({"k": type_})) - set(payload_indexes({})) == added


@given(records(ID))
def test_objects_hold_what_filters_compare_of_their_image(record: ImageRecord) -> None:
    generation = Generation.new(record)
    image = payload_of(record, generation.name)

    payloads = object_payloads(record, generation)

    assert Generation.of(record.id, image) == generation
    assert len(set(generation.point_ids)) == len(payloads) == len(record.objects)
    for index, payload in enumerate(payloads):
        found = FoundObject.of(json.loads(json.dumps(payload)))
        assert (found.generation, found.index) == (generation, index)
        assert not found.is_older_than(timedelta(hours=1))
        filtered = image.keys() - {"kind", "size_bytes", "sha256", "objects_json", "metadata_json", "detection"}
        assert {key: payload[key] for key in filtered} == {key: image[key] for key in filtered}
        assert payload["kind"] != image["kind"]


def test_no_two_generations_share_a_point() -> None:
    record = a_record(objects=(an_object(), an_object()))
    points = {id_ for _ in range(10) for id_ in Generation.new(record).point_ids}

    assert len(points) == 20


def test_setting_an_objects_metadata_fields_replaces_them_whole() -> None:
    record = a_record(objects=(an_object(),))
    [payload] = object_payloads(record, Generation.new(record))

    assert filtered_metadata_payload({}).keys() == {key for key in payload if key.startswith("metadata")}
