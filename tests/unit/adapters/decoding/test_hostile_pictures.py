"""Pictures made to do harm, in sizes that are cheap to refuse; `make torture` sends the large ones."""

import itertools
import random
import time
from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest

from adapters.decoding import formats
from adapters.decoding.pillow_image_decoder import PillowImageDecoder
from domain.errors import ImageError, ImageTooLargeError, ImageUnreadableError
from tests import hostile_pictures as hostile
from tests.decoding import decode

LIMIT = 512 * 1024
SIDE = 640
ENOUGH_SECONDS = 5.0

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # as the decoder sets it outside of tests


@pytest.fixture
async def decoder() -> AsyncIterator[PillowImageDecoder]:
    decoder = PillowImageDecoder(threads=1)
    yield decoder
    await decoder.close()


@pytest.mark.parametrize("name", hostile.WRITERS)
async def test_what_the_others_are_made_of_is_sound(decoder: PillowImageDecoder, name: str) -> None:
    found = await decode(decoder, hostile.WRITERS[name](), sufficient_side=SIDE)
    assert found.raster.pixels.std() > 0


@pytest.mark.parametrize("name", hostile.polyglots())
async def test_what_else_a_picture_is_does_not_matter(decoder: PillowImageDecoder, name: str) -> None:
    found = await decode(decoder, hostile.polyglots()[name], sufficient_side=SIDE)
    assert found.media_type == f"image/{name.split(maxsplit=1)[0].lower()}"


REFUSED: dict[str, tuple[Callable[[], bytes], type[ImageError], str]] = {
    "JPEG of scans": (lambda: hostile.jpeg_of_scans(200), ImageUnreadableError, "100 scans"),
    "sequential JPEG of scans": (
        lambda: hostile.jpeg_of_scans(200, progressive=False),
        ImageUnreadableError,
        "100 scans",
    ),
    "JPEG of comments": (lambda: hostile.jpeg_with_comments(LIMIT), ImageUnreadableError, "2,000 segments"),
    "JPEG of EXIF": (lambda: hostile.jpeg_with_exif_in_pieces(LIMIT), ImageUnreadableError, "2,000 segments"),
    "JPEG of one EXIF": (
        lambda: hostile.jpeg_with_exif(hostile.exif_with_long_orientation(1_200_000)),
        ImageUnreadableError,
        "bytes of EXIF",
    ),
    "JPEG of padding": (lambda: hostile.jpeg_with_padding(1_100_000), ImageUnreadableError, "bytes between"),
    "JPEG cut off": (lambda: hostile.jpeg_cut_off(1000, 1000), ImageUnreadableError, "truncated"),
    "PNG of chunks": (lambda: hostile.png_with_chunks(total=1_300_000), ImageUnreadableError, "100,000 chunks"),
    "PNG of no data": (lambda: hostile.png_with_empty_data(1_300_000), ImageUnreadableError, "100,000 chunks"),
    "GIF of comments": (lambda: hostile.gif_with_comments(2_100_000), ImageUnreadableError, "1,000,000 blocks"),
    "GIF that only clears": (lambda: hostile.gif_of_clear_codes(1000, 1000, LIMIT), ImageUnreadableError, "truncated"),
    **{
        f"{kind.decode()} that unfolds": (
            lambda kind=kind: hostile.png_with_text_bomb(kind, 20),  # type: ignore[misc]
            ImageUnreadableError,
            "too large",
        )
        for kind in (b"zTXt", b"iTXt", b"iCCP")
    },
    "PNG of texts": (lambda: hostile.png_with_many_text_bombs(70), ImageUnreadableError, "Too much memory"),
    "PNG of pixels": (lambda: hostile.png_of_zeros(1, 30_001), ImageTooLargeError, "a side"),
    "WebP of pixels": (lambda: hostile.webp_animated(1, width=2**24, height=2**24), ImageTooLargeError, "a side"),
    "TIFF with a long resolution": (
        lambda: hostile.tiff_with_long_resolution(2_000_000),
        ImageUnreadableError,
        "200,000 values",
    ),
    "TIFF with a long tag of EXIF": (
        lambda: hostile.tiff_with_long_exif(2_000_000),
        ImageUnreadableError,
        "200,000 values",
    ),
    "TIFF with a huge tag": (hostile.tiff_with_huge_tag, ImageUnreadableError, "200,000 values"),
    "TIFF of strips": (lambda: hostile.tiff_of_tiny_strips(1, 200_001), ImageUnreadableError, "200,000 values"),
    "TIFF of tiles": (lambda: hostile.tiff_of_tiny_tiles(500), ImageUnreadableError, "200,000 values"),
    "BMP of short lines": (lambda: hostile.bmp_of_short_lines(2001, 2000), ImageTooLargeError, "run-length"),
    "AVIF of pixels": (
        lambda: hostile.heif_with_size(hostile.WRITERS["AVIF"](), 20_000, 20_000),
        ImageError,
        ".",
    ),
    "HEIC of pixels": (
        lambda: hostile.heif_with_size(hostile.WRITERS["HEIC"](), 20_000, 20_000),
        ImageError,
        ".",
    ),
    "HEIC that is smaller": (lambda: hostile.heif_with_size(hostile.WRITERS["HEIC"](), 1000, 1000), ImageError, "."),
    "AVIF of a grid": (lambda: hostile.heif_with_grid(hostile.WRITERS["AVIF"]()), ImageError, "."),
    "HEIC of a grid": (lambda: hostile.heif_with_grid(hostile.WRITERS["HEIC"]()), ImageError, "."),
}

SHOWN: dict[str, Callable[[], bytes]] = {
    "PNG of EXIF": lambda: hostile.png_with_exif(hostile.exif_with_long_orientation(20_000_000)),
    "WebP of EXIF": lambda: hostile.webp_with_exif(hostile.exif_with_long_orientation(20_000_000)),
    "1 x 30,000": lambda: hostile.png_of_zeros(1, 30_000),
    "30,000 x 1": lambda: hostile.png_of_zeros(30_000, 1),
    "interlaced, 16 bits": lambda: hostile.png_of_zeros(600, 500, depth=16, colour_type=6, interlaced=True),
    "JPEG of a hundred scans": lambda: hostile.jpeg_of_scans(100, width=64, height=64),
    "JPEG followed by what looks like scans": lambda: hostile.WRITERS["progressive JPEG"]() + b"\xff\xda\0\2" * 5000,
    "APNG of frames": lambda: hostile.png_animated(10_000),
    "GIF of frames": lambda: hostile.gif_animated(20_000),
    "WebP of frames": lambda: hostile.webp_animated(5_000),
    "WebP on a canvas": lambda: hostile.webp_animated(2, width=2000, height=2000),
    "BMP of short lines": lambda: hostile.bmp_of_short_lines(500, 300),
    "BMP of single pixels": lambda: hostile.bmp_of_single_pixels(500, 100),
    "JPEG with a profile of noise": lambda: hostile.jpeg_with_profile(LIMIT),
    "PNG with a profile of long curves": lambda: hostile.png_with_profile_of_curves(100_000),
    "TIFF of strips that unfold to nothing": lambda: hostile.tiff_of_strips(100, 50, waste=LIMIT),
    "TIFF of tiny strips": lambda: hostile.tiff_of_tiny_strips(1, 5_000),
    "TIFF of tiny tiles": lambda: hostile.tiff_of_tiny_tiles(50),
    "TIFF of directories": lambda: hostile.tiff_with_directories(50_000),
    "TIFF of endless directories": hostile.tiff_with_endless_directories,
    "TIFF of overlapping tags": lambda: hostile.tiff_with_overlapping_tags(LIMIT, 10_000),
    **{
        f"{carrier.__name__}, {exif.__name__}": lambda carrier=carrier, exif=exif: carrier(exif())  # type: ignore[misc]
        for carrier, exif in itertools.product(
            (hostile.png_with_exif, hostile.webp_with_exif, hostile.jpeg_with_exif),
            (
                hostile.exif_with_endless_directories,
                lambda: hostile.exif_with_long_orientation(LIMIT),
                lambda: hostile.exif_with_overlapping_tags(LIMIT, 10_000),
            ),
        )
    },
    "AVIF that is smaller": lambda: hostile.heif_with_size(hostile.WRITERS["AVIF"](), 1000, 1000),
    "AVIF of boxes": lambda: hostile.heif_with_boxes(hostile.WRITERS["AVIF"](), 50_000),
    "HEIC of boxes": lambda: hostile.heif_with_boxes(hostile.WRITERS["HEIC"](), 2_000),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_is_refused_at_once(decoder: PillowImageDecoder, name: str) -> None:
    make, error, reason = REFUSED[name]
    content, started = make(), time.process_time()
    with pytest.raises(error, match=reason):
        await decode(decoder, content, sufficient_side=SIDE)
    assert time.process_time() - started < ENOUGH_SECONDS


@pytest.mark.parametrize("name", SHOWN)
async def test_is_shown_as_what_it_is(decoder: PillowImageDecoder, name: str) -> None:
    """Odd, but a picture: nothing of what is odd about it takes long."""
    content, started = SHOWN[name](), time.process_time()
    found = await decode(decoder, content, sufficient_side=SIDE)
    assert found.raster.pixels.dtype == np.uint8
    assert time.process_time() - started < ENOUGH_SECONDS


@pytest.mark.parametrize("name", hostile.WRITERS)
async def test_damage_is_an_image_error_or_no_matter(decoder: PillowImageDecoder, name: str) -> None:
    """In a process of its own this is done much longer: `make torture`."""
    chance = random.Random(name)
    sound = hostile.WRITERS[name]()
    for content in itertools.islice(hostile.mutations(sound, chance), 50):
        try:
            found = await decode(decoder, content, sufficient_side=SIDE)
        except ImageError:
            continue
        height, width, _ = found.raster.pixels.shape
        assert 0 < height * width <= 100_000_000


async def test_two_formats_in_one_are_an_image_error_or_no_matter(decoder: PillowImageDecoder) -> None:
    chance = random.Random(1)
    contents = [write() for write in hostile.WRITERS.values()]
    outcomes = set()
    for _ in range(200):
        try:
            outcomes.add(
                (await decode(decoder, hostile.concatenated(contents, chance), sufficient_side=SIDE)).media_type
            )
        except ImageError as error:
            outcomes.add(error.code)
    assert {"image_unreadable", "image/jpeg"} <= outcomes


def test_counting_scans_costs_a_sound_picture_nothing() -> None:
    """Bytes that look like scans, behind the end of the picture or in a preview, are none."""
    preview = hostile.segment(0xE1, b"Exif\0\0" + b"\xff\xda" * 10_000)
    sound = hostile.WRITERS["JPEG"]()
    for content in (sound[:2] + preview + sound[2:], sound + b"\xff\xda" * 10_000):
        formats.prepared(formats.ImageFormat.JPEG, content)
