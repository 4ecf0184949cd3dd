"""What some bytes are, by their content alone, and whether all of them are there."""

import re
import struct
import zlib
from enum import Enum

from adapters.decoding.tiff import with_picture_first
from domain.errors import ImageUnreadableError


class ImageFormat(Enum):
    """An accepted format; the value is its media type."""

    JPEG = "image/jpeg"
    PNG = "image/png"
    WEBP = "image/webp"
    GIF = "image/gif"
    BMP = "image/bmp"
    TIFF = "image/tiff"
    AVIF = "image/avif"
    HEIC = "image/heic"


_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_ANIMATION = frozenset({b"acTL", b"fcTL", b"fdAT"})
_ANCILLARY = 0x20  # the bit of a chunk's first letter that says that the picture can be shown without it

_SIGNATURES = {
    b"\xff\xd8\xff": ImageFormat.JPEG,
    _PNG: ImageFormat.PNG,
    b"GIF87a": ImageFormat.GIF,
    b"GIF89a": ImageFormat.GIF,
    b"II*\0": ImageFormat.TIFF,  # little endian
    b"MM\0*": ImageFormat.TIFF,  # big endian
    b"II+\0": ImageFormat.TIFF,  # BigTIFF
    b"MM\0+": ImageFormat.TIFF,
}

_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xDA)})
"""JPEG markers that no segment follows."""
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""In a scan, a zero makes the byte before it one of the data, and restart markers stand anywhere."""

_BMP_HEADER_SIZES = frozenset({12, 40, 52, 56, 64, 108, 124})

_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_STRUCTURAL_BRANDS = frozenset({b"mif1", b"mif2", b"msf1", b"miaf"})
"""HEIF brands that leave the codec to the compatible brands."""


MAX_SCANS, MAX_SEGMENTS, MAX_PADDING = 100, 2_000, 1_000_000
"""Of a JPEG: scans (cameras and programs write up to a dozen), and before the first one segments and bytes between
them. libjpeg goes over all blocks for each scan, were there nothing in it: 200,000 scans, of 2 MB, take it days."""

MAX_EXIF = 1024 * 1024
"""Bytes. The standard allows 64 KiB; an orientation of millions of numbers, in 25 MB, takes Pillow 10 s and 400 MB."""

MAX_RUN_LENGTH_PIXELS = 4_000_000
"""Of a run-length encoded BMP, which Pillow reads in Python: .2 s a megapixel, in a file of a few bytes."""

MAX_CHUNKS, MAX_BLOCKS = 100_000, 1_000_000
"""Of a PNG and of a GIF. Pillow takes microseconds for each, were it empty."""


def identify(content: bytes) -> ImageFormat | None:
    """The accepted format whose signature `content` begins with, or None."""
    for signature, kind in _SIGNATURES.items():
        if content.startswith(signature):
            return kind
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return ImageFormat.WEBP
    # Two letters alone would make a picture of any text that begins with them.
    if content.startswith(b"BM") and int.from_bytes(content[14:18], "little") in _BMP_HEADER_SIZES:
        return ImageFormat.BMP
    return _identify_heif(content)


def _identify_heif(content: bytes) -> ImageFormat | None:
    if content[4:8] != b"ftyp":
        return None
    end = min(int.from_bytes(content[:4], "big"), 1024)
    major, compatible = content[8:12], {content[at : at + 4] for at in range(16, end, 4)}
    brands = compatible if major in _STRUCTURAL_BRANDS else {major}
    if brands & _AVIF_BRANDS:
        return ImageFormat.AVIF
    return ImageFormat.HEIC if brands & _HEIC_BRANDS else None


def webp_canvas(content: bytes) -> tuple[int, int] | None:
    """Width and height from a WebP header, or None where it is cut short or of an unknown kind.

    Read here since libwebp allocates the canvas as soon as it opens a file. Offsets are from the WebP container
    specification and RFC 6386.
    """
    header = content[12:30]
    if len(header) < 18:
        return None
    if header.startswith(b"VP8X"):
        return 1 + int.from_bytes(header[12:15], "little"), 1 + int.from_bytes(header[15:18], "little")
    if header.startswith(b"VP8 "):
        width, height = struct.unpack_from("<HH", header, 14)
        return width & 0x3FFF, height & 0x3FFF
    if header.startswith(b"VP8L"):
        bits = int.from_bytes(header[9:13], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None


def prepared(kind: ImageFormat, content: bytes) -> tuple[bytes, bool]:
    """What a reader of the format is given, and whether all of it is there, as far as can be told without decoding.

    A PNG comes without what is damaged and not needed, a TIFF with its whole picture first. Raises CameraRawError, and
    ImageUnreadableError for damage that matters, or so many pieces that they were made to keep a reader busy.
    """
    try:
        if kind is ImageFormat.JPEG:
            _walk_jpeg(content)
        elif kind is ImageFormat.TIFF:
            return with_picture_first(content), True
        elif kind is ImageFormat.PNG:
            return _sound_png(content), True
        elif kind is ImageFormat.GIF:
            _walk_gif(content)
    except (IndexError, struct.error):
        # Readers of PNGs and GIFs stop looking before the end; those of the other formats notice themselves.
        return content, False
    return content, True


def is_run_length_encoded(content: bytes) -> bool:
    """Whether a BMP is."""
    return int.from_bytes(content[14:18], "little") >= 40 and content[30:34] in {b"\1\0\0\0", b"\2\0\0\0"}


def _walk_jpeg(content: bytes) -> None:
    """Reach the first scan, and count those that follow."""
    at, padding, segments, exif, marker = 2, 0, 0, 0, 0
    while marker != _START_OF_SCAN:
        if (found := _MARKER.search(content, at)) is None:
            return
        marker, padding, segments = content[found.end() - 1], padding + found.start() - at, segments + 1
        if segments > MAX_SEGMENTS or padding > MAX_PADDING:
            raise _excess("JPEG", f"{MAX_SEGMENTS:,} segments, or {MAX_PADDING:,} bytes between them")
        at = _after_segment(content, found.end())
        if content.startswith(b"Exif", found.end() + 2):
            exif += at - found.end()
            if exif > MAX_EXIF:
                raise _excess("JPEG", f"{MAX_EXIF:,} bytes of EXIF")
    # A count without regard to where these bytes stand is too high if anything, and takes no time.
    if content.count(bytes([0xFF, _START_OF_SCAN]), at) < MAX_SCANS:
        return
    scans = 1
    while (found := _MARKER_IN_SCAN.search(content, at)) and (marker := content[found.end() - 1]) != _END_OF_IMAGE:
        scans += marker == _START_OF_SCAN
        if scans > MAX_SCANS:
            raise _excess("JPEG", f"{MAX_SCANS} scans")
        at = _after_segment(content, found.end())


def _after_segment(content: bytes, at: int) -> int:
    """Behind a segment whose marker ends at `at`."""
    return at if content[at - 1] in _BARE_MARKERS else at + int.from_bytes(content[at : at + 2], "big")


def _sound_png(content: bytes) -> bytes:
    """The PNG without the ancillary chunks that have wrong checksums.

    Where there are any, it comes without its animation too, which might have gaps; what is shown is no part of that.
    Raises ImageUnreadableError for other wrong checksums, IndexError or struct.error where the end is missing.
    """
    at, name, chunks, damaged = len(_PNG), b"", 0, False
    kept: list[bytes | memoryview] = [_PNG]
    while name != b"IEND":
        if (chunks := chunks + 1) > MAX_CHUNKS:
            raise _excess("PNG", f"{MAX_CHUNKS:,} chunks")
        length, name = struct.unpack_from(">I4s", content, at)
        end = at + 12 + length
        (checksum,) = struct.unpack_from(">I", content, end - 4)
        chunk = memoryview(content)[at:end]
        at = end
        if zlib.crc32(chunk[4:-4]) == checksum:
            if name not in _PNG_ANIMATION:
                kept.append(chunk)
        elif name[0] & _ANCILLARY:
            damaged = True
        else:
            raise ImageUnreadableError(
                f"A PNG checksum is wrong ({name.decode('latin-1')!r}). Send the undamaged file."
            )
    return b"".join(kept) if damaged else content


def _walk_gif(content: bytes) -> None:
    """Reach the trailer, or raise."""
    at, blocks = 13 + _colour_table(content[10]), 0
    while (introducer := content[at]) != 0x3B:
        at += 1
        if introducer == 0x21:  # an extension
            at += 1
        elif introducer == 0x2C:  # a frame
            at += 10 + _colour_table(content[at + 8])
        else:
            continue
        while size := content[at]:
            at += size + 1
            blocks += 1
            if blocks > MAX_BLOCKS:
                raise _excess("GIF", f"{MAX_BLOCKS:,} blocks")
        at += 1


def _colour_table(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _excess(kind: str, most: str) -> ImageUnreadableError:
    return ImageUnreadableError(f"The {kind} has more than {most}: more than any picture needs. Save it anew.")
