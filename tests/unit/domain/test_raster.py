import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from domain.errors import InvalidRegionError
from domain.geometry import BoundingBox
from domain.raster import RasterImage
from tests.builders import box


def a_raster(columns: int, rows: int, *, width: int | None = None, height: int | None = None) -> RasterImage:
    """Each pixel knows its place."""
    y, x = np.mgrid[0:rows, 0:columns]
    pixels = np.stack([x % 256, y % 256, (x // 256 * 16 + y // 256) % 256], axis=-1).astype(np.uint8)
    return RasterImage(pixels=pixels, width=width or columns, height=height or rows)


def test_a_crop_is_the_pixels_inside() -> None:
    raster = a_raster(40, 30)
    crop = raster.crop(box(3, 5, 13, 25))
    assert np.array_equal(crop.pixels, raster.pixels[5:25, 3:13])
    assert (crop.width, crop.height) == (10, 20)
    assert np.shares_memory(crop.pixels, raster.pixels)


def test_a_scaled_down_raster_is_cropped_in_full_picture_pixels() -> None:
    raster = a_raster(40, 30, width=400, height=300)
    crop = raster.crop(box(100, 100, 200, 300))
    assert np.array_equal(crop.pixels, raster.pixels[10:30, 10:20])
    assert (crop.width, crop.height) == (100, 200)


SIDES = st.integers(1, 60)
EDGES = st.floats(-100, 700)


@settings(deadline=None)
@given(st.tuples(SIDES, SIDES), st.integers(1, 9), st.tuples(EDGES, EDGES), st.tuples(EDGES, EDGES))
def test_any_crop_has_at_least_a_pixel_and_none_from_elsewhere(
    size: tuple[int, int], scale: int, xs: tuple[float, float], ys: tuple[float, float]
) -> None:
    columns, rows = size
    raster = a_raster(columns, rows, width=columns * scale, height=rows * scale)
    assume(xs[0] != xs[1] and ys[0] != ys[1])
    region = box(min(xs), min(ys), max(xs), max(ys))
    try:
        inside = region.clipped(raster.width, raster.height)
    except InvalidRegionError:
        with pytest.raises(InvalidRegionError):
            raster.crop(region)
        return
    pixels = raster.crop(region).pixels
    assert min(pixels.shape[:2]) >= 1
    left, top = int(pixels[0, 0, 0]), int(pixels[0, 0, 1])
    assert left <= inside.x_min / scale < left + pixels.shape[1]
    assert top <= inside.y_min / scale < top + pixels.shape[0]
    assert pixels.shape[1] <= inside.width / scale + 2
    assert pixels.shape[0] <= inside.height / scale + 2


def test_a_whole_crop_is_the_raster() -> None:
    raster = a_raster(33, 21, width=330, height=211)
    assert np.array_equal(raster.crop(BoundingBox.whole(330, 211)).pixels, raster.pixels)


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)]
)
def test_a_raster_is_rgb_bytes(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8"):
        RasterImage(pixels=pixels, width=4, height=4)
