import io

import numpy as np
import pytest
from PIL import Image

from adapters.decoding.pillow_thumbnail_renderer import PillowThumbnailRenderer
from domain.raster import RasterImage
from tests.unit.adapters.decoding.pictures import BLUE, GREEN, RED, WHITE, corners


def raster(width: int, height: int) -> RasterImage:
    return RasterImage(pixels=corners(width, height), width=width, height=height)


async def rendered(image: RasterImage, side: int = 384) -> Image.Image:
    picture = Image.open(io.BytesIO(await PillowThumbnailRenderer(threads=1).render(image, side)))
    assert picture.format == "JPEG"
    return picture


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1600, 1200), (384, 288)),
        ((1200, 1600), (288, 384)),
        ((385, 385), (384, 384)),
        ((384, 100), (384, 100)),
        ((40, 30), (40, 30)),
        ((1, 1), (1, 1)),
        ((20_000, 2), (384, 1)),
        ((1, 20_000), (1, 384)),
    ],
    ids=str,
)
async def test_keeps_the_aspect_ratio_and_never_enlarges(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert (await rendered(raster(*size))).size == expected


async def test_longest_side_is_a_choice() -> None:
    assert (await rendered(raster(800, 600), side=100)).size == (100, 75)


async def test_quality_is_a_choice() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    image = RasterImage(pixels=noise, width=64, height=64)
    coarse = await PillowThumbnailRenderer(threads=1, quality=20).render(image, 384)
    fine = await PillowThumbnailRenderer(threads=1, quality=95).render(image, 384)
    assert len(coarse) < len(fine)


async def test_shows_the_picture() -> None:
    pixels = np.asarray(await rendered(raster(1600, 1200)), dtype=int)
    for (row, column), colour in {(50, 50): RED, (50, 330): GREEN, (230, 50): BLUE, (230, 330): WHITE}.items():
        assert np.abs(pixels[row, column] - colour).max() <= 6


async def test_renders_a_view_that_is_not_contiguous() -> None:
    view = corners(200, 100)[10:90, 20:180]
    assert (await rendered(RasterImage(pixels=view, width=160, height=80))).size == (160, 80)
