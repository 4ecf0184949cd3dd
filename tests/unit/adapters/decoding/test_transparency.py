"""What transparent pictures are shown on: white, or mid-grey where they would vanish on white."""

import struct
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from adapters.decoding.pillow_image_decoder import PillowImageDecoder
from adapters.decoding.pillow_thumbnail_renderer import PillowThumbnailRenderer
from domain.raster import RasterImage
from tests.decoding import decode
from tests.unit.adapters.decoding.pictures import encoded, linear_grey_profile, png, png_chunk

SIDE = 200
GREY, WHITE = 128, 255


def disc() -> Image.Image:
    """Mode L: how opaque each pixel is, smooth at the edge."""
    mask = Image.new("L", (4 * SIDE, 4 * SIDE))
    ImageDraw.Draw(mask).ellipse((160, 160, 640, 640), fill=255)
    return mask.resize((SIDE, SIDE), Image.Resampling.BOX)


def cross() -> Image.Image:
    mask = Image.new("L", (4 * SIDE, 4 * SIDE))
    ImageDraw.Draw(mask).rectangle((340, 160, 460, 640), fill=255)
    ImageDraw.Draw(mask).rectangle((160, 340, 640, 460), fill=255)
    return mask.resize((SIDE, SIDE), Image.Resampling.BOX)


def shape(alpha: Image.Image, level: int = 255) -> Image.Image:
    image = Image.new("RGBA", alpha.size, (level, level, level, 0))
    image.putalpha(alpha)
    return image


def with_key(image: Image.Image) -> bytes:
    """A PNG without an alpha channel, in which black is transparent."""
    opaque = np.asarray(image.getchannel("A")) > 127
    rows = np.where(opaque, np.asarray(image.convert("L")), 0).astype(np.uint8)
    body = b"".join(b"\0" + row.tobytes() for row in rows)
    return png(image.size, depth=8, colour_type=0, rows=body, extra=png_chunk(b"tRNS", b"\0\0"))


def with_palette(image: Image.Image, kind: str) -> bytes:
    opaque = np.asarray(image.getchannel("A")) > 127
    indexed = Image.fromarray(opaque.astype(np.uint8), "P")
    indexed.putpalette([0, 0, 0, *[image.convert("L").getpixel((SIDE // 2, SIDE // 2))] * 3])  # type: ignore[list-item]
    return encoded(indexed, kind, transparency=0)


WRITERS: dict[str, Callable[[Image.Image], bytes]] = {
    "PNG": lambda image: encoded(image, "PNG"),
    "grey PNG": lambda image: encoded(image.convert("LA"), "PNG"),
    "PNG with a transparent colour": with_key,
    "PNG with a palette": lambda image: with_palette(image, "PNG"),
    "GIF": lambda image: with_palette(image, "GIF"),
    "WebP": lambda image: encoded(image, "WEBP", quality=80),
    "lossless WebP": lambda image: encoded(image, "WEBP", lossless=True),
    "AVIF": lambda image: encoded(image, "AVIF", quality=70, speed=10),
    "TIFF": lambda image: encoded(image, "TIFF"),
}


async def decoded(content: bytes) -> RasterImage:
    return (await decode(PillowImageDecoder(threads=1), content, sufficient_side=10**6)).raster


async def background(image: Image.Image) -> int:
    """The level of what the picture's corner, which is transparent, is shown on."""
    corner = (await decoded(encoded(image, "PNG"))).pixels[0, 0]
    assert len(set(corner.tolist())) == 1
    return int(corner[0])


def contrast(pixels: NDArray[np.uint8]) -> int:
    return int(np.ptp(pixels.astype(int)))


@pytest.mark.parametrize("level", [255, 250, 240])
@pytest.mark.parametrize("name", WRITERS)
async def test_what_is_nearly_white_is_seen(name: str, level: int) -> None:
    one, other = [await decoded(WRITERS[name](shape(alpha, level))) for alpha in (disc(), cross())]
    for found in (one, other):
        assert contrast(found.pixels) > 90
        assert found.pixels[0, 0] == pytest.approx(GREY, abs=2)
    assert np.mean(np.abs(one.pixels.astype(int) - other.pixels)) > 10, "these are two pictures"
    thumbnails = PillowThumbnailRenderer(threads=1)
    small = await decoded(await thumbnails.render(one, 64))
    assert contrast(small.pixels) > 90, "a thumbnail that shows nothing"


def coloured(colour: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGBA", (SIDE, SIDE), (*colour, 0))
    image.putalpha(disc())
    return image


def outlined() -> Image.Image:
    image = shape(disc())
    ImageDraw.Draw(image).ellipse((40, 40, 160, 160), outline=(20, 20, 20, 255), width=4)
    return image


def shadowed() -> Image.Image:
    shadow = Image.new("RGBA", (SIDE, SIDE))
    shadow.putalpha(disc().filter(ImageFilter.GaussianBlur(8)).point([level // 2 for level in range(256)]))
    return Image.alpha_composite(shadow, shape(disc().resize((SIDE - 20, SIDE - 20)).crop((0, 0, SIDE, SIDE))))


def shaded() -> Image.Image:
    """A white cup: mostly white, and darker to one side."""
    levels = np.tile(np.linspace(255, 170, SIDE).astype(np.uint8), (SIDE, 1))
    image = Image.fromarray(np.stack([levels] * 3, axis=-1)).convert("RGBA")
    image.putalpha(disc())
    return image


def window() -> Image.Image:
    """A screenshot: white with dark text, of which only the corners are transparent."""
    image = Image.new("RGBA", (SIDE, SIDE), (255, 255, 255, 255))
    for top in range(20, 180, 12):
        ImageDraw.Draw(image).rectangle((20, top, 170, top + 1), fill=(0, 0, 0, 255))
    corners = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(corners).rounded_rectangle((0, 0, SIDE - 1, SIDE - 1), radius=12, fill=255)
    image.putalpha(corners)
    return image


SEEN_ON_WHITE: dict[str, Callable[[], Image.Image]] = {
    "black": lambda: coloured((0, 0, 0)),
    "red": lambda: coloured((255, 0, 0)),
    "yellow": lambda: coloured((255, 255, 0)),
    "light grey": lambda: coloured((225, 225, 225)),
    "cream": lambda: coloured((255, 250, 220)),
    "half-transparent black": lambda: shape(disc().point([level // 2 for level in range(256)]), 0),
    "white with a dark edge": outlined,
    "white with a shadow": shadowed,
    "white with shades": shaded,
    "a window with text": window,
    "nothing at all": lambda: Image.new("RGBA", (SIDE, SIDE), (255, 255, 255, 0)),
}


@pytest.mark.parametrize("name", SEEN_ON_WHITE)
async def test_what_is_seen_on_white_stays_there(name: str) -> None:
    assert await background(SEEN_ON_WHITE[name]()) == WHITE


def faint() -> Image.Image:
    return shape(disc().point([level // 4 for level in range(256)]))


def speck() -> Image.Image:
    """A white disc with a dark spot, which alone would be seen on white."""
    image = shape(disc())
    ImageDraw.Draw(image).rectangle((98, 98, 104, 104), fill=(0, 0, 0, 255))
    return image


def hidden_colours() -> Image.Image:
    """As programs leave them: what is transparent is black, and has no weight."""
    pixels = np.asarray(shape(disc())).copy()
    pixels[pixels[..., 3] == 0] = 0
    return Image.fromarray(pixels)


def soft() -> Image.Image:
    return shape(disc().filter(ImageFilter.GaussianBlur(12)))


def large() -> Image.Image:
    """A thin cross, of which a few rows and columns are looked at."""
    image = Image.new("RGBA", (3000, 2000), (0, 0, 0, 0))
    ImageDraw.Draw(image).line((100, 100, 2900, 1900), fill=(255, 255, 255, 255), width=8)
    return image


VANISHES: dict[str, Callable[[], Image.Image]] = {
    "faint white": faint,
    "white with a speck": speck,
    "white over hidden black": hidden_colours,
    "soft white": soft,
    "large and thin": large,
    "one pixel": lambda: shape(Image.fromarray(np.eye(1, 9, 4, dtype=np.uint8) * 255)),
    "a bluish white": lambda: coloured((243, 246, 255)),
}


@pytest.mark.parametrize("name", VANISHES)
async def test_what_would_vanish_on_white_is_shown_on_grey(name: str) -> None:
    assert await background(VANISHES[name]()) == GREY


async def test_colours_are_looked_at_after_their_profile() -> None:
    dark = encoded(shape(disc(), 200).convert("LA"), "PNG", icc_profile=linear_grey_profile())
    assert (await decoded(dark)).pixels[0, 0].tolist() == [WHITE] * 3
    # Linear 223/255 is 240 of 255 in sRGB.
    light = encoded(shape(disc(), 223).convert("LA"), "PNG", icc_profile=linear_grey_profile())
    assert (await decoded(light)).pixels[0, 0].tolist() == [GREY] * 3


@pytest.mark.parametrize(("colour", "expected"), [(b"\xff\xff\xff", GREY), (b"\xff\0\0", WHITE)])
async def test_a_frame_that_covers_a_part_of_its_canvas(colour: bytes, expected: int) -> None:
    frame = b"," + struct.pack("<4HB", 2, 1, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    content = b"GIF89a" + struct.pack("<HHBBB", 4, 3, 0x80, 0, 0) + colour + b"\0\0\xff" + frame + b";"
    found = (await decoded(content)).pixels
    assert found[1, 2].tolist() == list(colour)
    assert (np.delete(found.reshape(-1, 3), 6, axis=0) == expected).all()
