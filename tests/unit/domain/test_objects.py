from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.geometry import BoundingBox
from domain.images import DetectedObject
from domain.models import ModelDescription
from domain.objects import ObjectPolicy

DETECTOR = ModelDescription(
    model="detector",
    weights_digest="ab" * 32,
    runtime="openvino",
    device="cpu",
    precision="f32",
    input_width=300,
    input_height=300,
)


def found(score: float, *, side: float = 50.0) -> DetectedObject:
    return DetectedObject(label="cat", score=score, box=BoundingBox(x_min=0, y_min=0, x_max=side, y_max=side))


def test_the_most_confident_that_are_large_enough_are_kept_best_first() -> None:
    policy = ObjectPolicy(min_score=0.4, min_area=0.01, max_objects=2)
    small, faint = found(0.99, side=9.9), found(0.39)
    objects = [found(0.5), small, found(0.4), faint, found(0.8)]

    assert [each.score for each in policy.kept(objects, width=100, height=100)] == [0.8, 0.5]
    assert policy.kept([small, faint], width=100, height=100) == ()


def test_bounds_are_inclusive() -> None:
    policy = ObjectPolicy(min_score=0.4, min_area=0.01)
    edge = found(0.4, side=10)
    assert policy.kept([edge], width=100, height=100) == (edge,)
    assert ObjectPolicy(max_objects=0).kept([edge], width=100, height=100) == ()


def test_a_crop_shows_what_is_around_the_box() -> None:
    box = BoundingBox(x_min=20, y_min=30, x_max=60, y_max=50)
    padded = ObjectPolicy(padding=0.1).crop_box(box, width=100, height=100)
    assert (padded.x_min, padded.y_min, padded.x_max, padded.y_max) == pytest.approx((16, 28, 64, 52))
    assert ObjectPolicy(padding=0).crop_box(box, width=100, height=100) == box


@given(st.floats(0, 1), st.tuples(st.floats(0, 90), st.floats(0, 40), st.floats(1, 10), st.floats(1, 10)))
def test_a_crop_holds_its_box_and_stays_in_the_picture(
    padding: float, place: tuple[float, float, float, float]
) -> None:
    x, y, across, down = place
    box = BoundingBox(x_min=x, y_min=y, x_max=x + across, y_max=y + down)
    crop = ObjectPolicy(padding=padding).crop_box(box, width=100, height=50)
    assert 0 <= crop.x_min <= box.x_min < box.x_max <= crop.x_max <= 100
    assert 0 <= crop.y_min <= box.y_min < box.y_max <= crop.y_max <= 50


def test_a_fingerprint_tells_what_would_index_other_objects() -> None:
    policy = ObjectPolicy()
    others = [
        policy.fingerprint(replace(DETECTOR, model="other")),
        policy.fingerprint(replace(DETECTOR, weights_digest="cd" * 32)),
        replace(policy, min_score=0.5).fingerprint(DETECTOR),
        replace(policy, min_area=0.01).fingerprint(DETECTOR),
        replace(policy, max_objects=11).fingerprint(DETECTOR),
        replace(policy, padding=0.1).fingerprint(DETECTOR),
        policy.fingerprint(DETECTOR),
    ]
    assert len(set(others)) == len(others)
    assert all(len(bytes.fromhex(each)) == 8 for each in others)


def test_a_fingerprint_does_not_tell_what_changes_nothing() -> None:
    elsewhere = replace(DETECTOR, runtime="torch", device="cuda:0", precision="bf16")
    assert ObjectPolicy().fingerprint(elsewhere) == ObjectPolicy().fingerprint(DETECTOR)


def test_where_no_object_is_indexed_there_is_no_fingerprint() -> None:
    assert ObjectPolicy().fingerprint(None) == ""
    assert ObjectPolicy(enabled=False).fingerprint(DETECTOR) == ""
