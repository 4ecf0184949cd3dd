"""The decoder's end of a reader process, which keeps what a picture does to a C library away from this one."""

import json
import logging
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from adapters.decoding.formats import ImageFormat, identify
from adapters.decoding.picture_reader import HeaderLimits
from adapters.decoding.reader_messages import DisconnectedError, receive_head, receive_into, send
from adapters.processes.child import ChildProcess
from domain.appearance import Appearance
from domain.errors import (
    BusyError,
    CameraRawError,
    ImageTooLargeError,
    ImageUnreadableError,
    InvalidRegionError,
    LookalikeError,
    UnsupportedImageError,
)
from domain.geometry import BoundingBox
from domain.ports.image_decoder import DecodedImage
from domain.raster import RasterImage

log = logging.getLogger(__name__)

WALL_CLOCK_FACTOR = 5
"""A reader that has not answered after so many times its processor time hangs, or the machine is hopelessly busy."""

_KNOWN = ("PATH", "LANG", "LC_", "LD_", "DYLD_", "TMPDIR", "PYTHON")
"""Prefixes of the environment variables that a process is given: what it needs to start, and no secrets."""

MODULE = "adapters.decoding.isolated_reader"

EXIT_PATIENCE_SECONDS = 1.0
"""How long a process may take to notice that its socket is closed."""

R = TypeVar("R")

_ERRORS: dict[str, type[LookalikeError]] = {
    kind.code: kind
    for kind in (CameraRawError, ImageTooLargeError, ImageUnreadableError, InvalidRegionError, UnsupportedImageError)
}


class _ReaderDiedError(Exception):
    """The process ended, or had to be ended, before it answered."""

    def __init__(self, reason: str, *, too_long: bool = False) -> None:
        super().__init__(reason)
        self.too_long = too_long


class ReaderProcess:
    """A PictureReader in a process of its own, which is started when it is first used, and anew when it has died.

    One picture at a time, from one thread at a time. A picture over which the process dies is tried once more, since
    it may have died of something else; one that takes too long is not. `max_seconds` of processor time are for a
    picture as large as `limits` allow; smaller ones have less, down to a fifth.
    """

    def __init__(self, limits: HeaderLimits, *, max_seconds: float) -> None:
        self._limits = limits
        self._max_seconds = max_seconds
        self._process: ChildProcess | None = None
        self._has_begun = False
        self._request: dict[str, Any] = {}
        self._content = b""

    @property
    def pid(self) -> int | None:
        """The process's id while one runs."""
        process = self._process  # which another thread may end meanwhile
        return None if process is None else process.pid

    def start(self) -> None:
        """Start the process, if none runs, without waiting for it. Raises BusyError where the system has no room."""
        if self._process is not None:
            return
        known = {name: value for name, value in os.environ.items() if name.startswith(_KNOWN)}
        try:
            process = ChildProcess(MODULE, json.dumps(asdict(self._limits)), str(self._max_seconds), environment=known)
        except OSError as error:
            raise BusyError(f"A process to decode pictures in cannot be started: {error}") from error
        process.limit_waits(WALL_CLOCK_FACTOR * self._max_seconds)
        self._process, self._has_begun = process, False

    def open(self, content: bytes, *, sufficient_side: int, region: BoundingBox | None) -> int:
        """See PictureReader. Raises BusyError where there is no process, ImageUnreadableError where it ends over it."""
        self._request = {"sufficient_side": sufficient_side, "region": None if region is None else asdict(region)}
        self._content = content
        try:
            return self._ask_to_open()
        except _ReaderDiedError as died:
            return self._once_more(died, self._ask_to_open)

    def read(self) -> DecodedImage:
        """See PictureReader, and `open`."""
        try:
            return self._ask_to_read()
        except _ReaderDiedError as died:
            return self._once_more(died, self._ask_to_open_and_read)
        finally:
            self._content = b""

    def exif(self, content: bytes) -> dict[str, Any]:
        """See PictureReader, and `open`."""
        self._content = content
        try:
            return self._ask_for_exif()
        except _ReaderDiedError as died:
            return self._once_more(died, self._ask_for_exif)
        finally:
            self._content = b""

    def close(self) -> None:
        """End the process, if one runs."""
        if self._process is not None:
            self._end()

    def _once_more(self, died: _ReaderDiedError, ask: Callable[[], R]) -> R:
        try:
            if died.too_long:
                raise died
            log.warning("The process that decodes pictures ended (%s); the picture is tried once more", died)
            return ask()
        except _ReaderDiedError as again:
            kind = identify(self._content)
            raise ImageUnreadableError(
                f"The content begins as {kind.name if kind else 'a picture'}, but decoding it {again}. "
                "Send the picture in another encoding, or smaller."
            ) from again

    def _ask_to_open(self) -> int:
        head, _ = self._ask({"open": self._request}, self._content)
        return int(head["cost"])

    def _ask_to_open_and_read(self) -> DecodedImage:
        self._ask_to_open()
        return self._ask_to_read()

    def _ask_for_exif(self) -> dict[str, Any]:
        head, _ = self._ask({"exif": True}, self._content)
        return dict(head["exif"])

    def _ask_to_read(self) -> DecodedImage:
        head, pixels = self._ask({"read": True})
        shape = (int(head["rows"]), int(head["columns"]), 3)
        raster = RasterImage(pixels=pixels.reshape(shape), width=int(head["width"]), height=int(head["height"]))
        appearance = Appearance(
            pixels=str(head["pixels"]),
            low_detail=bool(head["low_detail"]),
            colours=bytes.fromhex(head["colours"]),
        )
        return DecodedImage(raster=raster, media_type=ImageFormat(head["media_type"]).value, appearance=appearance)

    def _ask(self, request: dict[str, Any], content: bytes = b"") -> tuple[Any, NDArray[np.uint8]]:
        self.start()
        assert self._process is not None  # noqa: S101 - start sets it, or raises
        connection = self._process.socket
        try:
            if not self._has_begun:
                self._await_beginning(connection)
            send(connection, request, content)
            head, length = receive_head(connection)
            if length > 3 * self._limits.max_pixels:
                raise ValueError(f"{length:,} bytes of pixels")
            body = np.empty(length, dtype=np.uint8)
            receive_into(connection, body.data)
        except BlockingIOError:
            self._end()
            raise _ReaderDiedError("takes too long", too_long=True) from None
        except (DisconnectedError, OSError, ValueError) as error:
            status = self._end()
            if status == -signal.SIGPROF:
                raise _ReaderDiedError("takes too much processor time for its size", too_long=True) from None
            raise _ReaderDiedError(f"ends the decoder ({_in_words(status)})") from error
        if "error" in head:
            raise _ERRORS[head["error"]](head["message"])
        return head, body

    def _await_beginning(self, connection: socket.socket) -> None:
        """A process that cannot even start is no picture's fault."""
        try:
            receive_head(connection)
        except (DisconnectedError, OSError) as error:
            raise BusyError(
                f"The process to decode pictures in did not start ({_in_words(self._end())}); the log tells why."
            ) from error
        self._has_begun = True

    def _end(self) -> int:
        """End the process, whatever it does; what it ended with: an exit code, or a signal's number, negative."""
        assert self._process is not None  # noqa: S101 - there is a process
        process, self._process = self._process, None
        return process.end(patience=EXIT_PATIENCE_SECONDS)


def _in_words(status: int) -> str:
    """What a process ended with, in words."""
    return f"exit code {status}" if status >= 0 else signal.Signals(-status).name
