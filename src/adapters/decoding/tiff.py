"""The directories of a TIFF: which one holds the picture, and whether it is a camera RAW file.

Sources: TIFF 6.0 and its Technical Note 1 (SubIFDs), BigTIFF, TIFF/EP (ISO 12234-2), DNG 1.7.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from adapters.decoding.camera_raw import raw_error, raw_name
from domain.errors import ImageUnreadableError

MAX_TAGS, MAX_VALUES = 65_536, 200_000
"""Of a picture: tags, and numbers of one tag (a palette of 16 bits has 196,608); among these are strips and tiles."""

MAX_DIRECTORIES, MAX_TAGS_SEARCHED = 64, 4_096
"""Directories, and tags of each, among which the picture is looked for. Of more pages, it is among the first."""

_SUBFILE_TYPE, _OLD_SUBFILE_TYPE, _CHILDREN = 254, 255, 330
_WIDTH, _COMPRESSION, _PHOTOMETRY, _MAKE = 256, 259, 262, 271
_REDUCED, _MASK, _OLD_REDUCED = 1, 4, 2
"""Bits of the subfile's type, and a value of the tag that it superseded."""

_DNG_VERSION, _DNG_PRIVATE_DATA = 50706, 50740
"""Sony's RAW files have the latter too; some can be told by nothing else."""
_RAW_PHOTOMETRY = frozenset({32803, 34892})
"""A colour filter array, and linear raw."""
_RAW_COMPRESSION = frozenset({32767, 32769, 32770, 32867, 34713, 65000, 65535})
"""Of Sony, Epson, Samsung, Kodak, Nikon, Kodak and Pentax."""

_FURTHER_TAGS = frozenset({0x8769, 0x8825, 0xA005})
"""Tags that point to directories of further tags: of EXIF, GPS and interoperability."""

_BYTES = frozenset({1, 2, 6, 7})
"""Types whose values are read as one piece."""
_WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
"""Types byte, short, long and directory, and the long forms of a BigTIFF."""


class _Tag(NamedTuple):
    name: int
    kind: int
    length: int
    """How many values it has."""
    at: int
    """Where they are, if they fit there; else where their place is written."""


class _Directory(NamedTuple):
    at: int
    tags: dict[int, _Tag]


def with_picture_first(content: bytes) -> bytes:
    """The TIFF with its first whole picture as the first: reduced ones and masks before it are passed over.

    A picture's children count as before the next of the chain: a thumbnail may have its picture as a child. Raises
    CameraRawError, and ImageUnreadableError for so many tags that the TIFF was made to keep a reader busy.
    """
    tiff = _Tiff(content)
    directories = list(tiff.directories())
    if not directories:
        return content  # cut off, as will be noticed
    _refuse_raw(tiff, directories)
    first = directories[0]
    picture = next((directory for directory in directories if _is_whole_picture(tiff, directory)), first)
    if tiff.ends_early and not _is_whole_picture(tiff, picture):
        raise ImageUnreadableError("The TIFF ends before the picture of its thumbnail. Send the whole file.")
    _refuse_excess(tiff, picture.at)
    return content if picture is first else tiff.starting_at(picture.at)


class _Tiff:
    def __init__(self, content: bytes) -> None:
        order = "<" if content.startswith(b"II") else ">"
        forms = ("Q", "Q", "HHQ") if b"+" in content[2:4] else ("I", "H", "HHI")
        self._offset, self._number, self._tag = (struct.Struct(order + form) for form in forms)
        self._order, self._content = order, content
        self.ends_early = len(content) < 2 * self._offset.size
        """Whether something that was looked for lies beyond the end."""

    def directories(self) -> Iterator[_Directory]:
        """Depth first: each, its children, the next of the chain."""
        waiting, seen = [0 if self.ends_early else self._offset_at(self._offset.size)], {0}
        while waiting and len(seen) <= MAX_DIRECTORIES:
            if (at := waiting.pop()) in seen:
                continue
            seen.add(at)
            found = _Directory(at, {tag.name: tag for tag in self.tags(at, most=MAX_TAGS_SEARCHED)})
            if found.tags:
                waiting += [self._following(at), *reversed(self.numbers(found, _CHILDREN))]
                yield found

    def tags(self, at: int, *, most: int) -> Iterator[_Tag]:
        """Of the directory there, as many as there are before the end."""
        count, first, size = self._shape(at)
        there = max(0, min(count, (len(self._content) - first) // size))
        self.ends_early |= there < count
        for place in range(first, first + min(there, most) * size, size):
            name, kind, length = self._tag.unpack_from(self._content, place)
            yield _Tag(name, kind, length, place + self._tag.size)

    def numbers(self, directory: _Directory, name: int) -> tuple[int, ...]:
        """A tag's values, up to MAX_DIRECTORIES; none where it is absent, or its values are no whole numbers."""
        tag = directory.tags.get(name)
        form = None if tag is None else _WHOLE_NUMBERS.get(tag.kind)
        if tag is None or form is None:
            return ()
        values = self._values(tag, struct.calcsize(form), most=MAX_DIRECTORIES)
        return struct.unpack(f"{self._order}{len(values) // struct.calcsize(form)}{form}", values)

    def text(self, directory: _Directory, name: int) -> str:
        """The beginning of a tag's text; empty where the tag is absent."""
        tag = directory.tags.get(name)
        return "" if tag is None else self._values(tag, 1, most=64).decode("latin-1")

    def starting_at(self, directory: int) -> bytes:
        """The same with another first directory."""
        size = self._offset.size
        return self._content[:size] + self._offset.pack(directory) + self._content[2 * size :]

    def _values(self, tag: _Tag, size: int, *, most: int) -> bytes:
        """Those of them, each of `size` bytes, that are there."""
        at = tag.at if size * tag.length <= self._offset.size else self._offset_at(tag.at)
        values = self._content[at : at + size * min(tag.length, most)]
        self.ends_early |= len(values) < size * min(tag.length, most)
        return values[: len(values) // size * size]

    def _shape(self, at: int) -> tuple[int, int, int]:
        """Of a directory: how many tags it says to have, where they begin, and the bytes of each."""
        size = self._tag.size + self._offset.size
        if at + self._number.size > len(self._content):
            return 1, at, size
        return self._number.unpack_from(self._content, at)[0], at + self._number.size, size

    def _following(self, at: int) -> int:
        """The directory that comes next; 0: there is none."""
        count, first, size = self._shape(at)
        end = first + count * size
        if end + self._offset.size > len(self._content):
            self.ends_early = True
            return 0
        return self._offset_at(end)

    def _offset_at(self, at: int) -> int:
        return int(self._offset.unpack_from(self._content, at)[0])


def _is_whole_picture(tiff: _Tiff, directory: _Directory) -> bool:
    [kind, *_] = tiff.numbers(directory, _SUBFILE_TYPE) or (0,)
    is_part = kind & (_REDUCED | _MASK) or _OLD_REDUCED in tiff.numbers(directory, _OLD_SUBFILE_TYPE)
    return _WIDTH in directory.tags and not is_part


def _refuse_raw(tiff: _Tiff, directories: list[_Directory]) -> None:
    if any(_DNG_VERSION in directory.tags for directory in directories):
        raise raw_error("Adobe DNG")
    if any(
        _DNG_PRIVATE_DATA in directory.tags
        or _RAW_PHOTOMETRY.intersection(tiff.numbers(directory, _PHOTOMETRY))
        or _RAW_COMPRESSION.intersection(tiff.numbers(directory, _COMPRESSION))
        for directory in directories
    ):
        raise raw_error(raw_name(" ".join(tiff.text(directory, _MAKE) for directory in directories)))


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
                raise ImageUnreadableError(
                    f"The TIFF has more than {MAX_TAGS:,} tags, or {MAX_VALUES:,} values of one: more than any picture "
                    "needs. Save it anew."
                )
            if tag.name in _FURTHER_TAGS:
                waiting += tiff.numbers(_Directory(at, {tag.name: tag}), tag.name)
