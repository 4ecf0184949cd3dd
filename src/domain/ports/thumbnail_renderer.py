"""Pixels to a small picture file."""

from abc import abstractmethod
from typing import Final, Protocol

from domain.raster import RasterImage

THUMBNAIL_MEDIA_TYPE = "image/jpeg"
"""Every stored thumbnail is of this type; another needs new file names in the store."""

THUMBNAIL_SIDES = (128, 384, 1024)
"""Pixels that the longer side of a thumbnail has at most."""

DEFAULT_THUMBNAIL_SIDE: Final = 384
"""Rendered when a picture is indexed; those of other sides when they are first asked for."""


def thumbnail_source_side(side: int) -> int:
    """Pixels of the shorter side that a thumbnail is rendered from: twice what it has at most."""
    return 2 * side


class ThumbnailRenderer(Protocol):
    """Renders the small upright renditions that result pages show."""

    @abstractmethod
    async def render(self, image: RasterImage, side: int) -> bytes:
        """A JPEG of the whole picture of at most `side` pixels a side, of the same aspect ratio and never enlarged.

        Raises BusyError, DeadlinePassedError.
        """
