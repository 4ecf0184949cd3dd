"""Bytes to pixels."""

from abc import abstractmethod
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from domain.appearance import Appearance
from domain.geometry import BoundingBox
from domain.metadata import Metadata
from domain.raster import RasterImage

DECODE_VERSION = 2
"""The decode contract's version. It is part of the embedding space: raised whenever an upload's pixels may change."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecodedImage:
    """A picture and the media type that its content has (`image/jpeg`, ...), whatever its name or sender says.

    `appearance` is that of the region, where one was asked for.
    """

    raster: RasterImage
    media_type: str
    appearance: Appearance


class ImageDecoder(Protocol):
    """Turns uploaded bytes into upright RGB pixels, by one versioned contract (docs/decode-contract.md)."""

    @abstractmethod
    async def open(self) -> None:
        """Get ready, so that the first picture need not wait for it. Without it, the first picture waits."""

    @abstractmethod
    def decoded(
        self, content: bytes, *, sufficient_side: int, region: BoundingBox | None = None
    ) -> AbstractAsyncContextManager[DecodedImage]:
        """All of a picture for the block, perhaps scaled down where the format makes that cheap.

        The shorter side of the picture (of `region`, if given: pixels of the full upright picture) keeps at least
        `sufficient_side` pixels if it has them. The raster always shows the whole picture.

        An adapter may bound the memory that pictures take: entering waits until blocks of others end. So a block must
        not decode a second picture, and nothing may use the raster, or a crop of it, after the block.

        Entering raises BodyTooLargeError, UnsupportedImageError (zero bytes too), CameraRawError, ImageTooLargeError
        (from the header, before any pixel is decoded), ImageUnreadableError (truncated or corrupt), InvalidRegionError
        (region outside), BusyError, DeadlinePassedError.
        """

    @abstractmethod
    async def exif(self, content: bytes) -> Metadata:
        """What the picture itself says of its taking, under the keys of `domain.exif`, by EXIF or else by XMP.

        Nothing is no failure, nor is EXIF that is damaged, nor what is no picture. Raises BusyError.
        """

    @abstractmethod
    async def close(self) -> None:
        """Wait for what is being decoded, drop what waits."""
