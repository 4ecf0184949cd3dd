"""Camera RAW files, put together from the descriptions of their formats, are refused by their names."""

import random

import pytest

from adapters.decoding.pillow_image_decoder import PillowImageDecoder
from domain.errors import CameraRawError, ImageError, UnsupportedImageError
from tests.decoding import decode
from tests.unit.adapters.decoding.tiffs import (
    BYTE,
    CFA,
    COMPRESSION,
    DNG_PRIVATE_DATA,
    DNG_VERSION,
    LINEAR_RAW,
    LONG,
    PHOTOMETRY,
    SHORT,
    SUBFILE_TYPE,
    Tags,
    make,
    page,
    reduced,
    tiff_of,
)

A_DNG: Tags = {DNG_VERSION: (BYTE, bytes([1, 4, 0, 0]))}


def sensor(*, photometry: int = CFA, compression: int = 1) -> Tags:
    """The tags of a picture as a sensor saw it."""
    return {
        SUBFILE_TYPE: (LONG, [0]),
        PHOTOMETRY: (SHORT, [photometry]),
        COMPRESSION: (SHORT, [compression]),
    }


def with_sensor_below(maker: str, *, order: str = "<", compression: int = 1) -> bytes:
    """As nearly all write it: a thumbnail whose children are a preview and what the sensor saw."""
    children = (reduced(90), page(0, more=sensor(compression=compression)))
    return tiff_of(reduced(80, more=make(maker), children=children), order=order)


def canon_cr2() -> bytes:
    pages = [page(80, more=make("Canon")), reduced(80), page(90), page(0, more={COMPRESSION: (SHORT, [6])})]
    return tiff_of(*pages, beginning=b"CR\x02\0" + bytes(4))


NAMED = {
    "Adobe DNG": tiff_of(reduced(80, more=A_DNG, children=[page(0, more=sensor(), side=16)])),
    "Adobe DNG, of a preview alone": tiff_of(page(80, more=A_DNG)),
    "Adobe DNG, big endian, of a telephone": tiff_of(
        reduced(80, more={**A_DNG, **make("Apple")}, children=[page(0, more=sensor(photometry=LINEAR_RAW))]), order=">"
    ),
    "Adobe DNG, BigTIFF": tiff_of(reduced(80, more=A_DNG, children=[page(0, more=sensor())]), big=True),
    "Nikon NEF": with_sensor_below("NIKON CORPORATION", compression=34713),
    "Nikon NEF, big endian": with_sensor_below("NIKON CORPORATION", order=">"),
    "Canon CR2": canon_cr2(),
    "Sony ARW": with_sensor_below("SONY", compression=32767),
    "Sony ARW, whose sensor data are no directory": tiff_of(
        reduced(80, more={**make("SONY"), DNG_PRIVATE_DATA: (BYTE, bytes(4)), 330: (LONG, [20])})
    ),
    "Pentax PEF": tiff_of(page(0, more={**sensor(compression=65535), **make("PENTAX Corporation")}), reduced(80)),
    "Samsung SRW": with_sensor_below("SAMSUNG", compression=32770),
    "Hasselblad 3FR": with_sensor_below("Hasselblad", order=">"),
    "Epson ERF": with_sensor_below("SEIKO EPSON CORP.", order=">", compression=32769),
    "Kodak DCR": with_sensor_below("EASTMAN KODAK COMPANY", order=">", compression=65000),
    "Mamiya MEF": with_sensor_below("Mamiya-OP Co.,Ltd.", order=">"),
    "Phase One IIQ": tiff_of(page(80, more=make("Phase One A/S")), beginning=b"IIIITwaR"),
    "Phase One IIQ, big endian": tiff_of(page(80), order=">", beginning=b"MMMMRawT"),
    "of the TIFF family": with_sensor_below("Lumière & Fils"),
    "of the TIFF family, in a later page": tiff_of(reduced(80), reduced(90), page(0, more=sensor())),
    "of the TIFF family, in a child of a child": tiff_of(
        reduced(80, children=[reduced(90, children=[page(0, more=sensor())])])
    ),
    "Olympus ORF": b"IIRO" + tiff_of(page(80))[4:],
    "Olympus ORF, older": b"IIRS" + tiff_of(page(80))[4:],
    "Olympus ORF, big endian": b"MMOR" + tiff_of(page(80), order=">")[4:],
    "Panasonic RW2": b"IIU\0" + tiff_of(page(80))[4:],
    "Canon CR3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(64),
    "Canon CRW": b"II\x1a\0\0\0HEAPCCDR" + bytes(64),
    "Fujifilm RAF": b"FUJIFILMCCD-RAW 0201FF129502X-T3" + bytes(64),
    "Minolta MRW": b"\0MRM\0\0\x10\0" + bytes(64),
    "Sigma X3F": b"FOVb\0\0\2\0" + bytes(64),
}


@pytest.fixture
def decoder() -> PillowImageDecoder:
    return PillowImageDecoder(threads=1)


@pytest.mark.parametrize("name", NAMED)
async def test_is_refused_by_its_name(decoder: PillowImageDecoder, name: str) -> None:
    expected = name.split(",", maxsplit=1)[0]
    with pytest.raises(CameraRawError, match=rf"camera RAW file \({expected}\).*JPEG or TIFF") as refusal:
        await decode(decoder, NAMED[name], sufficient_side=8)
    assert isinstance(refusal.value, UnsupportedImageError)
    assert refusal.value.code == "camera_raw"


@pytest.mark.parametrize("maker", ["NIKON CORPORATION", "SONY", "Canon", "Phase One A/S"])
async def test_what_a_camera_developed_is_a_picture(decoder: PillowImageDecoder, maker: str) -> None:
    found = await decode(decoder, tiff_of(page(80, more=make(maker)), reduced(90)), sufficient_side=8)
    assert (found.media_type, int(found.raster.pixels[0, 0, 0])) == ("image/tiff", 80)


async def test_pixels_that_read_like_a_signature_are_none(decoder: PillowImageDecoder) -> None:
    """Many programs write the pixels right behind the header."""
    found = await decode(decoder, tiff_of(page(80), beginning=b"CR\x02\0" + bytes(8)), sufficient_side=8)
    assert int(found.raster.pixels[0, 0, 0]) == 80


@pytest.mark.parametrize("name", NAMED)
async def test_no_preview_is_shown_of_what_is_cut_off(decoder: PillowImageDecoder, name: str) -> None:
    content = NAMED[name]
    whole = b"DNG" in name.encode() and "alone" in name
    for cut in range(8, len(content), 7):
        try:
            found = await decode(decoder, content[:cut], sufficient_side=8)
        except ImageError:
            continue
        assert whole or found.raster.pixels.max() == 0, f"a preview is shown of the first {cut} bytes"


@pytest.mark.parametrize("name", NAMED)
async def test_damage_is_an_image_error_or_no_matter(decoder: PillowImageDecoder, name: str) -> None:
    chance, sound = random.Random(name), NAMED[name]
    for _ in range(300):
        damaged = bytearray(sound)
        for _ in range(chance.randrange(1, 5)):
            damaged[chance.randrange(min(len(damaged), 400))] = chance.choice(
                (0, 1, 4, 8, 127, 255, chance.randrange(256))
            )
        try:
            found = await decode(decoder, bytes(damaged), sufficient_side=8)
        except ImageError:
            continue
        assert found.raster.pixels.size > 0
