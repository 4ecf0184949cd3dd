"""Twins: the same picture in another file, as it comes back from other people's hands."""

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from random import Random

from PIL import Image, ImageOps

from lookalike_client.commands.drawing import PAPER, decoded

LONGEST = 1024
"""Pixels of a twin's longer side at most: more than models look at."""
SMALL = 128
QUALITY, POOR_QUALITY = 90, 30
"""Of JPEG."""
KEPT = 0.8
"""Of each side, of what is cropped."""
BORDER = 0.1
"""Of the longer side, on each side."""
DEGREES = 10


def _crop(picture: Image.Image, chance: Random) -> Image.Image:
    width, height = max(1, round(picture.width * KEPT)), max(1, round(picture.height * KEPT))
    left, top = chance.randint(0, picture.width - width), chance.randint(0, picture.height - height)
    return picture.crop((left, top, left + width, top + height))


def _mirror(picture: Image.Image, _: Random) -> Image.Image:
    return ImageOps.mirror(picture)


def _jpeg(picture: Image.Image, _: Random) -> Image.Image:
    small = picture.copy()
    small.thumbnail((SMALL, SMALL))
    return small


def _border(picture: Image.Image, _: Random) -> Image.Image:
    return ImageOps.expand(picture, border=max(1, round(max(picture.size) * BORDER)), fill=(0, 0, 0))


def _turn(picture: Image.Image, chance: Random) -> Image.Image:
    degrees = chance.choice((-DEGREES, DEGREES))
    return picture.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=PAPER)


TWINS: Mapping[str, Callable[[Image.Image, Random], Image.Image]] = {
    "crop": _crop,
    "mirror": _mirror,
    "jpeg": _jpeg,
    "border": _border,
    "turn": _turn,
}
"""A fifth off each side; left for right; 128 pixels at quality 30; a black frame of a tenth; 10 degrees on white."""


def make_twins(content: bytes, kinds: Sequence[str], seed: str) -> list[bytes]:
    """JPEG files, one for each kind; the same for the same seed. Raises PictureFileError."""
    picture = decoded(content, LONGEST)
    picture.thumbnail((LONGEST, LONGEST))
    twins = []
    for kind in kinds:
        file = BytesIO()
        twin = TWINS[kind](picture, Random(f"{seed} {kind}"))  # noqa: S311
        twin.save(file, "JPEG", quality=POOR_QUALITY if kind == "jpeg" else QUALITY)
        twins.append(file.getvalue())
    return twins
