"""From what a model computes to the objects that the port promises: one way for every runtime."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.geometry import BoundingBox
from domain.images import DetectedObject

SCORE_FLOOR = 0.05
"""No detector reports what it gives less confidence than this: below it there are guesses by the hundred."""

LabelNames = Sequence[str | None]
"""A name, or None for the background and for unused numbers, by label number."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawDetections:
    """What a model computes for one picture, after its own non-maximum suppression."""

    boxes: NDArray[np.float32]
    """Shape (n, 4): x_min, y_min, x_max, y_max in pixels of the model's input."""
    scores: NDArray[np.float32]
    """Shape (n,)."""
    labels: NDArray[np.integer]
    """Shape (n,): numbers into the model's label names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which objects a caller wants: see `ObjectDetector.detect`."""

    score_threshold: float
    labels: Collection[str] | None = None
    max_detections: int = 100


EVERYTHING = Selection(score_threshold=SCORE_FLOOR)


def label_names(names: LabelNames) -> tuple[str, ...]:
    """The names that a detector can give, each once, in order."""
    return tuple(dict.fromkeys(name for name in names if name is not None))


def detected_objects(
    raw: RawDetections,
    names: LabelNames,
    selection: Selection,
    *,
    input_size: tuple[int, int],
    picture_size: tuple[int, int],
) -> list[DetectedObject]:
    """At most `selection.max_detections` objects, best first, as the port promises them.

    `input_size` is the width and height of the model's input, which shows the whole picture; `picture_size` that of
    the full upright picture. Boxes are clipped to it. What is not a number, or has no area, is left out.
    """
    width, height = picture_size
    scale = np.array([width / input_size[0], height / input_size[1]] * 2)
    boxes = np.clip(raw.boxes.astype(np.float64) * scale, 0.0, [width, height] * 2)
    scores = np.minimum(raw.scores.astype(np.float64), 1.0)  # 16 bits may round a confidence up to beyond 1
    wanted = [
        number
        for number, name in enumerate(names)
        if name is not None and (selection.labels is None or name in selection.labels)
    ]
    # Comparisons with NaN are false, so these also drop it.
    kept = (
        (scores >= max(selection.score_threshold, SCORE_FLOOR))
        & (boxes[:, 2] > boxes[:, 0])
        & (boxes[:, 3] > boxes[:, 1])
        & np.isin(raw.labels, wanted)
    )
    (indices,) = np.nonzero(kept)
    best = indices[np.argsort(-scores[indices], kind="stable")][: selection.max_detections]
    return [
        DetectedObject(
            label=str(names[int(raw.labels[index])]),
            score=float(scores[index]),
            box=BoundingBox(
                x_min=float(boxes[index, 0]),
                y_min=float(boxes[index, 1]),
                x_max=float(boxes[index, 2]),
                y_max=float(boxes[index, 3]),
            ),
        )
        for index in best
    ]
