"""Picture files made to do harm: by their size, their time, or by being two things at once. Each function makes one.

The defaults go to the limits of the service (25 MB, 100 megapixels); smaller arguments make the same thing for less.
"""

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator

from PIL import Image

from tests.pictures import a_drawing, a_picture, encoded

MAX_BYTES = 25 * 1024 * 1024
"""What the service accepts of one picture by default."""

WRITERS: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: a_picture(1, format_="JPEG"),
    "progressive JPEG": lambda: a_picture(1, format_="JPEG", progressive=True),
    "CMYK JPEG": lambda: encoded(a_drawing(1).convert("CMYK"), format_="JPEG"),
    "PNG": lambda: a_picture(1, format_="PNG"),
    "palette PNG": lambda: encoded(a_drawing(1).convert("P"), format_="PNG", transparency=3),
    "WebP": lambda: a_picture(1, format_="WEBP"),
    "lossless WebP": lambda: a_picture(1, format_="WEBP", lossless=True),
    "animated WebP": lambda: animation("WEBP", frames=3),
    "GIF": lambda: a_picture(1, format_="GIF"),
    "animated GIF": lambda: animation("GIF", frames=3),
    "BMP": lambda: a_picture(1, format_="BMP", width=40, height=30),
    "RLE BMP": lambda: bmp_rle(b"\x14\x07\x14\xc0\0\0" * 30 + b"\0\1", width=40, height=30),
    "TIFF": lambda: a_picture(1, format_="TIFF", width=40, height=30),
    "LZW TIFF": lambda: a_picture(1, format_="TIFF", compression="tiff_lzw"),
    "deflate TIFF": lambda: a_picture(1, format_="TIFF", compression="tiff_adobe_deflate"),
    "JPEG TIFF": lambda: a_picture(1, format_="TIFF", compression="jpeg"),
    "AVIF": lambda: a_picture(1, format_="AVIF", speed=10),
    "HEIC": lambda: heic(a_drawing(1)),
}
"""A small sound picture of every accepted format and the kinds of it that are read by code of their own."""


def heic(image: Image.Image) -> bytes:
    """Written by pillow-heif."""
    from pillow_heif import from_pillow  # noqa: PLC0415 - an extra

    file = io.BytesIO()
    from_pillow(image).save(file, format="HEIF")
    return file.getvalue()


def animation(format_: str, *, frames: int) -> bytes:
    """A small GIF, WEBP or PNG that moves."""
    first, *rest = (a_drawing(number, width=64, height=48) for number in range(frames))
    return encoded(first, format_=format_, save_all=True, append_images=rest, duration=40)


# --- two things at once -------------------------------------------------------------------------------------------


def polyglots() -> dict[str, bytes]:
    """Sound pictures that another program takes for something else."""
    script = b"<html><script>alert(document.domain)</script></html>"
    jpeg, png, gif = WRITERS["JPEG"](), WRITERS["PNG"](), WRITERS["GIF"]()
    return {
        "JPEG with HTML in a comment": jpeg[:2] + segment(0xFE, script) + jpeg[2:],
        "JPEG followed by HTML": jpeg + script,
        "JPEG followed by a ZIP": jpeg + a_zip(),
        "JPEG followed by a PDF": jpeg + b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
        "PNG followed by a ZIP": png + a_zip(),
        "PNG with PHP in a text chunk": png[:33]
        + png_chunk(b"tEXt", b"Comment\0<?php system($_GET[0]); ?>")
        + png[33:],
        "GIF that is JavaScript": b"GIF89a/*" + gif[8:10] + gif[10:] + b"*/=1;alert(1)",
        "GIF followed by JavaScript": gif + b"//*/=1;alert(1)",
        "JPEG followed by a PNG": jpeg + png,
        "PNG followed by a JPEG": png + jpeg,
        "WebP followed by HTML": WRITERS["WebP"]() + script,
        "BMP followed by an executable": WRITERS["BMP"]() + b"MZ\x90\0",
    }


def a_zip() -> bytes:
    """An archive with one member."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("evil/../../run.sh", "#!/bin/sh\n")
    return file.getvalue()


# --- large by their header, or once unfolded ------------------------------------------------------------------------


def png_of_zeros(width: int, height: int, *, depth: int = 8, colour_type: int = 2, interlaced: bool = False) -> bytes:
    """As many black pixels as one likes in a thousandth of the bytes (colour type 0 grey, 2 RGB, 6 RGBA)."""
    row = 1 + width * {0: 1, 2: 3, 6: 4}[colour_type] * depth // 8
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, interlaced)
    squeezed = zlib.compressobj(1)
    # Interlacing adds a filter byte for each row of each of seven passes.
    total = row * height + 2 * height * interlaced
    pieces = [squeezed.compress(bytes(min(1 << 20, total - at))) for at in range(0, total, 1 << 20)]
    return png_file([(b"IHDR", header), (b"IDAT", b"".join(pieces) + squeezed.flush())])


def png_with_text_bomb(kind: bytes = b"zTXt", megabytes: int = 1000) -> bytes:
    """A compressed chunk (`zTXt`, `iTXt` or `iCCP`) that unfolds to a gigabyte."""
    squeezed = zlib.compressobj(9)
    bomb = b"".join(squeezed.compress(bytes(1 << 20)) for _ in range(megabytes)) + squeezed.flush()
    head = b"Comment\0\1\0\0\0" if kind == b"iTXt" else b"Comment\0\0"
    sound = WRITERS["PNG"]()
    return sound[:33] + png_chunk(kind, head + bomb) + sound[33:]


def png_with_many_text_bombs(count: int = 300) -> bytes:
    """Each unfolds to just less than is allowed of one."""
    chunk = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1_000_000), 9))
    sound = WRITERS["PNG"]()
    return sound[:33] + count * chunk + sound[33:]


def png_with_chunks(kind: bytes = b"prIv", total: int = MAX_BYTES) -> bytes:
    """Millions of chunks without content, before the pixels."""
    sound = WRITERS["PNG"]()
    chunk = png_chunk(kind, b"")
    return sound[:33] + chunk * ((total - len(sound)) // len(chunk)) + sound[33:]


def png_with_empty_data(total: int = MAX_BYTES) -> bytes:
    """Millions of IDAT chunks without content."""
    return png_with_chunks(b"IDAT", total)


def png_animated(frames: int = 100_000) -> bytes:
    """An APNG of many frames, all of one pixel."""
    pixel = zlib.compress(b"\0\0\0\0")
    control = struct.pack(">IIIIIHHBB", 0, 1, 1, 0, 0, 1, 10, 0, 0)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)), (b"acTL", struct.pack(">II", frames, 0))]
    chunks += [(b"fcTL", control), (b"IDAT", pixel)]
    for number in range(frames - 1):
        sequence = struct.pack(">I", 2 * number + 1)
        chunks += [(b"fcTL", sequence + control[4:]), (b"fdAT", struct.pack(">I", 2 * number + 2) + pixel)]
    return png_file(chunks)


def gif_animated(frames: int = 100_000, *, width: int = 1, height: int = 1) -> bytes:
    """A GIF of many frames, all of one pixel."""
    frame = b"," + struct.pack("<4HB", 0, 0, 1, 1, 0) + b"\2\2\x44\1\0"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + frames * frame + b";"


def gif_with_comments(total: int = MAX_BYTES, block: int = 1) -> bytes:
    """A comment in millions of the smallest blocks."""
    gif = WRITERS["GIF"]()
    at = 13 + (3 << (gif[10] & 7) + 1)
    blocks = (bytes([block]) + block * b"x") * ((total - len(gif)) // (block + 1) - 2)
    return gif[:at] + b"!\xfe" + blocks + b"\0" + gif[at:]


def gif_of_clear_codes(width: int = 10_000, height: int = 10_000, total: int = MAX_BYTES) -> bytes:
    """LZW data that says again and again that the table is to be cleared, and gives no pixel."""
    data = b"\xff" + b"\x24\x49\x92" * 85  # 3-bit codes of value 4, "clear"
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    frame = b"," + struct.pack("<4HB", 0, 0, width, height, 0) + b"\2"
    return head + frame + data * ((total - 40) // len(data)) + b"\0;"


def webp_animated(frames: int = 100_000, *, width: int = 16, height: int = 16) -> bytes:
    """A WebP of many frames of 16 x 16 pixels on a canvas of any size."""
    small = encoded(Image.new("RGB", (16, 16)), format_="WEBP")
    picture = small[12:] + b"\0" * (len(small) & 1)
    head = bytes(6) + (15).to_bytes(3, "little") * 2 + (40).to_bytes(3, "little") + b"\0"
    frame = riff_chunk(b"ANMF", head + picture)
    canvas = b"\2\0\0\0" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBP" + riff_chunk(b"VP8X", canvas) + riff_chunk(b"ANIM", bytes(6)) + frames * frame
    return riff_chunk(b"RIFF", body)


def bmp_rle(data: bytes, *, width: int = 10_000, height: int = 10_000) -> bytes:
    """An 8-bit run-length encoded bitmap of this data."""
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(data), 0, 0, 256, 0)
    palette = bytes(sample for grey in range(256) for sample in (grey, grey, grey, 0))
    offset = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + info + palette + data


def bmp_of_short_lines(width: int = 10_000, height: int = 10_000) -> bytes:
    """A pixel, then the end of the line, and so on: what is missing is filled in."""
    return bmp_rle(b"\1\1\0\0" * height, width=width, height=height)


def bmp_of_single_pixels(width: int = 10_000, height: int = 1_250) -> bytes:
    """A run for each pixel."""
    return bmp_rle((b"\1\1" * width + b"\0\0") * height, width=width, height=height)


# --- profiles and EXIF ----------------------------------------------------------------------------------------------


def jpeg_with_profile(size: int = 255 * 65_519) -> bytes:
    """A colour profile as large as a JPEG may have one."""
    return a_picture(1, format_="JPEG", icc_profile=random.Random(1).randbytes(size))


def png_with_profile_of_curves(entries: int = 200_000) -> bytes:
    """A profile whose tone curves have more entries than any device has levels."""
    curve = b"curv" + bytes(4) + struct.pack(">I", entries) + bytes(2 * entries)
    xyz = b"XYZ " + bytes(4) + struct.pack(">3i", 32768, 32768, 32768)
    names = [b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC"]
    at, table, body = 132 + 12 * len(names), struct.pack(">I", len(names)), b""
    for name in names:
        data = xyz if name.endswith(b"XYZ") else curve
        table += struct.pack(">4sII", name, at + len(body), len(data))
        body += data
    head = bytearray(128)
    struct.pack_into(">I4xI4s4s4s", head, 0, at + len(body), 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head[36:40] = b"acsp"
    return a_picture(1, icc_profile=bytes(head) + table + body)


def exif_of(tags: Iterable[tuple[int, int, int, int]], data: bytes = b"", *, next_ifd: int = 0) -> bytes:
    """Little-endian EXIF of (tag, type, count, value or offset) with `data` behind them; no `Exif` before it."""
    entries = list(tags)
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + struct.pack("<I", next_ifd) + data


def exif_with_long_orientation(total: int = MAX_BYTES - 100_000) -> bytes:
    """An orientation that is not one number but millions of fractions."""
    count = (total - 26) // 8
    return exif_of([(0x0112, 5, count, 26)], bytes(8 * count))


def exif_with_overlapping_tags(total: int = MAX_BYTES - 900_000, tags: int = 60_000) -> bytes:
    """Each tag claims all of the data: together they would take a thousand gigabytes."""
    at = 8 + 2 + 12 * tags + 4
    return exif_of(((number + 0x0200, 7, total - at, at) for number in range(tags)), bytes(total - at))


def exif_with_endless_directories() -> bytes:
    """A directory whose sub-directories and successor are itself."""
    return exif_of([(0x0112, 3, 1, 6), (0x8769, 4, 1, 8), (0x8825, 4, 1, 8), (0xA005, 4, 1, 8)], next_ifd=8)


def png_with_exif(exif: bytes) -> bytes:
    """In a PNG, where EXIF may have any size."""
    sound = WRITERS["PNG"]()
    return sound[:33] + png_chunk(b"eXIf", exif) + sound[33:]


def webp_with_exif(exif: bytes) -> bytes:
    """In a WebP, likewise."""
    picture = a_picture(1, format_="WEBP")[12:]
    canvas = b"\x08\0\0\0" + (159).to_bytes(3, "little") + (119).to_bytes(3, "little")
    return riff_chunk(b"RIFF", b"WEBP" + riff_chunk(b"VP8X", canvas) + picture + riff_chunk(b"EXIF", exif))


def jpeg_with_exif(exif: bytes) -> bytes:
    """In a JPEG, in as many segments as it takes."""
    sound = WRITERS["JPEG"]()
    parts = [exif[at : at + 65_000] for at in range(0, len(exif), 65_000)]
    return sound[:2] + b"".join(segment(0xE1, b"Exif\0\0" + part) for part in parts) + sound[2:]


def jpeg_with_exif_in_pieces(total: int = MAX_BYTES, piece: int = 10) -> bytes:
    """EXIF in millions of segments: each one is joined to all before it."""
    sound = WRITERS["JPEG"]()
    part = segment(0xE1, b"Exif\0\0" + piece * b"x")
    return sound[:2] + part * ((total - len(sound)) // len(part)) + sound[2:]


# --- slow to read ---------------------------------------------------------------------------------------------------


def jpeg_of_scans(
    scans: int = 200_000, *, width: int = 10_000, height: int = 10_000, progressive: bool = True
) -> bytes:
    """A JPEG that goes over all of its blocks again and again, without a bit of data for them.

    200,000 scans take two megabytes, and libjpeg days.
    """
    components = b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    frame = struct.pack(">BHHB", 8, height, width, 3) + components
    one_code = bytes([1] + 16 * [0])  # of one bit
    tables = segment(0xDB, b"\0" + 64 * b"\1") + segment(0xC2 if progressive else 0xC0, frame)
    tables += segment(0xC4, b"\0" + one_code) + segment(0xC4, b"\x10" + one_code)
    each = [segment(0xDA, bytes([1, number, 0, 0, 0 if progressive else 63, 0])) for number in (1, 2, 3)]
    again = segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) if progressive else each[0]
    return b"\xff\xd8" + tables + b"".join(each) + max(scans - 3, 0) * again + b"\xff\xd9"


def jpeg_with_comments(total: int = MAX_BYTES) -> bytes:
    """Millions of segments without content."""
    sound = WRITERS["JPEG"]()
    part = segment(0xFE, b"")
    return sound[:2] + part * ((total - len(sound)) // len(part)) + sound[2:]


def jpeg_with_padding(total: int = MAX_BYTES) -> bytes:
    """Megabytes of the bytes that may stand before a marker."""
    sound = WRITERS["JPEG"]()
    return sound[:2] + b"\xff" * (total - len(sound)) + sound[2:]


def jpeg_cut_off(width: int = 10_000, height: int = 10_000) -> bytes:
    """The header of a hundred megapixels, and a few bytes of scan."""
    return jpeg_of_scans(3, width=width, height=height)[:-2]


def tiff(tags: Iterable[tuple[int, int, int, int]], data: bytes = b"", *, next_ifd: int = 0) -> bytes:
    """A TIFF is what EXIF is too."""
    return exif_of(sorted(tags), data, next_ifd=next_ifd)


def tiff_of_strips(width: int = 3_333, height: int = 30_000, *, waste: int = 1_000_000) -> bytes:
    """Grey; each row is a strip, and all strips are the same megabytes, which unfold to nothing before they give a row.

    A gigabyte is read for each thousand rows. (Of strips beyond a megabyte libtiff reads only a part.)
    """
    squeezed = zlib.compressobj(9, wbits=15)
    start = squeezed.compress(b"") + squeezed.flush(zlib.Z_FULL_FLUSH)
    row = squeezed.compress(bytes(width)) + squeezed.flush()
    strip = start + b"\0\0\0\xff\xff" * (waste // 5) + row  # stored blocks of no bytes
    number = 9
    offsets = 8 + 2 + 12 * number + 4
    counts = offsets + 4 * height
    data = counts + 4 * height
    tags = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1),
        (273, 4, height, offsets), (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, height, counts),
    ]  # fmt: skip
    places = struct.pack("<I", data) * height + struct.pack("<I", len(strip)) * height
    return tiff(tags, places + strip)


def tiff_of_tiny_strips(width: int = 1, height: int = 3_000_000) -> bytes:
    """Uncompressed, a strip for each row, all the same: millions of them."""
    height = min(height, 30_000) if width > 1 else height
    offsets = 8 + 2 + 12 * 9 + 4
    counts = offsets + 4 * height
    tags = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
        (273, 4, height, offsets), (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, height, counts),
    ]  # fmt: skip
    return tiff(tags, struct.pack("<I", 8) * height + struct.pack("<I", width) * height)


def tiff_of_tiny_tiles(side: int = 2_000) -> bytes:
    """Uncompressed tiles of one pixel each, all the same."""
    tiles = min(side * side, 3_000_000)
    offsets = 8 + 2 + 12 * 10 + 4
    tags = [
        (256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1),
        (322, 4, 1, 1), (323, 4, 1, 1), (324, 4, tiles, offsets), (325, 4, tiles, offsets + 4 * tiles),
    ]  # fmt: skip
    return tiff(tags, struct.pack("<I", 8) * tiles + struct.pack("<I", 1) * tiles)


def tiff_with_directories(count: int = 1_000_000) -> bytes:
    """A sound picture followed by a chain of directories without a picture."""
    at = len(TIFF_PIXEL)
    chain = b"".join(struct.pack("<HI", 0, at + 6 * (number + 1)) for number in range(count - 1))
    return TIFF_PIXEL[:-4] + struct.pack("<I", at) + chain + struct.pack("<HI", 0, 0)


def tiff_with_endless_directories() -> bytes:
    """A picture whose next picture is itself."""
    return TIFF_PIXEL[:-4] + struct.pack("<I", 8)


def tiff_with_huge_tag() -> bytes:
    """A tag of four thousand million fractions."""
    return tiff([*TIFF_TAGS, (282, 5, 0xFFFFFFFF, 8)])


def tiff_with_long_resolution(total: int = MAX_BYTES - 1_000) -> bytes:
    """A resolution that is not one fraction but millions of them, and all there."""
    at = 8 + 2 + 12 * (len(TIFF_TAGS) + 1) + 4
    count = (total - at) // 8
    return tiff([*TIFF_TAGS, (282, 5, count, at)], bytes(8 * count))


def tiff_with_long_exif(total: int = MAX_BYTES - 1_000) -> bytes:
    """A resolution of millions of fractions, in a directory of EXIF."""
    at = 8 + 2 + 12 * (len(TIFF_TAGS) + 1) + 4
    count = (total - at - 18) // 8
    directory = struct.pack("<HHHIII", 1, 0x829A, 5, count, at + 18, 0)
    return tiff([*TIFF_TAGS, (0x8769, 4, 1, at)], directory + bytes(8 * count))


def tiff_with_overlapping_tags(total: int = MAX_BYTES - 900_000, tags: int = 60_000) -> bytes:
    """Each tag claims all of the data."""
    at = 8 + 2 + 12 * (len(TIFF_TAGS) + tags) + 4
    more = [(number + 400, 7, total - at, at) for number in range(tags)]
    return tiff([*TIFF_TAGS, *more], bytes(total - at))


TIFF_TAGS = [
    (256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 3, 1, 0), (277, 3, 1, 1),
    (278, 3, 1, 1), (279, 3, 1, 1),
]  # fmt: skip
TIFF_PIXEL = tiff(TIFF_TAGS)
"""A TIFF of one grey pixel, which is its own first byte."""


# --- AVIF and HEIC --------------------------------------------------------------------------------------------------


def heif_with_size(content: bytes, width: int, height: int) -> bytes:
    """An AVIF or HEIC whose `ispe` boxes claim another size than its pixels have."""
    at, changed = 0, bytearray(content)
    while (at := content.find(b"ispe", at)) >= 0:
        struct.pack_into(">II", changed, at + 8, width, height)
        at += 4
    return bytes(changed)


def heif_with_grid(content: bytes, rows: int = 256, columns: int = 256) -> bytes:
    """An AVIF or HEIC whose picture is declared to be a grid of tiles, which it is not."""
    return content.replace(b"av01Color", b"gridColor").replace(b"hvc1", b"grid") + struct.pack(
        ">BBBBII", 0, 1, rows - 1, columns - 1, 0x7FFFFFFF, 0x7FFFFFFF
    )


def heif_with_boxes(content: bytes, count: int = 200_000) -> bytes:
    """Empty boxes behind the picture's own."""
    return content + count * b"\0\0\0\x08free"


# --- the worst of them ----------------------------------------------------------------------------------------------

SLOW: dict[str, Callable[[], bytes]] = {
    "100 megapixels of PNG": lambda: png_of_zeros(10_000, 10_000),
    "100 megapixels of interlaced 16-bit PNG": lambda: png_of_zeros(10_000, 10_000, depth=16, interlaced=True),
    "a PNG of millions of chunks": png_with_chunks,
    "a PNG of millions of empty data chunks": png_with_empty_data,
    "a PNG of many texts": png_with_many_text_bombs,
    "a PNG with an orientation of millions of fractions": lambda: png_with_exif(exif_with_long_orientation()),
    "a PNG whose EXIF tags overlap": lambda: png_with_exif(exif_with_overlapping_tags()),
    "an APNG of 100,000 frames": png_animated,
    "a GIF of 100,000 frames": gif_animated,
    "a GIF with a comment of millions of blocks": gif_with_comments,
    "a GIF that only clears": gif_of_clear_codes,
    "a WebP of 100,000 frames": webp_animated,
    "a WebP on a canvas of 100 megapixels": lambda: webp_animated(1, width=10_000, height=10_000),
    "a BMP of short lines": bmp_of_short_lines,
    "a BMP of single pixels": bmp_of_single_pixels,
    "a JPEG of 200,000 scans": jpeg_of_scans,
    "a sequential JPEG of 200,000 scans": lambda: jpeg_of_scans(progressive=False),
    "a JPEG of millions of comments": jpeg_with_comments,
    "a JPEG of padding": jpeg_with_padding,
    "a JPEG with EXIF in millions of pieces": jpeg_with_exif_in_pieces,
    "a JPEG with a colour profile of 16 MB": jpeg_with_profile,
    "a TIFF of which 30 gigabytes are read": tiff_of_strips,
    "a TIFF of millions of strips": tiff_of_tiny_strips,
    "a TIFF of millions of tiles": tiff_of_tiny_tiles,
    "a TIFF of a million directories": tiff_with_directories,
    "a TIFF with a resolution of millions of fractions": tiff_with_long_resolution,
    "a TIFF whose tags overlap": tiff_with_overlapping_tags,
    "a TIFF with millions of fractions in its EXIF": tiff_with_long_exif,
    "a TIFF of 193,600 tiles of a pixel": lambda: tiff_of_tiny_tiles(440),
    "an AVIF that claims 100 megapixels": lambda: heif_with_size(WRITERS["AVIF"](), 10_000, 10_000),
    "a HEIC that claims 100 megapixels": lambda: heif_with_size(WRITERS["HEIC"](), 10_000, 10_000),
    "an AVIF of empty boxes": lambda: heif_with_boxes(WRITERS["AVIF"](), 3_000_000),
    "a HEIC of empty boxes": lambda: heif_with_boxes(WRITERS["HEIC"](), 3_000_000),
}
"""What takes longest, or most memory, within the limits of the service. Making one may take a second or two."""


# --- damaged at random ----------------------------------------------------------------------------------------------

_TOKENS = [
    b"\xff\xd8", b"\xff\xd9", b"\xff\xda", b"\xff\xc0", b"\xff\xc2", b"\xff\xc4", b"\xff\xdb", b"\xff\xe1",
    b"\xff\xdd\0\4\0\1", b"IHDR", b"IDAT", b"IEND", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"fdAT", b"eXIf", b"iCCP",
    b"zTXt", b"iTXt", b"sBIT", b"RIFF", b"WEBP", b"VP8 ", b"VP8L", b"VP8X", b"ANIM", b"ANMF", b"ALPH", b"ICCP", b"EXIF",
    b"GIF87a", b"GIF89a", b"!\xf9\4", b"!\xfe", b"!\xff\x0bNETSCAPE2.0", b",", b";", b"BM", b"II*\0", b"MM\0*",
    b"II+\0", b"ftyp", b"meta", b"iloc", b"iinf", b"iref", b"iprp", b"ipco", b"ipma", b"ispe", b"pixi", b"grid",
    b"iovl", b"auxC", b"irot", b"imir", b"clap", b"colr", b"av1C", b"hvcC", b"avif", b"heic", b"mif1", b"msf1", b"avis",
    b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\1", b"\1\0\0\0", b"\xff\xff",
]  # fmt: skip
"""Names and numbers that mean something to some reader."""


def mutations(content: bytes, chance: random.Random) -> Iterator[bytes]:
    """Endlessly many damaged versions of a file: one to four changes each."""
    while True:
        changed = bytearray(content)
        for _ in range(chance.choice((1, 1, 1, 2, 3, 4))):
            chance.choice(_MUTATIONS)(changed, chance)
        yield bytes(changed)


def concatenated(contents: Iterable[bytes], chance: random.Random) -> bytes:
    """The beginning of one file and the end of another."""
    first, second = chance.sample(list(contents), 2)
    return first[: chance.randrange(len(first) + 1)] + second[chance.choice((0, chance.randrange(len(second)))) :]


def _flip_bits(content: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 2, 8, 64))):
        if content:
            content[_place(content, chance)] ^= 1 << chance.randrange(8)


def _cut_off(content: bytearray, chance: random.Random) -> None:
    del content[chance.randrange(len(content) + 1) :]


def _cut_out(content: bytearray, chance: random.Random) -> None:
    at = _place(content, chance)
    del content[at : at + chance.choice((1, 2, 4, 16, 256, 4096))]


def _set_number(content: bytearray, chance: random.Random) -> None:
    """Lengths, counts and offsets are two or four bytes, of either order."""
    at, size = _place(content, chance), chance.choice((1, 2, 4, 8))
    value = chance.choice((0, 1, 2**31, 2**32 - 1, 2**16 - 1, 255, chance.getrandbits(8 * size))) % 256**size
    content[at : at + size] = value.to_bytes(size, chance.choice(("big", "little")))


def _swap(content: bytearray, chance: random.Random) -> None:
    size = chance.choice((1, 4, 12, 64, 512))
    one, other = sorted((_place(content, chance), _place(content, chance)))
    if one + size <= other:
        first, second = content[one : one + size], content[other : other + size]
        content[one : one + size], content[other : other + len(second)] = second, first


def _repeat(content: bytearray, chance: random.Random) -> None:
    at = _place(content, chance)
    content[at:at] = content[at : at + chance.choice((1, 4, 12, 64, 512))] * chance.choice((1, 2, 50))


def _insert_token(content: bytearray, chance: random.Random) -> None:
    at = _place(content, chance)
    token = chance.choice(_TOKENS)
    content[at : at + chance.choice((0, len(token)))] = token


def _insert_noise(content: bytearray, chance: random.Random) -> None:
    at = _place(content, chance)
    content[at : at + chance.choice((0, 16))] = chance.randbytes(chance.choice((1, 16, 300)))


_MUTATIONS = (_flip_bits, _cut_off, _cut_out, _set_number, _set_number, _swap, _repeat, _insert_token, _insert_noise)


def _place(content: bytearray, chance: random.Random) -> int:
    """Mostly in the header, where most is decided."""
    return chance.randrange(min(len(content), chance.choice((64, 512, len(content)))) or 1) if content else 0


# --- parts of files -------------------------------------------------------------------------------------------------


def png_chunk(name: bytes, data: bytes) -> bytes:
    """With its length and its checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_file(chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    """These chunks, and IEND."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks) + png_chunk(b"IEND", b"")


def riff_chunk(name: bytes, data: bytes) -> bytes:
    """With its length, at an even one."""
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1)


def segment(marker: int, data: bytes) -> bytes:
    """Of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data
