"""TIFF files of several directories, put together from the format's description."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

BYTE, ASCII, SHORT, LONG = 1, 2, 3, 4
_FORMS = {SHORT: "H", LONG: "I"}

SUBFILE_TYPE, OLD_SUBFILE_TYPE, COMPRESSION, PHOTOMETRY, MAKE, CHILDREN = 254, 255, 259, 262, 271, 330
REDUCED, MASK = 1, 4
CFA, LINEAR_RAW = 32803, 34892
DNG_VERSION, DNG_PRIVATE_DATA = 50706, 50740

Tags = Mapping[int, tuple[int, Sequence[int] | bytes]]


@dataclass(frozen=True)
class Directory:
    """Of a TIFF: each tag with its type and values, and what it points to."""

    tags: Tags
    pixels: bytes = b""
    children: Sequence["Directory"] = field(default_factory=tuple)


def page(level: int, *, side: int = 8, more: Tags | None = None, children: Sequence[Directory] = ()) -> Directory:
    """A square picture of one grey."""
    tags: Tags = {
        256: (LONG, [side]),
        257: (LONG, [side]),
        258: (SHORT, [8]),
        COMPRESSION: (SHORT, [1]),
        PHOTOMETRY: (SHORT, [1]),
        277: (SHORT, [1]),
        278: (LONG, [side]),
    }
    return Directory({**tags, **(more or {})}, bytes([level]) * (side * side), children)


def reduced(level: int, *, more: Tags | None = None, children: Sequence[Directory] = ()) -> Directory:
    """A thumbnail: a picture marked so."""
    return page(level, side=4, more={SUBFILE_TYPE: (LONG, [REDUCED]), **(more or {})}, children=children)


def make(name: str) -> Tags:
    """The tag that names the maker of a camera."""
    return {MAKE: (ASCII, name.encode() + b"\0")}


def tiff_of(*directories: Directory, order: str = "<", big: bool = False, beginning: bytes = b"") -> bytes:
    """The file; `beginning` follows its header."""
    mark = b"II" if order == "<" else b"MM"
    offset = struct.Struct(order + ("Q" if big else "I"))
    head = mark + (struct.pack(order + "HHH", 43, 8, 0) if big else struct.pack(order + "H", 42))
    out, pointer = bytearray(head + bytes(offset.size) + beginning), len(head)
    for directory in directories:
        at, pointer_to_next = _write(out, directory, order, offset)
        offset.pack_into(out, pointer, at)
        pointer = pointer_to_next
    return bytes(out)


def _write(out: bytearray, directory: Directory, order: str, offset: struct.Struct) -> tuple[int, int]:
    """Where the directory begins, and where the next one's place belongs. What it points to follows it."""
    big = offset.size == 8
    number, head = struct.Struct(order + ("Q" if big else "H")), struct.Struct(order + ("HHQ" if big else "HHI"))
    tags = dict(directory.tags)
    if directory.pixels:
        tags |= {273: (LONG, [0]), 279: (LONG, [len(directory.pixels)])}
    if directory.children:
        tags[CHILDREN] = (LONG, [])
    at, size = len(out), head.size + offset.size
    end = at + number.size + size * len(tags)
    out += bytes(end + offset.size - at)
    if directory.pixels:
        tags[273] = (LONG, [len(out)])
        out += directory.pixels
    if directory.children:
        tags[CHILDREN] = (LONG, [_write(out, child, order, offset)[0] for child in directory.children])
    number.pack_into(out, at, len(tags))
    for place, (tag, (kind, values)) in enumerate(sorted(tags.items())):
        data = values if isinstance(values, bytes) else struct.pack(f"{order}{len(values)}{_FORMS[kind]}", *values)
        if len(data) > offset.size:
            out_of_line, data = data, offset.pack(len(out))
            out += out_of_line
        entry = head.pack(tag, kind, len(values)) + data.ljust(offset.size, b"\0")
        first = at + number.size + place * size
        out[first : first + size] = entry
    return at, end
