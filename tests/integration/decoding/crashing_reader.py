"""An isolated reader that pictures with a mark crash as a fault in a C library would. Run as a module of its own."""

import ctypes

from adapters.decoding import isolated_reader
from adapters.decoding.picture_reader import PictureReader
from domain.geometry import BoundingBox
from domain.ports.image_decoder import DecodedImage

MARK = b"crash in "


class CrashingReader(PictureReader):
    _crash_in = b""

    def open(self, content: bytes, *, sufficient_side: int, region: BoundingBox | None) -> int:
        self._crash_in = content.partition(MARK)[2]
        if self._crash_in == b"open":
            ctypes.string_at(0)
        return super().open(content, sufficient_side=sufficient_side, region=region)

    def read(self) -> DecodedImage:
        if self._crash_in == b"read":
            ctypes.string_at(0)
        return super().read()


if __name__ == "__main__":
    isolated_reader.PictureReader = CrashingReader  # type: ignore[misc]
    isolated_reader.main()
