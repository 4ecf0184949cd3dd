"""The decode contract, version 2: docs/decode-contract.md, case by case."""

import io
import struct
import sys
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from adapters.decoding.pillow_image_decoder import PillowImageDecoder
from domain.errors import (
    BodyTooLargeError,
    ImageError,
    ImageTooLargeError,
    ImageUnreadableError,
    InvalidRegionError,
    UnsupportedImageError,
)
from domain.geometry import BoundingBox
from domain.ports.image_decoder import DecodedImage
from domain.raster import RasterImage
from tests.builders import box
from tests.decoding import decode
from tests.unit.adapters.decoding.pictures import (
    BLACK,
    BLUE,
    GREEN,
    RED,
    WHITE,
    corners,
    encoded,
    exif,
    header_only,
    linear_grey_profile,
    nearly_srgb_profile,
    png,
    png_chunk,
    red_cyan_profile,
    swapped_profile,
    textured,
    wide_profile,
)

FULL = 10**6
"""A sufficient side that no picture here has: nothing is decoded scaled down."""

Colour = tuple[int, int, int]


@pytest.fixture
def decoder() -> PillowImageDecoder:
    return PillowImageDecoder(threads=1)


async def pixels_of(content: bytes) -> NDArray[np.uint8]:
    return (await decode(PillowImageDecoder(threads=1), content, sufficient_side=FULL)).raster.pixels


def assert_close(found: NDArray[np.uint8], expected: NDArray[np.uint8] | Colour, *, within: float = 0) -> None:
    difference = np.abs(found.astype(int) - np.asarray(expected, dtype=int))
    assert difference.max() <= within, f"off by up to {difference.max()}"


def heic(image: Image.Image, **options: object) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(image).save(file, quality=-1, chroma=444, **options)
    return file.getvalue()


def heic_turned(stored: Image.Image, orientation: int) -> bytes:
    """Written as the container's own rotation and mirroring, with the EXIF of before, as telephones do."""
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    whole = pillow_heif.HeifFile()
    whole.add_from_pillow(stored)
    whole.save(file, quality=-1, chroma=444, exif=exif(orientation))
    return file.getvalue()


WRITERS: dict[str, tuple[str, Callable[[Image.Image], bytes]]] = {
    "JPEG": ("image/jpeg", lambda image: encoded(image, "JPEG", quality=95, subsampling=0)),
    "progressive JPEG": ("image/jpeg", lambda image: encoded(image, "JPEG", quality=95, progressive=True)),
    "PNG": ("image/png", lambda image: encoded(image, "PNG")),
    "WebP": ("image/webp", lambda image: encoded(image, "WEBP", quality=95)),
    "lossless WebP": ("image/webp", lambda image: encoded(image, "WEBP", lossless=True)),
    "GIF": ("image/gif", lambda image: encoded(image, "GIF")),
    "BMP": ("image/bmp", lambda image: encoded(image, "BMP")),
    "TIFF": ("image/tiff", lambda image: encoded(image, "TIFF")),
    "LZW TIFF": ("image/tiff", lambda image: encoded(image, "TIFF", compression="tiff_lzw")),
    "JPEG TIFF": ("image/tiff", lambda image: encoded(image, "TIFF", compression="jpeg", quality=95)),
    "BigTIFF": ("image/tiff", lambda image: encoded(image, "TIFF", big_tiff=True)),
    "AVIF": ("image/avif", lambda image: encoded(image, "AVIF", quality=95, speed=10)),
    "HEIC": ("image/heic", heic),
}


class TestFormats:
    @pytest.mark.parametrize("name", WRITERS)
    async def test_accepted(self, decoder: PillowImageDecoder, name: str) -> None:
        media_type, write = WRITERS[name]
        found = await decode(decoder, write(Image.fromarray(corners())), sufficient_side=FULL)
        assert found.media_type == media_type
        assert (found.raster.width, found.raster.height) == (48, 32)
        assert found.raster.pixels.dtype == np.uint8
        assert found.raster.pixels.flags.c_contiguous
        for (row, column), colour in {(8, 12): RED, (8, 36): GREEN, (24, 12): BLUE, (24, 36): WHITE}.items():
            assert_close(found.raster.pixels[row, column], colour, within=12)

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\xff\xd8",
            b"hello, world",
            b"BMW is not a bitmap, and this is plain text that begins with its two letters",
            b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
            b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>",
            b"<!doctype html><html><body><img src='a.jpg'></body></html>",
            b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n",
            b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0" + bytes(24),
            b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(64),
            encoded(Image.new("RGB", (4, 4)), "PPM"),
            encoded(Image.new("RGB", (4, 4)), "JPEG2000"),
            encoded(Image.new("RGB", (16, 16)), "ICO"),
            encoded(Image.new("RGB", (4, 4)), "TGA"),
        ],
        ids=[
            "empty",
            "two bytes",
            "text",
            "BM text",
            "svg",
            "xml svg",
            "html",
            "pdf",
            "wav",
            "mp4",
            "ppm",
            "jpeg2000",
            "ico",
            "tga",
        ],
    )
    async def test_refused(self, decoder: PillowImageDecoder, content: bytes) -> None:
        with pytest.raises(UnsupportedImageError, match="JPEG, PNG, WEBP, GIF, BMP, TIFF, AVIF"):
            await decode(decoder, content, sufficient_side=FULL)

    async def test_heic_takes_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        content = heic(textured())
        monkeypatch.setitem(sys.modules, "pillow_heif", None)  # what an import finds where it is not installed
        with pytest.raises(UnsupportedImageError, match=r"HEIC.*extra \[heif\]"):
            await decode(PillowImageDecoder(threads=1), content, sufficient_side=FULL)


UPRIGHT = corners()
SIDEWAYS = UPRIGHT.transpose(1, 0, 2)
STORED_AS = {  # where row 0 and column 0 of the stored picture lie in the upright one (EXIF 2.32, tag 0x0112)
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: SIDEWAYS,
    6: SIDEWAYS[::-1],
    7: SIDEWAYS[::-1, ::-1],
    8: SIDEWAYS[:, ::-1],
}


def png_with_late_exif(image: Image.Image, orientation: int) -> bytes:
    return encoded(image, "PNG")[:-12] + png_chunk(b"eXIf", exif(orientation)[6:]) + png_chunk(b"IEND", b"")


TURNED: dict[str, Callable[[Image.Image, int], bytes]] = {
    "JPEG": lambda image, turn: encoded(image, "JPEG", quality=95, subsampling=0, exif=exif(turn)),
    "PNG": lambda image, turn: encoded(image, "PNG", exif=exif(turn)),
    "PNG, EXIF after the pixels": png_with_late_exif,
    "WebP": lambda image, turn: encoded(image, "WEBP", lossless=True, exif=exif(turn)),
    "TIFF": lambda image, turn: encoded(image, "TIFF", tiffinfo={0x0112: turn}),
    "LZW TIFF": lambda image, turn: encoded(image, "TIFF", tiffinfo={0x0112: turn}, compression="tiff_lzw"),
    "AVIF": lambda image, turn: encoded(image, "AVIF", quality=95, subsampling="4:4:4", speed=10, exif=exif(turn)),
    "HEIC": heic_turned,
}


class TestOrientation:
    @pytest.mark.parametrize("orientation", STORED_AS)
    @pytest.mark.parametrize("name", TURNED)
    async def test_every_one_turns_upright(self, decoder: PillowImageDecoder, name: str, orientation: int) -> None:
        stored = Image.fromarray(np.ascontiguousarray(STORED_AS[orientation]))
        found = (await decode(decoder, TURNED[name](stored, orientation), sufficient_side=FULL)).raster
        assert (found.width, found.height) == (48, 32)
        assert_close(found.pixels, UPRIGHT, within=16)

    @pytest.mark.parametrize("orientation", [0, 9, 65535])
    async def test_undefined_is_upright(self, orientation: int) -> None:
        found = await pixels_of(encoded(Image.fromarray(UPRIGHT), "PNG", exif=exif(orientation)))
        assert_close(found, UPRIGHT)

    async def test_xmp_is_not_consulted(self) -> None:
        xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
        found = await pixels_of(encoded(Image.fromarray(UPRIGHT), "WEBP", lossless=True, xmp=xmp))
        assert_close(found, UPRIGHT)

    @pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
    @pytest.mark.parametrize("broken", [b"", b"Exif\0\0", b"Exif\0\0nonsense", exif(6)[:16]], ids=repr)
    async def test_broken_exif_says_nothing(self, broken: bytes) -> None:
        found = await pixels_of(encoded(Image.fromarray(UPRIGHT), "WEBP", lossless=True, exif=broken))
        assert_close(found, UPRIGHT)


def indexed(*, transparency: bytes | int | None = None) -> bytes:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *BLUE])
    image.putpixel((1, 0), 1)
    options = {} if transparency is None else {"transparency": transparency}
    return encoded(image, "PNG", **options)


def row(*values: int, of: str) -> bytes:
    """One row of PNG samples, unfiltered."""
    return b"\0" + struct.pack(f">{len(values)}{of}", *values)


def two_pixels(mode: str, left: object, right: object) -> Image.Image:
    image = Image.new(mode, (2, 1))
    image.putpixel((0, 0), left)  # type: ignore[arg-type]
    image.putpixel((1, 0), right)  # type: ignore[arg-type]
    return image


def grey_tiff(values: list[float], dtype: str) -> bytes:
    return encoded(Image.fromarray(np.array([values], dtype=dtype)), "TIFF")


def colour_key(*samples: int) -> bytes:
    return png_chunk(b"tRNS", struct.pack(f">{len(samples)}H", *samples))


MODES: dict[str, tuple[bytes, Colour, Colour]] = {
    "grey": (encoded(two_pixels("L", 10, 200), "PNG"), (10, 10, 10), (200, 200, 200)),
    "grey with alpha": (encoded(two_pixels("LA", (0, 128), (0, 255)), "PNG"), (127, 127, 127), BLACK),
    "grey, one of them transparent": (encoded(two_pixels("L", 5, 6), "PNG", transparency=5), WHITE, (6, 6, 6)),
    "4-bit grey, one of them transparent": (
        png((2, 1), depth=4, colour_type=0, rows=b"\0\x92", extra=colour_key(9)),
        WHITE,
        (34, 34, 34),
    ),
    "1-bit": (encoded(two_pixels("1", 0, 1), "PNG"), BLACK, WHITE),
    "1-bit TIFF": (encoded(two_pixels("1", 1, 0), "TIFF", compression="group4"), WHITE, BLACK),
    "alpha": (encoded(two_pixels("RGBA", (255, 0, 0, 0), (255, 0, 0, 51)), "PNG"), WHITE, (255, 204, 204)),
    "alpha in WebP": (
        encoded(two_pixels("RGBA", (0, 0, 255, 0), (0, 0, 255, 255)), "WEBP", lossless=True, exact=True),
        WHITE,
        BLUE,
    ),
    "colour key": (encoded(two_pixels("RGB", RED, BLUE), "PNG", transparency=RED), WHITE, BLUE),
    "palette": (indexed(), RED, BLUE),
    "palette, one transparent entry": (indexed(transparency=0), WHITE, BLUE),
    "palette, half-transparent entries": (indexed(transparency=bytes([255, 51])), RED, (204, 204, 255)),
    "transparent GIF": (encoded(two_pixels("P", 0, 1), "GIF", transparency=0), WHITE, (1, 1, 1)),
    "16-bit grey": (
        png((2, 1), depth=16, colour_type=0, rows=row(0x1234, 0xFFFF, of="H")),
        (0x12, 0x12, 0x12),
        WHITE,
    ),
    "16-bit grey, one of them transparent": (
        png((2, 1), depth=16, colour_type=0, rows=row(0x1234, 0x1235, of="H"), extra=colour_key(0x1234)),
        WHITE,
        (0x12, 0x12, 0x12),
    ),
    "16-bit colour": (
        png((2, 1), depth=16, colour_type=2, rows=row(0x8000, 0, 0xFFFF, 0x00FF, 0x0100, 0x7FFF, of="H")),
        (128, 0, 255),
        (0, 1, 127),
    ),
    "16-bit colour key": (
        png(
            (2, 1),
            depth=16,
            colour_type=2,
            rows=row(1000, 2000, 3000, 0, 0, 0, of="H"),
            extra=colour_key(1000, 2000, 3000),
        ),
        WHITE,
        BLACK,
    ),
    "16-bit grey with alpha": (
        png((2, 1), depth=16, colour_type=4, rows=row(0x4000, 0, 0x4000, 0xFFFF, of="H")),
        WHITE,
        (64, 64, 64),
    ),
    "16-bit colour with alpha": (
        png((2, 1), depth=16, colour_type=6, rows=row(0xFF00, 0, 0, 0, 0xFF00, 0, 0, 0xFFFF, of="H")),
        WHITE,
        RED,
    ),
    "16-bit TIFF, little endian": (grey_tiff([0x1200, 0xFF00], "<u2"), (0x12, 0x12, 0x12), WHITE),
    "16-bit TIFF, big endian": (encoded(two_pixels("I;16B", 0x1200, 0xFF00), "TIFF"), (0x12, 0x12, 0x12), WHITE),
    "32-bit integers": (grey_tiff([-(2**31), 2**31 - 1], "<i4"), BLACK, WHITE),
    "32-bit floats": (grey_tiff([-3.4e38, 3.4e38], "<f4"), BLACK, WHITE),
    "not a number and infinity": (grey_tiff([float("nan"), float("inf"), 0.0, 1.0], "<f4"), BLACK, WHITE),
    "floats that are all alike": (grey_tiff([0.5, 0.5], "<f4"), BLACK, BLACK),
    "CMYK JPEG": (
        encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100),
        (254, 0, 0),
        (254, 0, 0),
    ),
    "CMYK TIFF": (encoded(two_pixels("CMYK", (0, 255, 255, 0), (0, 0, 0, 255)), "TIFF"), RED, BLACK),
    "Lab TIFF": (encoded(two_pixels("LAB", (255, 128, 128), (0, 128, 128)), "TIFF"), WHITE, BLACK),
    "YCbCr TIFF": (encoded(two_pixels("YCbCr", (76, 85, 255), (29, 255, 107)), "TIFF"), (254, 0, 0), (0, 0, 254)),
}


class TestModes:
    @pytest.mark.parametrize("name", MODES)
    async def test_becomes_rgb(self, name: str) -> None:
        content, left, right = MODES[name]
        found = await pixels_of(content)
        assert_close(found[0, 0], left, within=1)
        assert_close(found[0, 1], right, within=1)

    async def test_cmyk_jpeg_without_adobe_marker_reads_like_one_with_it(self) -> None:
        content = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100)
        marker = content.index(b"\xff\xee")
        bare = content[:marker] + content[marker + 16 :]
        assert b"Adobe" not in bare
        assert_close(await pixels_of(bare), RED, within=2)


class TestColourProfiles:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIC"])
    async def test_swapped_channels_are_swapped_back(self, kind: str) -> None:
        image = Image.new("RGB", (16, 16), RED)
        if kind == "HEIC":
            image.info["icc_profile"] = swapped_profile()
            content = heic(image)
        else:
            content = encoded(image, kind, quality=95, icc_profile=swapped_profile())
        assert_close(await pixels_of(content), BLUE, within=6)

    async def test_wide_gamut(self) -> None:
        content = encoded(Image.new("RGB", (8, 8), (128, 200, 100)), "PNG", icc_profile=wide_profile())
        # Adobe RGB (128, 200, 100) in sRGB, worked out from the two definitions (matrices under D65, and curves).
        assert_close(await pixels_of(content), (78, 201, 94), within=2)

    async def test_alpha_is_kept(self) -> None:
        content = encoded(Image.new("RGBA", (8, 8), (*RED, 51)), "PNG", icc_profile=swapped_profile())
        assert_close(await pixels_of(content), (204, 204, 255), within=2)

    async def test_palette_and_grey_under_an_rgb_profile(self) -> None:
        image = Image.new("P", (8, 8))
        image.putpalette([*RED])
        assert_close(await pixels_of(encoded(image, "PNG", icc_profile=swapped_profile())), BLUE, within=1)
        grey = Image.new("L", (8, 8), 128)
        assert_close(await pixels_of(encoded(grey, "PNG", icc_profile=swapped_profile())), (128,) * 3, within=3)

    async def test_grey(self) -> None:
        content = encoded(Image.new("L", (8, 8), 55), "PNG", icc_profile=linear_grey_profile())
        # Linear 55/255 = .2157, encoded by sRGB's curve: 1.055 * .2157 ** (1 / 2.4) - .055 = .5018.
        assert_close(await pixels_of(content), (128, 128, 128), within=2)

    @pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
    async def test_cmyk(self, kind: str) -> None:
        image = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
        found = (await pixels_of(encoded(image, kind, quality=95, icc_profile=red_cyan_profile())))[0, 0]
        assert found[0] > 200
        assert found[1] < 60
        assert found[2] < 60  # without the profile, cyan: (0, 255, 255)

    async def test_srgb_under_any_name_is_left_alone(self) -> None:
        image, nearly = textured(), nearly_srgb_profile()
        srgb = ImageCms.createProfile("sRGB")
        applied = ImageCms.profileToProfile(image, io.BytesIO(nearly), srgb)
        assert applied is not None
        assert np.any(np.asarray(applied) != np.asarray(image)), "then the next line would prove nothing"
        assert_close(await pixels_of(encoded(image, "PNG", icc_profile=nearly)), np.asarray(image))

    @pytest.mark.parametrize(
        "broken",
        [b"nonsense", wide_profile()[:200], wide_profile()[:128] + b"\xff" * 300, linear_grey_profile()],
        ids=["no profile", "cut short", "nonsense tags", "for another colour space"],
    )
    async def test_broken_profile_is_left_out(self, broken: bytes) -> None:
        image = textured()
        assert_close(await pixels_of(encoded(image, "PNG", icc_profile=broken)), np.asarray(image))


class TestAnimations:
    @pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
    async def test_first_frame(self, kind: str) -> None:
        first, second = Image.new("RGB", (16, 16), RED), Image.new("RGB", (16, 16), BLUE)
        content = encoded(first, kind, save_all=True, append_images=[second], duration=100)
        assert_close(await pixels_of(content), RED, within=8)

    async def test_default_image_outside_the_animation(self) -> None:
        frames = [Image.new("RGB", (16, 16), BLUE), Image.new("RGB", (16, 16), GREEN)]
        first = Image.new("RGB", (16, 16), RED)
        content = encoded(first, "PNG", save_all=True, append_images=frames, default_image=True)
        assert_close(await pixels_of(content), RED)

    async def test_first_frame_smaller_than_the_canvas(self) -> None:
        frame = b"," + struct.pack("<4HB", 2, 1, 1, 1, 0) + b"\x02\x02\x44\x01\x00"  # colour 0, then the end
        content = b"GIF89a" + struct.pack("<HHBBB", 4, 3, 0x80, 0, 0) + bytes([*RED, *BLUE]) + frame + b";"
        expected = np.full((3, 4, 3), 255, dtype=np.uint8)
        expected[1, 2] = RED
        assert_close(await pixels_of(content), expected)


ANIMATED = {
    f"animated {kind}": encoded(textured(), kind, save_all=True, append_images=[textured().rotate(90)], duration=90)
    for kind in ("GIF", "WEBP", "PNG", "AVIF")
}


class TestDamage:
    @pytest.mark.parametrize("name", [*WRITERS, *ANIMATED])
    async def test_truncated_anywhere(self, decoder: PillowImageDecoder, name: str) -> None:
        content = ANIMATED[name] if name in ANIMATED else WRITERS[name][1](textured())
        cuts = {*range(32, len(content), len(content) // 60), len(content) - 2, len(content) - 1}
        for cut in cuts:
            with pytest.raises(ImageUnreadableError, match="whole"):
                await decode(decoder, content[:cut], sufficient_side=FULL)

    @pytest.mark.parametrize("progressive", [False, True])
    async def test_truncated_jpeg_decoded_scaled_down(self, decoder: PillowImageDecoder, progressive: bool) -> None:
        content = encoded(textured(640, 480), "JPEG", progressive=progressive)
        for cut in range(len(content) // 20, len(content), len(content) // 20):
            with pytest.raises(ImageUnreadableError):
                await decode(decoder, content[:cut], sufficient_side=60)
        with pytest.raises(ImageUnreadableError):
            await decode(decoder, content[:-1], sufficient_side=60)

    @pytest.mark.parametrize("name", [*WRITERS, *ANIMATED])
    async def test_random_damage_raises_nothing_unnamed(self, decoder: PillowImageDecoder, name: str) -> None:
        content = ANIMATED[name] if name in ANIMATED else WRITERS[name][1](textured())
        random = np.random.default_rng(3)
        for _ in range(60):
            damaged = bytearray(content)
            for at in random.integers(0, len(content), 6):
                damaged[at] = random.integers(0, 256)
            try:
                found = await decode(decoder, bytes(damaged), sufficient_side=FULL)
            except ImageError:
                continue
            assert isinstance(found, DecodedImage)

    @pytest.mark.parametrize("name", ["PNG", "GIF"])
    async def test_what_follows_the_end_does_not_matter(self, name: str) -> None:
        assert_close(await pixels_of(WRITERS[name][1](Image.fromarray(corners())) + b"tail"), corners())

    @pytest.mark.parametrize("chunk", [b"zTXt", b"iCCP"])
    async def test_compressed_text_that_unfolds_to_much_is_refused(
        self, decoder: PillowImageDecoder, chunk: bytes
    ) -> None:
        bomb = png_chunk(chunk, b"name\0\0" + zlib.compress(bytes(50_000_000)))
        content = png((1, 1), depth=8, colour_type=0, rows=b"\0\0", extra=bomb)
        with pytest.raises(ImageUnreadableError, match="too large"):
            await decode(decoder, content, sufficient_side=FULL)

    async def test_many_texts_are_refused(self, decoder: PillowImageDecoder) -> None:
        text = png_chunk(b"zTXt", b"name\0\0" + zlib.compress(bytes(1_000_000)))
        content = png((1, 1), depth=8, colour_type=0, rows=b"\0\0", extra=text * 100)
        with pytest.raises(ImageUnreadableError, match="Too much memory"):
            await decode(decoder, content, sufficient_side=FULL)


class TestLimits:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
    async def test_too_many_pixels_by_the_header(self, decoder: PillowImageDecoder, kind: str) -> None:
        with pytest.raises(ImageTooLargeError, match=r"16,000 x 16,000.*100,000,000 pixels"):
            await decode(decoder, header_only(kind, 16_000, 16_000), sufficient_side=FULL)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF"])  # WebP has no such sides
    async def test_too_long_a_side_by_the_header(self, decoder: PillowImageDecoder, kind: str) -> None:
        for width, height in ((30_001, 1), (1, 30_001)):
            with pytest.raises(ImageTooLargeError, match=r"30,001.*at most 30,000"):
                await decode(decoder, header_only(kind, width, height), sufficient_side=FULL)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
    async def test_within_the_limits_the_header_alone_is_damage(self, decoder: PillowImageDecoder, kind: str) -> None:
        with pytest.raises(ImageUnreadableError):
            await decode(decoder, header_only(kind, 100, 100), sufficient_side=FULL)

    @pytest.mark.parametrize("name", WRITERS)
    async def test_the_limits_are_exact(self, name: str) -> None:
        content = WRITERS[name][1](textured(96, 64))
        enough = PillowImageDecoder(max_bytes=len(content), max_pixels=96 * 64, max_side=96, threads=1)
        await decode(enough, content, sufficient_side=FULL)
        with pytest.raises(ImageTooLargeError, match="at most 6,143 pixels"):
            await decode(PillowImageDecoder(max_pixels=96 * 64 - 1, threads=1), content, sufficient_side=FULL)
        with pytest.raises(ImageTooLargeError, match="at most 95"):
            await decode(PillowImageDecoder(max_side=95, threads=1), content, sufficient_side=FULL)
        with pytest.raises(BodyTooLargeError, match=f"at most {len(content) - 1:,} bytes"):
            await decode(PillowImageDecoder(max_bytes=len(content) - 1, threads=1), content, sufficient_side=FULL)

    async def test_ours_alone_count(self) -> None:
        # Pillow itself warns above 89 megapixels, and refuses above 179.
        content = encoded(Image.new("1", (20_000, 9_500)), "PNG")
        found = await decode(PillowImageDecoder(max_pixels=200_000_000, threads=1), content, sufficient_side=FULL)
        assert found.raster.pixels.shape == (9_500, 20_000, 3)

    @pytest.mark.parametrize("size", [(1, 1), (1, 20_000), (20_000, 1)], ids=str)
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF"])
    async def test_smallest_and_longest(self, decoder: PillowImageDecoder, kind: str, size: tuple[int, int]) -> None:
        found = (await decode(decoder, encoded(Image.new("RGB", size, RED), kind), sufficient_side=1)).raster
        assert (found.width, found.height) == size
        assert found.pixels.shape == (size[1], size[0], 3)
        assert_close(found.pixels, RED, within=2)


class TestScalingDown:
    """JPEG only, by 2, 4 or 8; 1600 x 1200 here."""

    @pytest.mark.parametrize(
        ("sufficient_side", "shape"),
        [
            (0, (150, 200)),
            (1, (150, 200)),
            (150, (150, 200)),
            (151, (300, 400)),
            (300, (300, 400)),
            (301, (600, 800)),
            (600, (600, 800)),
            (601, (1200, 1600)),
            (FULL, (1200, 1600)),
        ],
    )
    async def test_the_shorter_side_suffices(
        self, decoder: PillowImageDecoder, sufficient_side: int, shape: tuple[int, int]
    ) -> None:
        found = await self.decoded(decoder, sufficient_side)
        assert found.pixels.shape == (*shape, 3)
        assert (found.width, found.height) == (1600, 1200)

    @pytest.mark.parametrize("size", [(1601, 1203), (1599, 1197), (641, 9), (7, 3000)], ids=str)
    @pytest.mark.parametrize("sufficient_side", [1, 2, 5, 75, 149, 150, 151, 300, 320, 600])
    async def test_odd_sizes(self, decoder: PillowImageDecoder, size: tuple[int, int], sufficient_side: int) -> None:
        content = encoded(Image.new("RGB", size), "JPEG")
        found = (await decode(decoder, content, sufficient_side=sufficient_side)).raster
        assert min(found.pixels.shape[:2]) >= min(sufficient_side, *size)
        assert (found.width, found.height) == size

    @pytest.mark.parametrize(
        ("region", "rows"),
        [
            (box(0, 0, 1600, 1200), 300),
            (box(100, 100, 700, 1100), 600),
            (box(-500, -500, 599, 5000), 1200),  # 599 wide once clipped
            (box(10, 10, 20, 20), 1200),
        ],
    )
    async def test_the_shorter_side_of_the_region_suffices(
        self, decoder: PillowImageDecoder, region: BoundingBox, rows: int
    ) -> None:
        found = await self.decoded(decoder, 300, region)
        assert found.pixels.shape[0] == rows
        assert min(found.crop(region).pixels.shape[:2]) >= min(300, region.width)

    async def test_a_region_speaks_of_the_upright_picture(self, decoder: PillowImageDecoder) -> None:
        content = encoded(Image.new("RGB", (1600, 1200)), "JPEG", exif=exif(6))
        bottom = box(0, 1300, 1200, 1600)  # outside of the picture as it is stored
        found = (await decode(decoder, content, sufficient_side=150, region=bottom)).raster
        assert (found.width, found.height) == (1200, 1600)
        assert found.pixels.shape == (800, 600, 3)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
    async def test_a_region_outside_is_refused(self, decoder: PillowImageDecoder, kind: str) -> None:
        with pytest.raises(InvalidRegionError, match="96 x 64"):
            await decode(decoder, encoded(textured(), kind), sufficient_side=10, region=box(96, 0, 200, 64))

    async def test_shows_the_same_picture(self, decoder: PillowImageDecoder) -> None:
        smooth = Image.fromarray(corners(1600, 1200))
        content = encoded(smooth, "JPEG", quality=95)
        found = (await decode(decoder, content, sufficient_side=150)).raster
        assert_close(found.pixels[:70, :95], RED, within=4)
        assert_close(found.pixels[80:, 105:], WHITE, within=4)

    @pytest.mark.parametrize("mode", ["L", "CMYK"])
    async def test_grey_and_cmyk(self, decoder: PillowImageDecoder, mode: str) -> None:
        content = encoded(Image.new(mode, (800, 800)), "JPEG")
        found = (await decode(decoder, content, sufficient_side=100)).raster
        assert found.pixels.shape == (100, 100, 3)

    @staticmethod
    async def decoded(
        decoder: PillowImageDecoder, sufficient_side: int, region: BoundingBox | None = None
    ) -> RasterImage:
        content = encoded(Image.new("RGB", (1600, 1200), RED), "JPEG")
        return (await decode(decoder, content, sufficient_side=sufficient_side, region=region)).raster
