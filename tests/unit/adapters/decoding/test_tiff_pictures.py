"""Which of a TIFF's pictures is the picture."""

import struct

import pytest

from adapters.decoding.pillow_image_decoder import PillowImageDecoder
from adapters.decoding.tiff import MAX_DIRECTORIES, with_picture_first
from domain.errors import ImageTooLargeError, ImageUnreadableError
from tests.decoding import decode
from tests.unit.adapters.decoding.tiffs import (
    CHILDREN,
    LONG,
    MASK,
    OLD_SUBFILE_TYPE,
    SHORT,
    SUBFILE_TYPE,
    Directory,
    page,
    reduced,
    tiff_of,
)

OLD_REDUCED = page(10, side=4, more={OLD_SUBFILE_TYPE: (SHORT, [2])})
A_MASK = page(10, side=4, more={SUBFILE_TYPE: (LONG, [MASK])})
A_PAGE = page(99, more={SUBFILE_TYPE: (LONG, [2])})
"""Of several, and whole."""

SHOWN_99: dict[str, list[Directory]] = {
    "one": [page(99)],
    "the first of several": [page(99), page(10), page(20)],
    "the first of several marked as pages": [A_PAGE, page(10)],
    "before its thumbnails": [page(99), reduced(10), reduced(20)],
    "after its thumbnail": [reduced(10), page(99), page(20)],
    "after several thumbnails": [reduced(10), reduced(20), A_PAGE],
    "after a thumbnail marked the old way": [OLD_REDUCED, page(99)],
    "after a mask": [A_MASK, page(99)],
    "the parent of its thumbnails": [page(99, children=[reduced(10)])],
    "the parent of a picture as large": [page(99, children=[page(10)])],
    "a child of its thumbnail": [reduced(10, children=[page(99)])],
    "the second child": [reduced(10, children=[reduced(20), page(99)])],
    "a child's child": [reduced(10, children=[reduced(20, children=[page(99)])])],
    "a child before the next page": [reduced(10, children=[page(99)]), page(20)],
    "a thumbnail where there is nothing else": [reduced(99), reduced(10)],
    "after a directory without a picture": [Directory({271: (2, b"none\0")}), page(99)],
}


@pytest.fixture
def decoder() -> PillowImageDecoder:
    return PillowImageDecoder(threads=1)


@pytest.mark.parametrize("form", ["little endian", "big endian", "BigTIFF"])
@pytest.mark.parametrize("name", SHOWN_99)
async def test_the_first_whole_picture(decoder: PillowImageDecoder, name: str, form: str) -> None:
    content = tiff_of(*SHOWN_99[name], order=">" if form == "big endian" else "<", big=form == "BigTIFF")
    found = (await decode(decoder, content, sufficient_side=8)).raster
    assert found.pixels.min() == found.pixels.max() == 99
    assert found.width == (4 if "thumbnail where" in name else 8)


async def test_the_limits_are_those_of_the_picture() -> None:
    small = PillowImageDecoder(threads=1, max_side=6)
    with pytest.raises(ImageTooLargeError, match="8 x 8"):
        await decode(small, tiff_of(reduced(10), page(99)), sufficient_side=8)
    strips = page(10, more={700: (LONG, [7] * 200_001)})
    with pytest.raises(ImageUnreadableError, match="200,000 values"):
        with_picture_first(tiff_of(reduced(10), strips))
    with_picture_first(tiff_of(page(10), strips))  # which is not looked at


async def test_a_sound_one_is_not_copied() -> None:
    content = tiff_of(page(99), reduced(10))
    assert with_picture_first(content) is content


async def test_a_thumbnail_does_not_stand_for_a_picture_that_was_cut_off(decoder: PillowImageDecoder) -> None:
    for pages in ([reduced(10), page(99)], [reduced(10, children=[page(99)])]):
        content = tiff_of(*pages)
        for cut in range(8, len(content)):
            with pytest.raises(ImageUnreadableError, match="whole"):
                await decode(decoder, content[:cut], sufficient_side=8)


def chained(count: int, *, last: Directory) -> bytes:
    return tiff_of(*[reduced(10)] * count, last)


def test_only_so_many_are_looked_at() -> None:
    shown = chained(MAX_DIRECTORIES - 1, last=page(99))
    assert with_picture_first(shown) != shown
    beyond = chained(MAX_DIRECTORIES, last=page(99))
    assert with_picture_first(beyond) is beyond


@pytest.mark.parametrize("place", [8, 0, 3, 2**31, 2**32 - 1])
async def test_odd_children_do_not_matter(decoder: PillowImageDecoder, place: int) -> None:
    """Themselves, the header, what is no directory, beyond the end: of a whole picture they may be anywhere."""
    content = tiff_of(page(99, more={CHILDREN: (LONG, [place] * 3)}))
    assert int((await decode(decoder, content, sufficient_side=8)).raster.pixels.max()) == 99


async def test_more_children_than_there_are(decoder: PillowImageDecoder) -> None:
    content = bytearray(tiff_of(page(99, more={CHILDREN: (LONG, [8, 8])})))
    at = content.index(struct.pack("<HHI", CHILDREN, LONG, 2))
    struct.pack_into("<I", content, at + 4, 200_000)
    assert int((await decode(decoder, bytes(content), sufficient_side=8)).raster.pixels.max()) == 99
    struct.pack_into("<I", content, at + 4, 2**32 - 1)
    with pytest.raises(ImageUnreadableError, match="200,000 values"):
        await decode(decoder, bytes(content), sufficient_side=8)


async def test_a_next_page_that_is_none_does_not_matter(decoder: PillowImageDecoder) -> None:
    """Some programs leave there what was in memory; it may lead to 65,535 tags of nonsense."""
    content = tiff_of(page(99))
    (first,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, first)
    end = first + 2 + 12 * count
    nonsense = b"\xff\xff" + bytes(range(1, 13)) * 65_535
    content = content[:end] + struct.pack("<I", len(content)) + content[end + 4 :] + nonsense
    assert int((await decode(decoder, content, sufficient_side=8)).raster.pixels.max()) == 99
