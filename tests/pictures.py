"""Pictures for tests: small, each numbered one different to bytes and to models alike."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

PHOTOS = Path(__file__).parent.parent / "examples" / "photos"


def a_drawing(number: int, *, width: int = 160, height: int = 120) -> Image.Image:
    """Shapes and stripes of random colours and places."""
    chance = np.random.default_rng(number)
    image = Image.new("RGB", (width, height), _colour(chance))
    draw = ImageDraw.Draw(image)
    for _ in range(int(chance.integers(2, 7))):
        (x, y), (w, h) = chance.integers(0, (width, height)), chance.integers(8, (width, height))
        box = [int(x - w / 2), int(y - h / 2), int(x + w / 2), int(y + h / 2)]
        match chance.integers(0, 4):
            case 0:
                draw.rectangle(box, fill=_colour(chance))
            case 1:
                draw.ellipse(box, fill=_colour(chance), outline=_colour(chance), width=5)
            case 2:
                draw.regular_polygon((int(x), int(y), max(4, int(min(w, h) / 2))), 3, fill=_colour(chance))
            case _:
                colour, step = _colour(chance), int(chance.integers(6, 20))
                for left in range(box[0], box[2], step):
                    draw.line([left, box[1], left + step, box[3]], fill=colour, width=3)
    return image


def a_picture(number: int, *, format_: str = "PNG", width: int = 160, height: int = 120, **save: object) -> bytes:
    """Drawing `number` as a file."""
    return encoded(a_drawing(number, width=width, height=height), format_=format_, **save)


def encoded(image: Image.Image, *, format_: str = "PNG", **save: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **save)
    return buffer.getvalue()


def a_turned_photo(number: int) -> bytes:
    """A JPEG that lies on its side: upright only by its EXIF orientation; 120 x 160 when upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return a_picture(number, format_="JPEG", width=160, height=120, exif=exif, quality=92)


def a_photo(name: str = "hat-01.jpg") -> bytes:
    return (PHOTOS / name).read_bytes()


def a_bomb(width: int = 20_000, height: int = 20_000) -> bytes:
    """A PNG of a few bytes whose header promises more pixels than any deployment takes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def a_truncated_photo() -> bytes:
    photo = a_photo()
    return photo[: len(photo) // 2]


def opened(content: bytes) -> Image.Image:
    """The file as pixels, for looking at answers."""
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def _colour(chance: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = chance.integers(0, 256, 3)
    return int(red), int(green), int(blue)
