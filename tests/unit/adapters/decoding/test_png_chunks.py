"""Checksums of a PNG's chunks, and the form of PNG that only Apple's programs read."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from adapters.decoding import formats
from adapters.decoding.pillow_image_decoder import PillowImageDecoder
from domain.errors import ImageUnreadableError, UnsupportedImageError
from tests.decoding import decode
from tests.unit.adapters.decoding.pictures import (
    RED,
    corners,
    encoded,
    exif,
    png,
    png_chunk,
    swapped_profile,
    textured,
)

SIGNATURE = b"\x89PNG\r\n\x1a\n"

ANCILLARY = {
    b"bKGD": struct.pack(">3H", 255, 0, 0),
    b"cHRM": struct.pack(">8I", *[31270] * 8),
    b"cICP": bytes([9, 16, 0, 1]),
    b"cLLI": bytes(8),
    b"eXIf": exif(6)[6:],
    b"gAMA": struct.pack(">I", 45455),
    b"hIST": bytes(2),
    b"iCCP": b"swapped\0\0" + zlib.compress(swapped_profile()),
    b"iTXt": b"Title\0\0\0\0\0a picture",
    b"mDCV": bytes(24),
    b"oFFs": bytes(9),
    b"pCAL": b"scale\0" + bytes(10),
    b"pHYs": struct.pack(">IIB", 2835, 2835, 1),
    b"sBIT": bytes([8, 8, 8]),
    b"sCAL": b"\x011.0\x001.0",
    b"sPLT": b"palette\0\x08",
    b"sRGB": b"\0",
    b"sTER": b"\0",
    b"tEXt": b"Comment\0a picture",
    b"tIME": bytes([7, 230, 1, 1, 0, 0, 0]),
    b"tRNS": struct.pack(">3H", *RED),
    b"zTXt": b"Comment\0\0" + zlib.compress(b"a picture"),
    b"acTL": struct.pack(">II", 2, 0),
    b"fcTL": struct.pack(">IIIIIHHBB", 0, 48, 32, 0, 0, 1, 10, 0, 0),
    b"fdAT": struct.pack(">I", 1) + b"no pixels",
    b"prVt": b"a private one",
}
"""Each that the third edition of the standard and its register of extensions name, and one that they don't."""


@pytest.fixture
def decoder() -> PillowImageDecoder:
    return PillowImageDecoder(threads=1)


def wrong(chunk: bytes) -> bytes:
    """The chunk with a checksum that is off by a bit."""
    return chunk[:-1] + bytes([chunk[-1] ^ 1])


def chunks_of(content: bytes) -> list[bytes]:
    chunks, at = [], len(SIGNATURE)
    while at < len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        chunks.append(content[at:end])
        at = end
    return chunks


@pytest.mark.parametrize("place", ["before the pixels", "after the pixels"])
@pytest.mark.parametrize("name", ANCILLARY, ids=bytes.decode)
async def test_a_wrong_checksum_of_what_is_not_needed_is_passed_over(
    decoder: PillowImageDecoder, name: bytes, place: str
) -> None:
    """The chunk counts for nothing: it turns, recolours and uncovers nothing."""
    header, *pixels, end = chunks_of(encoded(Image.fromarray(corners()), "PNG"))
    damaged = wrong(png_chunk(name, ANCILLARY[name]))
    chunks = [header, damaged, *pixels, end] if place == "before the pixels" else [header, *pixels, damaged, end]
    found = (await decode(decoder, SIGNATURE + b"".join(chunks), sufficient_side=1)).raster
    np.testing.assert_array_equal(found.pixels, corners())


async def test_the_sound_ones_beside_it_count(decoder: PillowImageDecoder) -> None:
    extra = wrong(png_chunk(b"tEXt", ANCILLARY[b"tEXt"])) + png_chunk(b"tRNS", ANCILLARY[b"tRNS"])
    content = png((1, 1), depth=8, colour_type=2, rows=b"\0" + bytes(RED), extra=extra)
    assert (await decode(decoder, content, sufficient_side=1)).raster.pixels.tolist() == [[[255, 255, 255]]]


def pixels_and_palette() -> bytes:
    image = Image.fromarray(corners()).quantize(4)
    return encoded(image, "PNG")


@pytest.mark.parametrize("content", [encoded(textured(), "PNG"), pixels_and_palette()], ids=["colours", "palette"])
async def test_a_wrong_checksum_of_what_is_needed_is_damage(decoder: PillowImageDecoder, content: bytes) -> None:
    chunks = chunks_of(content)
    assert {chunk[4:8] for chunk in chunks} <= {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
    for place, chunk in enumerate(chunks):
        damaged = SIGNATURE + b"".join([*chunks[:place], wrong(chunk), *chunks[place + 1 :]])
        with pytest.raises(ImageUnreadableError, match=f"checksum.*{chunk[4:8].decode()}.*Send the undamaged"):
            await decode(decoder, damaged, sufficient_side=1)


@pytest.mark.parametrize("in_animation", [True, False])
async def test_of_an_animation_with_damage_the_first_picture_is_shown(
    decoder: PillowImageDecoder, in_animation: bool
) -> None:
    frames = [Image.fromarray(corners()[::-1]), textured(48, 32)]
    content = encoded(
        Image.fromarray(corners()), "PNG", save_all=True, append_images=frames, default_image=not in_animation
    )
    chunks = chunks_of(content)
    parts = [place for place, chunk in enumerate(chunks) if chunk[4:8] in {b"acTL", b"fcTL", b"fdAT"}]
    assert len(parts) >= 5
    for place in parts:
        damaged = SIGNATURE + b"".join([*chunks[:place], wrong(chunks[place]), *chunks[place + 1 :]])
        np.testing.assert_array_equal((await decode(decoder, damaged, sufficient_side=1)).raster.pixels, corners())


def test_a_sound_one_is_not_copied() -> None:
    content = encoded(textured(), "PNG", save_all=True, append_images=[textured().rotate(90)])
    given, is_whole = formats.prepared(formats.ImageFormat.PNG, content)
    assert given is content
    assert is_whole


@pytest.mark.parametrize("data", [b"P\0 \2", b"P\0 \6", b""], ids=repr)
async def test_apples_own_form_is_refused_by_its_name(decoder: PillowImageDecoder, data: bytes) -> None:
    """Its colours are in another order, premultiplied, and its pixels are no zlib stream."""
    header, *_ = chunks_of(encoded(textured(), "PNG"))
    bare = zlib.compress(bytes(4 * 96 * 64))[2:-4]
    content = SIGNATURE + png_chunk(b"CgBI", data) + header + png_chunk(b"IDAT", bare) + png_chunk(b"IEND", b"")
    with pytest.raises(UnsupportedImageError, match=r"Apple.*CgBI.*pngcrush") as refusal:
        await decode(decoder, content, sufficient_side=1)
    assert refusal.value.code == "unsupported_image_format"
