"""What pixels tell without a model."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from adapters.decoding.appearance import SIDE
from adapters.decoding.pillow_image_decoder import PillowImageDecoder
from adapters.toolchain.photos import PACKAGED as SAMPLES
from domain.appearance import Appearance, colour_vectors
from domain.geometry import BoundingBox
from tests.decoding import decode
from tests.unit.adapters.decoding.pictures import textured

EXAMPLES = Path(__file__).parents[4] / "examples"
RNG = np.random.default_rng(0)


def as_file(picture: Image.Image, format_: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, format_, **options)
    return file.getvalue()


async def seen(content: bytes, *, sufficient_side: int = 640, region: BoundingBox | None = None) -> Appearance:
    decoder = PillowImageDecoder(threads=1)
    try:
        return (await decode(decoder, content, sufficient_side=sufficient_side, region=region)).appearance
    finally:
        await decoder.close()


async def test_the_same_pixels_have_one_digest_in_any_file() -> None:
    picture = textured(330, 210)
    files = [as_file(picture, kind) for kind in ("PNG", "BMP", "TIFF")]
    files += [as_file(picture, "WEBP", lossless=True, exact=True), as_file(picture, "PNG", compress_level=1)]
    assert len(set(files)) == len(files)
    assert len({(await seen(content)).pixels for content in files}) == 1


async def test_other_pixels_have_another_digest() -> None:
    picture = textured(330, 210)
    changed = picture.copy()
    red, green, blue = picture.getpixel((100, 100))
    changed.putpixel((100, 100), (red ^ 1, green, blue))
    turned = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert len({(await seen(as_file(each))).pixels for each in (picture, changed, turned)}) == 3


async def test_a_scaled_down_picture_is_not_the_smaller_one() -> None:
    large = Image.new("RGB", (400, 400), (200, 10, 10))
    small = Image.new("RGB", (200, 200), (200, 10, 10))
    scaled = await seen(as_file(large, "JPEG"), sufficient_side=200)
    assert scaled.pixels != (await seen(as_file(small, "JPEG"))).pixels


def a_gradient() -> Image.Image:
    across, down = np.meshgrid(np.linspace(0, 200, 300), np.linspace(0, 50, 200))
    return Image.fromarray((across + down).astype(np.uint8)).convert("RGB")


def a_shape(fill: str = "white", ground: str = "navy") -> Image.Image:
    picture = Image.new("RGB", (300, 200), ground)
    ImageDraw.Draw(picture).ellipse((80, 40, 200, 160), fill=fill)
    return picture


def a_sign() -> Image.Image:
    picture = Image.new("RGB", (400, 200), "white")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((20, 20, 180, 180), fill="red")
    draw.polygon([(220, 180), (300, 20), (380, 180)], fill="blue")
    draw.rectangle((60, 60, 140, 140), fill="yellow")
    return picture


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(Image.new("RGB", (1, 1), "white"), id="one pixel"),
        *(pytest.param(Image.new("RGB", (300, 200), colour), id=colour) for colour in ("white", "black", "teal")),
        pytest.param(a_gradient(), id="gradient"),
        pytest.param(a_shape(), id="shape"),
        pytest.param(a_shape("black", "white"), id="disc on white"),
        pytest.param(a_sign(), id="sign"),
        pytest.param(Image.fromarray(RNG.integers(0, 256, (300, 400, 3), dtype=np.uint8)), id="noise"),
        pytest.param(
            Image.fromarray(np.clip(RNG.normal(128, 20, (700, 500)), 0, 255).astype(np.uint8)).convert("RGB"),
            id="grey noise",
        ),
    ],
)
@pytest.mark.parametrize("format_", ["PNG", "JPEG"])
async def test_what_shows_too_little_is_told(picture: Image.Image, format_: str) -> None:
    assert (await seen(as_file(picture, format_, quality=95))).low_detail


@pytest.mark.parametrize(("side", "blur"), [(64, 0.0), (200, 0.7), (400, 1.0), (700, 2.0), (1500, 4.0)])
@pytest.mark.parametrize("quality", [30, 95])
@pytest.mark.parametrize("values", ["uniform", "salt and pepper"])
async def test_noise_stays_noise_when_it_is_saved_or_blurred_a_little(
    side: int, blur: float, quality: int, values: str
) -> None:
    noise = np.random.default_rng(side).random((side, side))
    levels = 255 * (noise if values == "uniform" else noise < 0.3)
    picture = Image.fromarray(levels.astype(np.uint8)).filter(ImageFilter.GaussianBlur(blur)).convert("RGB")
    assert (await seen(as_file(picture, "JPEG", quality=quality), sufficient_side=2000)).low_detail


async def test_photos_show_enough() -> None:
    photos = sorted(EXAMPLES.glob("*/*.jpg"))
    assert len(photos) > 50
    assert not [path.name for path in photos if (await seen(path.read_bytes())).low_detail]


async def test_textures_and_nearly_all_sample_photos_show_enough() -> None:
    photos = [path for path in sorted(SAMPLES.rglob("*.jpg")) if path.parent.name not in {"drawings", "graphics"}]
    assert len(photos) > 200
    plain = [path for path in photos if (await seen(path.read_bytes())).low_detail]
    assert not [path.name for path in plain if path.parent.name == "textures"]
    assert len(plain) <= 3, plain  # a silhouette, a dark blur, one cell


async def test_a_fine_pattern_is_not_noise() -> None:
    """Neighbours are as different as can be, all over."""
    board = np.indices((SIDE, SIDE)).sum(axis=0) % 2
    ramp = np.linspace(0, 90, SIDE)
    pattern = Image.fromarray((ramp + 120 * board).astype(np.uint8)).convert("RGB")
    assert not (await seen(as_file(pattern))).low_detail


async def test_a_region_is_judged_by_itself() -> None:
    picture = textured(400, 200)
    picture.paste((255, 255, 255), (200, 0, 400, 200))
    content = as_file(picture)
    left, right = (BoundingBox(x_min=x, y_min=0, x_max=x + 200, y_max=200) for x in (0, 200))
    there = [await seen(content, region=region) for region in (left, right)]
    assert [each.low_detail for each in there] == [False, True]
    assert there[0].pixels != there[1].pixels


async def test_pictures_of_one_colour_are_alike_in_colour() -> None:
    fills = ("red", "firebrick", "blue", "white")
    red, brick, blue, white = colour_vectors([await seen(as_file(Image.new("RGB", (90, 60), fill))) for fill in fills])
    assert red @ red == pytest.approx(1.0)
    assert red @ brick > 0.5
    assert red @ blue < 0.05
    assert red @ white < 0.05


async def test_colours_do_not_depend_on_size_place_or_file() -> None:
    files = [
        as_file(a_sign()),
        as_file(a_sign().resize((200, 100), Image.Resampling.BOX), "JPEG"),
        as_file(a_sign().transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    ]
    large, small, mirrored = colour_vectors([await seen(content) for content in files])
    assert large @ small > 0.95
    assert large @ mirrored > 0.95


async def test_the_middle_counts_most() -> None:
    middle, edge = Image.new("RGB", (300, 300), "white"), Image.new("RGB", (300, 300), "white")
    middle.paste((255, 0, 0), (100, 100, 200, 200))
    edge.paste((255, 0, 0), (0, 0, 100, 100))
    red, of_middle, of_edge = colour_vectors(
        [await seen(as_file(picture)) for picture in (Image.new("RGB", (9, 9), "red"), middle, edge)]
    )
    assert red @ of_middle > red @ of_edge > 0


def test_no_appearance_has_no_colours() -> None:
    assert not colour_vectors([None]).any()
