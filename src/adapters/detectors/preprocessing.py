"""From a picture's pixels to a detector's input: one way for every runtime."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from domain.errors import ModelError
from domain.models import SUFFICIENT_SCALE

Pixels = NDArray[np.uint8]
"""Shape (height, width, 3), RGB."""

Fit = Literal["squash", "own"]

REDUCING_GAP = 2.0
"""Pictures of four times the size and more are first averaged by a whole factor down to at least twice the size."""

MOST_ELONGATED = 25
"""Sides longer than this many times the other are squashed: a model's own resize would leave the other no pixel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInput:
    """What pixels a detector is given. Normalisation happens inside the model."""

    width: int
    """Pixels."""
    height: int
    """Pixels. Where the model resizes by itself, `width` and `height` are both what the shorter side becomes."""
    fit: Fit
    """`squash`: resized to exactly this, aspect ratio lost. `own`: any size; the model resizes as it was trained."""

    def __post_init__(self) -> None:
        if self.fit not in get_args(Fit):
            raise ModelError(f"A detector's input has no fit {self.fit!r}; it has {', '.join(get_args(Fit))}.")
        if self.width < 1 or self.height < 1:
            raise ModelError(f"A detector's input of {self.width} x {self.height} pixels is empty.")

    def as_mapping(self) -> dict[str, Any]:
        """A JSON object of the fields; `from_mapping` reads it back."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, stored: Mapping[str, Any]) -> "ModelInput":
        """What `as_mapping` wrote. Raises KeyError, TypeError, ValueError or ModelError for anything else."""
        return cls(width=int(stored["width"]), height=int(stored["height"]), fit=stored["fit"])

    def fitted(self, pixels: Pixels) -> Pixels:
        """The model's input for a picture, contiguous. Releases the interpreter lock while it resizes."""
        if self.fit == "squash":
            size = (self.width, self.height)
            resized = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP)
            return np.asarray(resized)
        rows, columns = pixels.shape[:2]
        if (least := math.ceil(max(rows, columns) / MOST_ELONGATED)) > min(rows, columns):
            size = (max(columns, least), max(rows, least))
            pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
            rows, columns = pixels.shape[:2]
        # A model's own resize takes single pixels of a large picture, and floats of all of it: average them first.
        factor = min(rows, columns) // (SUFFICIENT_SCALE * max(self.width, self.height))
        if factor > 1:
            return np.asarray(Image.fromarray(pixels).reduce(factor))
        return np.ascontiguousarray(pixels)
