"""Pixels to a small picture file."""

from abc import abstractmethod
from typing import Protocol

from domain.raster import RasterImage

THUMBNAIL_MEDIA_TYPE = "image/jpeg"
"""Every stored thumbnail is of this type; another needs new file names in the store."""

THUMBNAIL_SOURCE_SIDE = 768
"""Pixels of the shorter side that a thumbnail is rendered from: twice what it has at most."""


class ThumbnailRenderer(Protocol):
    """Renders the small upright rendition that result pages show."""

    @abstractmethod
    async def render(self, image: RasterImage) -> bytes:
        """A JPEG of the whole picture that keeps its aspect ratio and is never enlarged.

        Raises BusyError, DeadlinePassedError.
        """
