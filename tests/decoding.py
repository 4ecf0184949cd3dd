"""Decoded pictures for tests that hold only a few."""

from domain.geometry import BoundingBox
from domain.ports.image_decoder import DecodedImage, ImageDecoder


async def decode(
    decoder: ImageDecoder, content: bytes, *, sufficient_side: int, region: BoundingBox | None = None
) -> DecodedImage:
    """The picture, to be looked at when it counts no longer."""
    async with decoder.decoded(content, sufficient_side=sufficient_side, region=region) as picture:
        return picture
