"""Freely licensed photos that scikit-image carries, and what people see in them.

astronaut: NASA, public domain. chelsea (a cat): Stefan van der Walt, CC0. coffee: Rachel Michetti, CC0.
motorcycle: Middlebury 2014 stereo benchmark, used from the library only.
"""

from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from domain.raster import RasterImage
from tests.builders import box

DIRECTORY = Path(skimage.data.__file__).parent


def photo(name: str) -> RasterImage:
    return raster(picture(name))


def picture(name: str) -> Image.Image:
    (path,) = DIRECTORY.glob(f"{name}.*")
    with Image.open(path) as opened:
        return opened.convert("RGB")


def raster(image: Image.Image, *, width: int | None = None, height: int | None = None) -> RasterImage:
    pixels = np.asarray(image)
    return RasterImage(pixels=pixels, width=width or image.width, height=height or image.height)


SEEN = {
    "astronaut": ("person", box(20, 5, 370, 512)),
    "chelsea": ("cat", box(0, 5, 420, 300)),
    "coffee": ("cup", box(165, 15, 415, 250)),
    "motorcycle_left": ("motorcycle", box(95, 65, 690, 455)),
}
"""By photo: a label, and a box as drawn by hand."""
