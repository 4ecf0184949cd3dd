"""A process that reads pictures: `python -m adapters.decoding.isolated_reader`, its socket's number as the argument.

It holds nothing worth having: neither settings nor keys nor the index, and may not write files. It ends with its
socket; the kernel ends it when a picture takes too much processor time (SIGPROF).
"""

import json
import resource
import signal
import socket
import sys
from typing import Any

from adapters.decoding.picture_reader import HeaderLimits, PictureReader
from adapters.decoding.reader_messages import DisconnectedError, receive_head, receive_into, send
from adapters.processes.beginning import begin
from domain.errors import LookalikeError
from domain.geometry import BoundingBox

SPARE_BYTES = 2 * 1024**3
BYTES_PER_PIXEL = 24
"""What decoding takes at most: 16-bit RGBA, its 8-bit twin, the picture on white, and the pixels that are sent."""

SMALLEST_SHARE = 0.2
"""The share of the largest picture's processor time that headers and the smallest pictures may take."""


def main() -> None:
    """Answer until the socket closes."""
    number, limits, max_seconds = int(sys.argv[1]), HeaderLimits(**json.loads(sys.argv[2])), float(sys.argv[3])
    begin()
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_AS, SPARE_BYTES + BYTES_PER_PIXEL * limits.max_pixels)
    reader = PictureReader(limits)
    with socket.socket(fileno=number) as connection:
        try:
            send(connection, {"begun": True})
            while True:
                answer(connection, reader, max_pixels=limits.max_pixels, max_seconds=max_seconds)
        except (DisconnectedError, ConnectionError):
            return


def _limit(kind: int, most: int) -> None:
    _, hard = resource.getrlimit(kind)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


def answer(connection: socket.socket, reader: PictureReader, *, max_pixels: int, max_seconds: float) -> None:
    """One request, within its share of `max_seconds` of processor time, which a picture of `max_pixels` may take."""
    request, length = receive_head(connection)
    content = bytearray(length)
    receive_into(connection, memoryview(content))
    reads = "read" in request
    # A header may take what the smallest picture may; what was open before says nothing about it.
    share = SMALLEST_SHARE + (1 - SMALLEST_SHARE) * (reader.pixels if reads else 0) / max_pixels
    signal.setitimer(signal.ITIMER_PROF, share * max_seconds)
    try:
        if reads:
            _send_picture(connection, reader)
        elif "open" in request:
            send(connection, {"cost": _open(reader, bytes(content), request["open"])})
        else:
            send(connection, {"exif": reader.exif(bytes(content))})
    except LookalikeError as error:
        send(connection, {"error": error.code, "message": str(error)})
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)  # or it would end the process over the next picture


def _open(reader: PictureReader, content: bytes, request: dict[str, Any]) -> int:
    region = request["region"]
    return reader.open(
        content,
        sufficient_side=request["sufficient_side"],
        region=None if region is None else BoundingBox(**region),
    )


def _send_picture(connection: socket.socket, reader: PictureReader) -> None:
    decoded = reader.read()
    raster = decoded.raster
    rows, columns = raster.pixels.shape[:2]
    head = {
        "media_type": decoded.media_type,
        "rows": rows,
        "columns": columns,
        "width": raster.width,
        "height": raster.height,
        "pixels": decoded.appearance.pixels,
        "low_detail": decoded.appearance.low_detail,
        "colours": decoded.appearance.colours.hex(),
    }
    send(connection, head, raster.pixels.data.cast("B"))


if __name__ == "__main__":
    main()
