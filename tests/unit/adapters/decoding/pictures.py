"""Picture files, made on the spot: what Pillow can write, and what it cannot, byte by byte."""

import io
import struct
import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def corners(width: int = 48, height: int = 32) -> NDArray[np.uint8]:
    """Red top left, green top right, blue bottom left, white bottom right: no turn or flip leaves it alike."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[: height // 2, : width // 2] = RED
    pixels[: height // 2, width // 2 :] = GREEN
    pixels[height // 2 :, : width // 2] = BLUE
    pixels[height // 2 :, width // 2 :] = WHITE
    return pixels


def textured(width: int = 96, height: int = 64) -> Image.Image:
    """A smooth picture with a noisy part, so that no format compresses it to nearly nothing."""
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([columns * 255 // width, rows * 255 // height, (rows + columns) % 256], axis=-1).astype(np.uint8)
    noisy = pixels[height // 4 : height // 2, width // 4 : width // 2]
    noisy[:] = np.random.default_rng(7).integers(0, 256, noisy.shape)
    return Image.fromarray(pixels)


def exif(orientation: int) -> bytes:
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(  # one row a bytes object, samples packed as the format wants them
    size: tuple[int, int], *, depth: int, colour_type: int, rows: bytes | None, extra: bytes = b""
) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, 0))
    data = b"" if rows is None else png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + extra + data


def header_only(kind: str, width: int, height: int) -> bytes:
    """A file that announces its size and has no pixels: whoever tries to decode it finds it damaged."""
    if kind == "PNG":
        return png((width, height), depth=8, colour_type=2, rows=None, extra=png_chunk(b"IDAT", b"\0" * 64))
    if kind == "JPEG":
        frame = struct.pack(">BHHB", 8, height, width, 3) + bytes([1, 17, 0, 2, 17, 0, 3, 17, 0])
        scan = bytes([3, 1, 0, 2, 0, 3, 0, 0, 63, 0])
        segments = ((0xC0, frame), (0xDA, scan))
        return b"\xff\xd8" + b"".join(struct.pack(">BBH", 255, m, len(s) + 2) + s for m, s in segments)
    if kind == "GIF":
        frame = b"," + struct.pack("<4HB", 0, 0, width, height, 0)
        return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + frame + b"\x08\x00;"
    if kind == "BMP":
        info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
        return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info
    if kind == "WEBP":
        canvas = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        body = b"WEBPVP8X" + struct.pack("<I", len(canvas)) + canvas
        return b"RIFF" + struct.pack("<I", len(body)) + body
    if kind == "TIFF":
        fields = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
        fields += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, width)]
        body = b"".join(struct.pack("<HHII", *field) for field in fields)
        return b"II*\0" + struct.pack("<IH", 8, len(fields)) + body + bytes(4)
    raise ValueError(kind)


def profile(space: bytes, tags: Mapping[bytes, bytes], *, connection: bytes = b"XYZ ") -> bytes:
    """An ICC profile, version 2.4, of a device with the given colour space."""
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = bytearray(128)
    struct.pack_into(">I4xI4s4s4s", header, 0, start + len(body), 0x02400000, b"mntr", space, connection)
    struct.pack_into(">6H", header, 24, 2024, 1, 1, 0, 0, 0)
    header[36:40] = b"acsp"
    struct.pack_into(">3i", header, 68, *_fixed(0.9642, 1.0, 0.8249))
    return bytes(header) + table + body


def _fixed(*values: float) -> list[int]:
    return [round(value * 65536) for value in values]


def _xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *_fixed(*values))


def _gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH2x", 1, round(value * 256))


_SRGB_RED, _SRGB_GREEN, _SRGB_BLUE = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)
"""sRGB's primaries as XYZ under D50 (IEC 61966-2-1, Bradford-adapted)."""


def _srgb_curve() -> bytes:
    levels = np.linspace(0, 1, 1024)
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return b"curv\0\0\0\0" + struct.pack(">I1024H", 1024, *np.rint(linear * 65535).astype(int))


def rgb_profile(
    *, red: tuple[float, ...], green: tuple[float, ...], blue: tuple[float, ...], curve: bytes | None = None
) -> bytes:
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve or _gamma(2.2))
    primaries = {b"rXYZ": _xyz(*red), b"gXYZ": _xyz(*green), b"bXYZ": _xyz(*blue)}
    return profile(b"RGB ", {b"wtpt": _xyz(0.9642, 1.0, 0.8249), **primaries, **curves})


def swapped_profile() -> bytes:
    """A device whose red channel shines blue, and whose blue channel shines red."""
    return rgb_profile(red=_SRGB_BLUE, green=_SRGB_GREEN, blue=_SRGB_RED)


def nearly_srgb_profile() -> bytes:
    """sRGB with primaries rounded otherwise, as cameras write it: colours move by a level or two."""
    return rgb_profile(
        red=(0.4360, 0.2225, 0.0139), green=(0.3851, 0.7168, 0.0971), blue=_SRGB_BLUE, curve=_srgb_curve()
    )


def wide_profile() -> bytes:
    """Adobe RGB (1998): a green beyond sRGB's."""
    return rgb_profile(red=(0.6097, 0.3111, 0.0195), green=(0.2053, 0.6257, 0.0609), blue=(0.1492, 0.0632, 0.7446))


def linear_grey_profile() -> bytes:
    return profile(b"GRAY", {b"wtpt": _xyz(0.9642, 1.0, 0.8249), b"kTRC": _gamma(1.0)})


def red_cyan_profile() -> bytes:
    """A press whose cyan ink prints red, whose black ink prints black, and whose other inks print nothing."""
    black, white, red = bytes([0, 128, 128]), bytes([255, 128, 128]), bytes([round(54 * 2.55), 128 + 81, 128 + 70])
    # Cyan varies slowest, black fastest.
    grid = b"".join(black if corner & 1 else red if corner & 8 else white for corner in range(16))
    identity = struct.pack(">9i", *_fixed(1, 0, 0, 0, 1, 0, 0, 0, 1))
    ramp = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + ramp * 4 + grid + ramp * 3
    return profile(b"CMYK", {b"wtpt": _xyz(0.9642, 1.0, 0.8249), b"A2B0": table}, connection=b"Lab ")
