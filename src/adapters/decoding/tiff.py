"""The directories of a TIFF: which one holds the picture, and whether it is a camera RAW file.

Sources: TIFF 6.0 and its Technical Note 1 (SubIFDs), BigTIFF, TIFF/EP (ISO 12234-2), DNG 1.7.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from adapters.decoding.camera_raw import TIFF_NAMES, raw_error
from domain.errors import ImageUnreadableError

MAX_TAGS, MAX_VALUES = 65_536, 200_000
"""Of a picture: tags, and numbers of one tag (a palette of 16 bits has 196,608); among these are strips and tiles."""

MAX_DIRECTORIES, MAX_TAGS_SEARCHED = 64, 1_024
"""Directories, and tags of each, among which the picture is looked for."""

_SUBFILE_TYPE, _OLD_SUBFILE_TYPE, _CHILDREN = 254, 255, 330
_REDUCED, _MASK, _OLD_REDUCED = 1, 4, 2  # bits of the type, and a value of the tag that it superseded

_WIDTH, _COMPRESSION, _PHOTOMETRY, _MAKE = 256, 259, 262, 271
_DNG_VERSION, _DNG_PRIVATE_DATA = 50706, 50740  # the latter is all that tells some of Sony's
_RAW_KINDS = frozenset({32803, 34892}) | {32767, 32769, 32770, 32867, 34713, 65000, 65535}
"""Photometry of a colour filter array and of linear raw, and compressions that makers of cameras call their own."""

_FURTHER_TAGS = frozenset({0x8769, 0x8825, 0xA005})  # which point to directories: of EXIF, GPS and interoperability
_BYTES = frozenset({1, 2, 6, 7})  # types whose values are read as one piece
_NUMBERS = {1: "B", 2: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
"""Types byte, letter, short, long and directory, and the long forms of a BigTIFF."""


class _Tag(NamedTuple):
    name: int
    kind: int
    length: int  # of values
    at: int  # where they are if they fit there, else where their place is written


_Tags = dict[int, _Tag]


def with_picture_first(content: bytes) -> bytes:
    """The TIFF with its first whole picture as the first: reduced ones and masks before it are passed over.

    A picture's children count as before the next of the chain: a thumbnail may have its picture as a child. Raises
    CameraRawError, and ImageUnreadableError for so many tags that the TIFF was made to keep a reader busy.
    """
    tiff = _Tiff(content)
    directories = tiff.directories()
    _refuse_raw(tiff, list(directories.values()))
    first = next(iter(directories), 0)
    picture = next((at for at, tags in directories.items() if _is_whole_picture(tiff, tags)), None)
    if picture is None and tiff.ends_early:
        raise ImageUnreadableError("The TIFF ends before its picture. Send the whole file.")
    _refuse_excess(tiff, picture or first)
    if picture in {None, first}:
        return content
    size = tiff.offset.size
    return content[:size] + tiff.offset.pack(picture) + content[2 * size :]


class _Tiff:
    def __init__(self, content: bytes) -> None:
        order = "<" if content.startswith(b"II") else ">"
        forms = ("Q", "Q", "HHQ") if b"+" in content[2:4] else ("I", "H", "HHI")
        self.offset, self._number, self._tag = (struct.Struct(order + form) for form in forms)
        self._order, self._content, self.ends_early = order, content, False

    def directories(self) -> dict[int, _Tags]:
        """By their places, depth first: each, its children, the next of the chain."""
        found: dict[int, _Tags] = {}
        waiting, seen = [self._offset_at(self.offset.size)], {0}
        while waiting and len(seen) <= MAX_DIRECTORIES:
            if (at := waiting.pop()) in seen:
                continue
            seen.add(at)
            if tags := {tag.name: tag for tag in self.tags(at, most=MAX_TAGS_SEARCHED)}:
                found[at] = tags
                count, first, size = self._shape(at)
                waiting += [self._offset_at(first + count * size), *reversed(self.numbers(tags, _CHILDREN))]
        return found

    def tags(self, at: int, *, most: int) -> Iterator[_Tag]:
        """Of the directory there, as many as there are before the end."""
        count, first, size = self._shape(at)
        there = max(0, min(count, (len(self._content) - first) // size))
        self.ends_early |= there < count
        for place in range(first, first + min(there, most) * size, size):
            name, kind, length = self._tag.unpack_from(self._content, place)
            yield _Tag(name, kind, length, place + self._tag.size)

    def numbers(self, tags: _Tags, name: int) -> tuple[int, ...]:
        """A tag's values, up to MAX_DIRECTORIES; none where it is absent, or its values are no whole numbers."""
        if (tag := tags.get(name)) is None or (form := _NUMBERS.get(tag.kind)) is None:
            return ()
        size, count = struct.calcsize(form), min(tag.length, MAX_DIRECTORIES)
        at = tag.at if size * tag.length <= self.offset.size else self._offset_at(tag.at)
        there = max(0, min(count, (len(self._content) - at) // size))
        self.ends_early |= there < count
        return struct.unpack_from(f"{self._order}{there}{form}", self._content, at) if there else ()

    def _shape(self, at: int) -> tuple[int, int, int]:
        """Of a directory: how many tags it says to have, where they begin, and the bytes of each."""
        first, size = at + self._number.size, self._tag.size + self.offset.size
        return (self._number.unpack_from(self._content, at)[0] if first <= len(self._content) else 1), first, size

    def _offset_at(self, at: int) -> int:
        """What is written there; 0 beyond the end."""
        is_there = at + self.offset.size <= len(self._content)
        self.ends_early |= not is_there
        return int(self.offset.unpack_from(self._content, at)[0]) if is_there else 0


def _is_whole_picture(tiff: _Tiff, tags: _Tags) -> bool:
    is_part = any(kind & (_REDUCED | _MASK) for kind in tiff.numbers(tags, _SUBFILE_TYPE))
    return _WIDTH in tags and not is_part and _OLD_REDUCED not in tiff.numbers(tags, _OLD_SUBFILE_TYPE)


def _refuse_raw(tiff: _Tiff, directories: list[_Tags]) -> None:
    if any(_DNG_VERSION in tags for tags in directories):
        raise raw_error("Adobe DNG")
    kinds = {kind for tags in directories for name in (_COMPRESSION, _PHOTOMETRY) for kind in tiff.numbers(tags, name)}
    if kinds & _RAW_KINDS or any(_DNG_PRIVATE_DATA in tags for tags in directories):
        makes = [bytes(number & 0xFF for number in tiff.numbers(tags, _MAKE)) for tags in directories]
        make = b" ".join(makes).upper().decode("latin-1")
        raise raw_error(next((name for name in TIFF_NAMES if name.split()[0].upper() in make), "of the TIFF family"))


def _refuse_excess(tiff: _Tiff, picture: int) -> None:
    """Look at every tag of the picture and of its EXIF."""
    waiting, seen, tags = [picture], {0}, 0
    while waiting:
        if (at := waiting.pop()) in seen:
            continue
        seen.add(at)
        for tag in tiff.tags(at, most=MAX_TAGS + 1):
            tags += 1
            if tags > MAX_TAGS or (tag.length > MAX_VALUES and tag.kind not in _BYTES):
                most = f"{MAX_TAGS:,} tags, or {MAX_VALUES:,} values of one"
                raise ImageUnreadableError(f"The TIFF has more than {most}: more than any picture needs. Save it anew.")
            if tag.name in _FURTHER_TAGS:
                waiting += tiff.numbers({tag.name: tag}, tag.name)[:1]
