import numpy as np
import pytest

from adapters.detectors.postprocessing import SCORE_FLOOR, RawDetections, Selection, detected_objects, label_names
from domain.images import DetectedObject
from tests.builders import box

NAMES = (None, "cat", "dog", None, "cat")


def raw(*rows: tuple[tuple[float, float, float, float], float, int]) -> RawDetections:
    return RawDetections(
        boxes=np.array([row[0] for row in rows], dtype=np.float32).reshape(-1, 4),
        scores=np.array([row[1] for row in rows], dtype=np.float32),
        labels=np.array([row[2] for row in rows], dtype=np.int64),
    )


def objects(detections: RawDetections, selection: Selection | None = None) -> list[DetectedObject]:
    return detected_objects(
        detections,
        NAMES,
        selection or Selection(score_threshold=0.1),
        input_size=(100, 200),
        picture_size=(1000, 800),
    )


def test_boxes_are_scaled_by_each_side_and_clipped() -> None:
    (inside,) = objects(raw(((10, 20, 30, 40), 0.5, 1)))
    assert inside == DetectedObject(label="cat", score=0.5, box=box(100, 80, 300, 160))
    (clipped,) = objects(raw(((-5, -5, 130, 240), 0.5, 2)))
    assert clipped.box == box(0, 0, 1000, 800)


@pytest.mark.parametrize(
    "coordinates",
    [
        pytest.param((10, 10, 10, 20), id="no-width"),
        pytest.param((10, 20, 30, 20), id="no-height"),
        pytest.param((30, 10, 10, 20), id="reversed"),
        pytest.param((120, 10, 150, 20), id="right-of-the-picture"),
        pytest.param((10, -30, 20, -10), id="above-the-picture"),
        pytest.param((float("nan"), 10, 20, 30), id="not-a-number"),
        pytest.param((float("inf"), 10, float("inf"), 30), id="infinite"),
    ],
)
def test_what_is_no_box_in_the_picture_is_left_out(coordinates: tuple[float, float, float, float]) -> None:
    (left,) = objects(raw((coordinates, 0.9, 1), ((1, 1, 2, 2), 0.8, 2)))
    assert left.label == "dog"


@pytest.mark.parametrize("score", [float("nan"), -1.0, 0.0, 0.09])
def test_what_does_not_reach_the_threshold_is_left_out(score: float) -> None:
    assert objects(raw(((1, 1, 2, 2), score, 1))) == []


def test_a_threshold_of_zero_means_the_floor() -> None:
    faint = raw(((1, 1, 2, 2), SCORE_FLOOR / 2, 1), ((1, 1, 2, 2), SCORE_FLOOR * 2, 1))
    assert len(objects(faint, Selection(score_threshold=0.0))) == 1


def test_a_confidence_rounded_beyond_one_is_one() -> None:
    assert [one.score for one in objects(raw(((1, 1, 2, 2), 1.0039, 1)))] == [1.0]


@pytest.mark.parametrize("number", [0, 3, 5, 90, -1])
def test_the_background_and_unknown_numbers_are_left_out(number: int) -> None:
    assert objects(raw(((1, 1, 2, 2), 0.9, number))) == []


def test_best_first_and_the_best_of_the_wanted_labels() -> None:
    square = (1.0, 1.0, 2.0, 2.0)
    detections = raw((square, 0.2, 1), (square, 0.9, 2), (square, 0.7, 4), (square, 0.8, 2), (square, 0.6, 1))
    assert [round(one.score, 3) for one in objects(detections)] == [0.9, 0.8, 0.7, 0.6, 0.2]
    cats = objects(detections, Selection(score_threshold=0.3, labels={"cat"}, max_detections=2))
    assert [(one.label, round(one.score, 3)) for one in cats] == [("cat", 0.7), ("cat", 0.6)]


def test_nothing_detected_is_an_empty_result() -> None:
    assert objects(raw()) == []


def test_every_label_is_named_once() -> None:
    assert label_names(NAMES) == ("cat", "dog")
