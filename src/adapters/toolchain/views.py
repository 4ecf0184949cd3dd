"""Other views of a picture, as people make them: what an embedding should not change by."""

import io

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from domain.raster import RasterImage

WHITE = (255, 255, 255)

LEAST_AREA = 0.45
"""Of the picture, that a crop keeps."""

MOST_STRETCH = 1.25
"""By how much a crop may be wider or narrower than the picture, relatively."""

MOST_DEGREES = 25.0
LEAST_ENHANCEMENT, MOST_ENHANCEMENT = 0.6, 1.5
MOST_BORDER = 0.25
"""Of the picture's side, on each of its sides."""

SMALL_SIDES = (96, 256)
JPEG_QUALITIES = (20, 80)


def view_of(raster: RasterImage, random: np.random.Generator) -> RasterImage:
    """The picture cropped and mirrored, turned, bordered, of other light and colours, shrunk: some of it, by chance."""
    picture = _cropped(Image.fromarray(raster.pixels), random)
    if random.random() < 0.5:
        picture = ImageOps.mirror(picture)
    red, green, blue = (int(value) for value in random.integers(0, 256, 3))
    ground = (red, green, blue) if random.random() < 0.5 else WHITE
    if random.random() < 0.5:
        degrees = random.uniform(-MOST_DEGREES, MOST_DEGREES)
        picture = picture.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=ground)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhance(picture).enhance(random.uniform(LEAST_ENHANCEMENT, MOST_ENHANCEMENT))
    if random.random() < 0.4:
        left, top, right, bottom = (
            int(share) for share in random.uniform(0, MOST_BORDER, 4) * np.tile(picture.size, 2)
        )
        picture = ImageOps.expand(picture, (left, top, right, bottom), fill=ground)
    if random.random() < 0.5:
        picture = _shrunk(picture, random)
    return RasterImage(pixels=np.asarray(picture), width=picture.width, height=picture.height)


def _cropped(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    area = random.uniform(LEAST_AREA, 1.0)
    stretch = MOST_STRETCH ** random.uniform(-1.0, 1.0)
    width = max(1, int(picture.width * min(1.0, np.sqrt(area * stretch))))
    height = max(1, int(picture.height * min(1.0, np.sqrt(area / stretch))))
    left, top = random.integers(0, picture.width - width + 1), random.integers(0, picture.height - height + 1)
    return picture.crop((int(left), int(top), int(left) + width, int(top) + height))


def _shrunk(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    side = int(random.integers(*SMALL_SIDES, endpoint=True))
    small = picture.copy()
    small.thumbnail((side, side))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=int(random.integers(*JPEG_QUALITIES, endpoint=True)))
    return Image.open(file).convert("RGB")
