"""What EXIF and XMP of each format say, and that damaged ones say nothing."""

import io
import random
from typing import Any

import pillow_heif
import pytest
from PIL import ExifTags, Image

from adapters.decoding.picture_reader import HeaderLimits, PictureReader
from adapters.decoding.pillow_image_decoder import PillowImageDecoder
from domain.metadata import checked_metadata, parsed_time

pillow_heif.register_heif_opener()

EVERYTHING = {
    "exif_taken": "2019-07-14T12:33:10+02:00",
    "exif_camera": "Canon EOS 5D",
    "exif_lens": "EF50mm f/1.8",
    "exif_latitude": 48.208333,
    "exif_longitude": -16.373056,
}


def an_exif(**changes: Any) -> Image.Exif:
    values: dict[str, Any] = {
        "make": "Canon",
        "model": "Canon EOS 5D",
        "taken": "2019:07:14 12:33:10",
        "offset": "+02:00",
        "lens": "EF50mm f/1.8",
        "latitude": (48.0, 12.0, 30.0),
        "north": "N",
        "longitude": (16.0, 22.0, 23.0),
        "east": "W",
    } | changes
    exif = Image.Exif()
    details, place = exif.get_ifd(ExifTags.IFD.Exif), exif.get_ifd(ExifTags.IFD.GPSInfo)
    tags = {
        "make": (exif, ExifTags.Base.Make),
        "model": (exif, ExifTags.Base.Model),
        "taken": (details, ExifTags.Base.DateTimeOriginal),
        "offset": (details, ExifTags.Base.OffsetTimeOriginal),
        "lens": (details, ExifTags.Base.LensModel),
        "latitude": (place, ExifTags.GPS.GPSLatitude),
        "north": (place, ExifTags.GPS.GPSLatitudeRef),
        "longitude": (place, ExifTags.GPS.GPSLongitude),
        "east": (place, ExifTags.GPS.GPSLongitudeRef),
    }
    for name, value in values.items():
        if value is not None:
            directory: Any = tags[name][0]
            directory[tags[name][1]] = value
    return exif


def a_picture_with(exif: Image.Exif | bytes, kind: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 30, 60)).save(file, kind, exif=exif, **options)
    return file.getvalue()


def exif_in(content: bytes) -> dict[str, Any]:
    return PictureReader(HeaderLimits()).exif(content)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_each_format_has_it(kind: str) -> None:
    found = exif_in(a_picture_with(an_exif().tobytes(), kind))
    assert found == pytest.approx(EVERYTHING)
    assert checked_metadata(found)
    assert parsed_time(found["exif_taken"])


def test_formats_without_it_say_nothing() -> None:
    for kind in ("GIF", "BMP", "JPEG"):
        file = io.BytesIO()
        Image.new("RGB", (4, 3)).save(file, kind)
        assert exif_in(file.getvalue()) == {}


@pytest.mark.parametrize(
    ("changes", "key", "value"),
    [
        ({"offset": None}, "exif_taken", "2019-07-14T12:33:10Z"),
        ({"offset": "+99:00"}, "exif_taken", None),
        ({"offset": "CEST"}, "exif_taken", "2019-07-14T12:33:10Z"),
        ({"taken": "0000:00:00 00:00:00"}, "exif_taken", None),
        ({"taken": "    :  :     :  :  "}, "exif_taken", None),
        ({"taken": "yesterday"}, "exif_taken", None),
        ({"make": "NIKON CORPORATION", "model": "NIKON D850"}, "exif_camera", "NIKON D850"),
        ({"make": "Apple", "model": "iPhone 15"}, "exif_camera", "Apple iPhone 15"),
        ({"make": None}, "exif_camera", "Canon EOS 5D"),
        ({"model": None}, "exif_camera", "Canon"),
        ({"make": None, "model": "  \n "}, "exif_camera", None),
        ({"lens": "a\x01b  c\x00rest"}, "exif_lens", "a b c"),
        ({"lens": "l" * 5000}, "exif_lens", "l" * 200),
        ({"north": "S"}, "exif_latitude", -48.208333),
        ({"north": None}, "exif_latitude", None),
        ({"north": "X"}, "exif_latitude", None),
        ({"latitude": (91.0, 0.0, 0.0)}, "exif_latitude", None),
        ({"longitude": None}, "exif_latitude", None),
        ({"latitude": (48.0, 12.0)}, "exif_latitude", None),
    ],
)
def test_values_are_those_of_metadata(changes: dict[str, Any], key: str, value: object) -> None:
    found = exif_in(a_picture_with(an_exif(**changes)))
    assert found.get(key) == (pytest.approx(value) if isinstance(value, float) else value)
    checked_metadata(found)


XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>
<rdf:Description exif:DateTimeOriginal="2020-01-02T03:04:05.5+01:00"
tiff:Make='Leica' aux:Lens="Summilux &amp; co"><tiff:Model>Q2</tiff:Model></rdf:Description></rdf:RDF></x:xmpmeta>"""


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF"])
def test_xmp_says_what_exif_does_not(kind: str) -> None:
    options = {"tiffinfo": {700: XMP}} if kind == "TIFF" else {"xmp": XMP}
    assert exif_in(a_picture_with(Image.Exif(), kind, **options)) == {
        "exif_taken": "2020-01-02T03:04:05+01:00",
        "exif_camera": "Leica Q2",
        "exif_lens": "Summilux & co",
    }
    if kind != "TIFF":
        assert exif_in(a_picture_with(an_exif(), kind, **options)) == pytest.approx(EVERYTHING)


def test_damage_says_nothing_and_fails_nothing() -> None:
    whole = an_exif().tobytes()
    chance = random.Random(7)
    for _ in range(400):
        damaged = bytearray(whole)
        for _ in range(chance.choice((1, 3, 20))):
            damaged[chance.randrange(6, len(damaged))] = chance.randrange(256)
        found = exif_in(a_picture_with(bytes(damaged[: chance.choice((len(damaged), chance.randrange(6, 200)))])))
        checked_metadata(found)


@pytest.mark.parametrize("content", [b"", b"no picture", a_picture_with(an_exif(), "PNG")[:60]])
async def test_what_is_no_picture_says_nothing(content: bytes) -> None:
    decoder = PillowImageDecoder(threads=1)
    try:
        assert await decoder.exif(content) == {}
        assert await decoder.exif(a_picture_with(an_exif())) == pytest.approx(EVERYTHING)
    finally:
        await decoder.close()
