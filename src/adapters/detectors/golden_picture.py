"""A photo that ships with the detectors, to prove that a runtime finds what it should."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from domain.errors import ModelError
from domain.geometry import BoundingBox
from domain.images import DetectedObject
from domain.raster import RasterImage

DIRECTORY = Path(__file__).parent / "golden"
PICTURE = DIRECTORY / "coffee.png"

COMPARED = 10
"""The best objects of the picture that are compared: the faint ones are a matter of rounding."""

LEAST_IOU = 0.8
SCORE_TOLERANCE = 0.1
CLEAR = 0.3
"""A confidence that rounding cannot bring about where the reference finds nothing."""
LEAST_SHARE = 0.7
"""Of the compared objects, those that must be found again. A faint one may fall to non-maximum suppression."""


def golden_picture() -> RasterImage:
    """The packaged photo. Raises ModelError if the installation lacks it."""
    try:
        with Image.open(PICTURE) as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except OSError as error:
        raise ModelError(f"The golden picture {PICTURE} cannot be read: install Lookalike again.") from error
    return RasterImage(pixels=pixels, width=pixels.shape[1], height=pixels.shape[0])


def iou(one: BoundingBox, other: BoundingBox) -> float:
    """Intersection over union, in [0, 1]."""
    width = min(one.x_max, other.x_max) - max(one.x_min, other.x_min)
    height = min(one.y_max, other.y_max) - max(one.y_min, other.y_min)
    common = max(width, 0.0) * max(height, 0.0)
    return common / (one.width * one.height + other.width * other.height - common)


def share_found(
    expected: Iterable[DetectedObject],
    found: Sequence[DetectedObject],
    *,
    least_iou: float = LEAST_IOU,
    score_tolerance: float = SCORE_TOLERANCE,
) -> float:
    """The part of `expected` found again: same label, IoU and confidence near. 1 where nothing is expected."""
    hits = [
        any(
            other.label == one.label
            and iou(other.box, one.box) >= least_iou
            and abs(other.score - one.score) <= score_tolerance
            for other in found
        )
        for one in expected
    ]
    return sum(hits) / len(hits) if hits else 1.0


def agreement(expected: Sequence[DetectedObject], found: Sequence[DetectedObject]) -> float:
    """The part of the best objects of either list that the other has too, the lesser of both; in [0, 1]."""
    shares = []
    for of, among in ((expected, found), (found, expected)):
        # What is about as faint as the faintest of the other list may just have been left out of it.
        # But a list that ends with a clear object has lost whatever is missing.
        least = min(among[-1].score, CLEAR) + SCORE_TOLERANCE if among else CLEAR
        shares.append(share_found([one for one in of[:COMPARED] if one.score > least], among))
    return min(shares)


def agree(expected: Sequence[DetectedObject], found: Sequence[DetectedObject]) -> bool:
    """Whether a runtime finds in the golden picture what is expected, and nothing clear besides."""
    return agreement(expected, found) >= LEAST_SHARE


def as_json(objects: Iterable[DetectedObject]) -> str:
    """The objects as JSON text; `from_json` reads it back."""
    rows = [
        {
            "label": one.label,
            "score": round(one.score, 4),
            "box": [round(side, 2) for side in (one.box.x_min, one.box.y_min, one.box.x_max, one.box.y_max)],
        }
        for one in objects
    ]
    return json.dumps(rows, indent=1) + "\n"


def from_json(path: Path) -> list[DetectedObject]:
    """What `as_json` wrote. Raises ModelError."""
    try:
        rows: Sequence[Mapping[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return [
            DetectedObject(
                label=str(row["label"]),
                score=float(row["score"]),
                box=BoundingBox(**dict(zip(("x_min", "y_min", "x_max", "y_max"), map(float, row["box"]), strict=True))),
            )
            for row in rows
        ]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"The golden detections {path} cannot be read ({error!r}).") from error
