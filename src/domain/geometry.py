"""Boxes in the pixel coordinates of an upright picture."""

import math
from dataclasses import dataclass

from domain.errors import InvalidRegionError


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundingBox:
    """A rectangle in pixels of the full upright picture, origin top left, `x_max` and `y_max` exclusive."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.x_min, self.y_min, self.x_max, self.y_max))):
            raise InvalidRegionError("A region takes four finite numbers: x_min,y_min,x_max,y_max.")
        if self.x_max <= self.x_min or self.y_max <= self.y_min:
            raise InvalidRegionError(
                f"The region {self} is empty: x_max must exceed x_min, and y_max must exceed y_min."
            )

    def __str__(self) -> str:
        return f"{self.x_min:g},{self.y_min:g},{self.x_max:g},{self.y_max:g}"

    @property
    def width(self) -> float:
        """Pixels from left to right."""
        return self.x_max - self.x_min

    @property
    def height(self) -> float:
        """Pixels from top to bottom."""
        return self.y_max - self.y_min

    @classmethod
    def whole(cls, width: int, height: int) -> "BoundingBox":
        """The box of a whole picture."""
        return cls(x_min=0.0, y_min=0.0, x_max=float(width), y_max=float(height))

    def clipped(self, width: int, height: int) -> "BoundingBox":
        """The part of this box inside a picture of `width` x `height` pixels.

        Raises InvalidRegionError where nothing is left.
        """
        x_min, x_max = max(self.x_min, 0.0), min(self.x_max, float(width))
        y_min, y_max = max(self.y_min, 0.0), min(self.y_max, float(height))
        if x_max <= x_min or y_max <= y_min:
            raise InvalidRegionError(f"The region {self} lies outside the picture of {width} x {height} pixels.")
        return BoundingBox(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max)
