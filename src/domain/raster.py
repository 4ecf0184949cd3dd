"""A decoded picture."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.geometry import BoundingBox


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RasterImage:
    """Upright sRGB pixels, perhaps fewer than the full picture has.

    `pixels` has shape (rows, columns, 3), dtype uint8. `width` and `height` speak of the full upright picture (or of
    the region that this raster shows); decoding scaled down leaves `pixels` smaller than they say.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 3 or self.pixels.shape[2] != 3:
            raise ValueError(f"pixels must be uint8 of shape (rows, columns, 3), not {self.pixels.shape}")

    def crop(self, box: BoundingBox) -> "RasterImage":
        """The part inside `box` (full-picture pixels), at least one pixel of this raster; shares its memory.

        Raises InvalidRegionError if the box lies outside the picture.
        """
        box = box.clipped(self.width, self.height)
        rows, columns = self.pixels.shape[:2]
        left, right = _span(box.x_min, box.x_max, columns / self.width, columns)
        top, bottom = _span(box.y_min, box.y_max, rows / self.height, rows)
        return RasterImage(
            pixels=self.pixels[top:bottom, left:right],
            width=max(1, round(box.width)),
            height=max(1, round(box.height)),
        )


def _span(low: float, high: float, scale: float, size: int) -> tuple[int, int]:
    """Pixel indices that cover [low, high) after scaling, within 0..size and at least one pixel long."""
    first = min(math.floor(low * scale), size - 1)
    last = max(min(math.ceil(high * scale), size), first + 1)
    return first, last
