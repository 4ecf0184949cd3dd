from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from adapters.encoders.preprocessing import WHITE, Pixels, Preprocessing
from domain.errors import ModelError
from domain.geometry import BoundingBox
from domain.raster import RasterImage

LETTERBOX = Preprocessing(
    size=32, fit="letterbox", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), interpolation="bicubic", pooling="gem"
)
CROP = replace(LETTERBOX, fit="crop", crop=0.5)


def raster(pixels: Any) -> RasterImage:
    return RasterImage(pixels=pixels, width=pixels.shape[1], height=pixels.shape[0])


def flat(width: int, height: int, value: int = 10) -> RasterImage:
    return raster(np.full((height, width, 3), value, dtype=np.uint8))


def prepared(preprocessing: Preprocessing, image: RasterImage) -> Pixels:
    (pixels,) = preprocessing.prepared([image])
    return pixels


@pytest.mark.parametrize(
    ("width", "height", "rows", "columns"),
    [
        (64, 32, slice(8, 24), slice(0, 32)),
        (32, 64, slice(0, 32), slice(8, 24)),
        (4, 2, slice(8, 24), slice(0, 32)),
        (10_000, 1, slice(15, 16), slice(0, 32)),
        (1, 10_000, slice(0, 32), slice(15, 16)),
        (7, 7, slice(0, 32), slice(0, 32)),
        (1, 1, slice(0, 32), slice(0, 32)),
    ],
)
def test_letterbox_shows_the_whole_picture_centred_on_white(
    width: int, height: int, rows: slice, columns: slice
) -> None:
    expected = np.full((32, 32, 3), WHITE, dtype=np.uint8)
    expected[rows, columns] = 10
    np.testing.assert_array_equal(prepared(LETTERBOX, flat(width, height)), expected)


def test_channels_rows_and_columns_keep_their_places() -> None:
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[:, :, 0] = np.arange(32)[:, np.newaxis] * 8
    pixels[:, :, 1] = np.arange(32) * 8
    np.testing.assert_array_equal(prepared(LETTERBOX, raster(pixels)), pixels)


def test_crop_keeps_the_centre_of_the_shorter_side() -> None:
    pixels = np.full((100, 200, 3), 200, dtype=np.uint8)
    pixels[20:80, 70:130] = 50  # more than the central 50 x 50, so that interpolation meets no edge
    assert (prepared(CROP, raster(pixels)) == 50).all()
    wider = prepared(replace(CROP, crop=1.0), raster(pixels))
    assert (wider[0] == 200).all()
    assert (wider[16, 16] == 50).all()


def test_squash_uses_the_whole_picture_whatever_its_shape() -> None:
    pixels = np.full((10, 100, 3), 40, dtype=np.uint8)
    pixels[:, 50:] = 200
    squashed = prepared(replace(CROP, fit="squash", crop=1.0), raster(pixels))
    assert (squashed[:, :14] == 40).all()
    assert (squashed[:, 18:] == 200).all()


@pytest.mark.parametrize("fit", ["letterbox", "crop", "squash"])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 30_000), (30_000, 1), (2, 3)])
def test_extreme_shapes_fit(fit: Any, width: int, height: int) -> None:
    assert (prepared(replace(CROP, fit=fit), flat(width, height)) != 0).all()


def test_a_region_of_a_raster_is_prepared_like_a_copy_of_it() -> None:
    whole = raster(np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8))
    region = whole.crop(BoundingBox(x_min=11, y_min=20, x_max=51, y_max=60))
    assert not region.pixels.flags.c_contiguous
    np.testing.assert_array_equal(prepared(LETTERBOX, region), prepared(LETTERBOX, raster(region.pixels.copy())))


def test_a_batch_keeps_the_order() -> None:
    pixels = LETTERBOX.prepared([flat(5, 5, value) for value in (1, 2, 3)])
    assert pixels.shape == (3, 32, 32, 3)
    assert pixels[:, 16, 16, 0].tolist() == [1, 2, 3]
    assert LETTERBOX.prepared([]).shape == (0, 32, 32, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"size": 33},
        {"fit": "squash"},
        {"crop": 0.6},
        {"interpolation": "bilinear"},
        {"mean": (0.5, 0.5, 0.4)},
        {"std": (0.5, 0.5, 0.4)},
        {"pooling": "model"},
    ],
)
def test_whatever_changes_embeddings_changes_the_line(change: dict[str, Any]) -> None:
    assert str(replace(CROP, **change)) != str(CROP)
    assert "\n" not in str(CROP)


def test_the_mapping_reads_back() -> None:
    assert Preprocessing.from_mapping(CROP.as_mapping()) == CROP


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fit": "stretch"}, "no fit 'stretch'; it has letterbox"),
        ({"interpolation": "random"}, "no interpolation 'random'"),
        ({"pooling": "max"}, "no pooling 'max'"),
        ({"size": 0}, "size >= 1"),
        ({"crop": 1.5}, "crop in"),
    ],
)
def test_what_it_cannot_do_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        replace(CROP, **change)
