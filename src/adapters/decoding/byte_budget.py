"""How much memory decoded pictures may take at once."""

import asyncio
import contextlib
import threading
import weakref

from domain.errors import BusyError
from domain.raster import RasterImage

RETRY_AFTER_SECONDS = 1.0
"""Pictures stay decoded for fractions of a second."""


class ByteBudget:
    """Bytes that decoded pictures may take together; a picture larger than all of it is let in alone.

    Admission by cost: a hundred small pictures pass where two large ones must take turns. Used from any thread.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._in_use = 0
        self._lock = threading.Lock()
        self._awaiting: dict[asyncio.Future[None], asyncio.AbstractEventLoop] = {}

    @property
    def in_use(self) -> int:
        """Bytes taken now."""
        return self._in_use

    def take(self, size: int) -> None:
        """Raises BusyError, having taken nothing, where there is no room now."""
        with self._lock:
            if self._in_use and self._in_use + size > self._most:
                raise BusyError(
                    f"The pictures in hand take all of the {self._most:,} bytes that they may take decoded.",
                    retry_after=RETRY_AFTER_SECONDS,
                )
            self._in_use += size

    def give_back(self, size: int) -> None:
        """What was taken is free again, which those who wait are told."""
        with self._lock:
            self._in_use -= size
            awaiting, self._awaiting = self._awaiting, {}
        for released, loop in awaiting.items():
            with contextlib.suppress(RuntimeError):  # its loop is closed: nobody waits there any more
                loop.call_soon_threadsafe(_tell, released)

    def give_back_with(self, raster: RasterImage, size: int) -> None:
        """Give `size` back once the raster, and all crops of it, are gone."""
        weakref.finalize(raster.pixels, self.give_back, size).atexit = False

    async def released(self) -> None:
        """Wait until something is given back, or until nothing is in use."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if not self._in_use:
                return
            released = loop.create_future()
            self._awaiting[released] = loop
        await released


def _tell(released: "asyncio.Future[None]") -> None:
    if not released.done():
        released.set_result(None)
