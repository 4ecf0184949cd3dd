"""Decoding with Pillow, in processes of their own where asked for: docs/decode-contract.md."""

import asyncio
import queue
from collections.abc import Iterator
from contextlib import contextmanager

from typing_extensions import override

from adapters.decoding.decode_budget import Claim, DecodeBudget
from adapters.decoding.picture_reader import HeaderLimits, PictureReader
from adapters.decoding.reader_process import ReaderProcess
from adapters.inference.slots import Slots, SlotsClosedError
from domain.errors import BodyTooLargeError, BusyError
from domain.geometry import BoundingBox
from domain.ports.image_decoder import DecodedImage, ImageDecoder

Reader = PictureReader | ReaderProcess


class PillowImageDecoder(ImageDecoder):
    """At most `threads` pictures at once, each read by a reader of its own; see PictureReader for the formats.

    `isolated` readers are processes (ReaderProcess): whatever a picture does to a C library ends with them, and so does
    one of `max_pixels` after `max_seconds` of processor time, smaller ones sooner. Otherwise they live in this process.
    """

    def __init__(
        self,
        *,
        max_bytes: int = 25 * 1024 * 1024,
        max_pixels: int = 100_000_000,
        max_side: int = 30_000,
        threads: int,
        max_bytes_in_flight: int = 256 * 1024 * 1024,
        max_bytes_at_once: int = 48 * 1024 * 1024,
        isolated: bool = False,
        max_seconds: float = 4.5,
    ) -> None:
        limits = HeaderLimits(max_pixels=max_pixels, max_side=max_side)
        self._budget = DecodeBudget(admitted=max_bytes_in_flight, at_once=max_bytes_at_once)
        self._max_bytes = max_bytes
        self._slots = Slots(threads, name="decode")
        # The one used last is taken first: its memory is warm.
        self._readers: queue.LifoQueue[Reader] = queue.LifoQueue()
        readers = [
            ReaderProcess(limits, max_seconds=max_seconds) if isolated else PictureReader(limits)
            for _ in range(threads)
        ]
        for reader in readers:
            self._readers.put(reader)
        self._processes = [reader for reader in readers if isinstance(reader, ReaderProcess)]

    @override
    async def open(self) -> None:
        """One process begins in the background; the others begin when there is work for them."""
        if self._processes:
            self._processes[-1].start()

    @override
    async def decode(self, content: bytes, *, sufficient_side: int, region: BoundingBox | None = None) -> DecodedImage:
        """Pixels are C-contiguous and writable.

        Raises BusyError where decoded pictures would take `max_bytes_in_flight`; but bulk work waits (DecodeBudget).
        """
        if len(content) > self._max_bytes:
            raise BodyTooLargeError(
                f"The picture has {len(content):,} bytes; at most {self._max_bytes:,} bytes are accepted."
            )
        try:
            found = await self._slots.run(self._begin, content, sufficient_side, region)
            if isinstance(found, DecodedImage):
                return found
            with found.given_up_on_failure():
                await self._budget.take(found)
                return await self._slots.run(self._resume, found, content, sufficient_side, region)
        except SlotsClosedError as error:
            raise BusyError("The decoder was closed meanwhile.") from error

    @property
    def budget(self) -> DecodeBudget:
        """What the pictures in hand take, for whoever measures it."""
        return self._budget

    @property
    def pids(self) -> list[int]:
        """The processes that read pictures now, for whoever measures them."""
        return [pid for process in self._processes if (pid := process.pid) is not None]

    @override
    async def close(self) -> None:
        self._budget.close(SlotsClosedError())
        await self._slots.close()
        await asyncio.gather(*(asyncio.to_thread(process.close) for process in self._processes))

    def _begin(self, content: bytes, sufficient_side: int, region: BoundingBox | None) -> DecodedImage | Claim:
        """The picture; or where there is no room for its pixels yet, the claim on it."""
        with self._reader() as reader:
            cost = reader.open(content, sufficient_side=sufficient_side, region=region)
            # With the bytes that it comes from, which are held as long.
            claim = self._budget.claim(cost + len(content))
            if not self._budget.take_now(claim):
                return claim
            return _read(reader, claim)

    def _resume(self, claim: Claim, content: bytes, sufficient_side: int, region: BoundingBox | None) -> DecodedImage:
        """The picture, now that there is room. Others have had the reader meanwhile."""
        with self._reader() as reader:
            reader.open(content, sufficient_side=sufficient_side, region=region)
            return _read(reader, claim)

    @contextmanager
    def _reader(self) -> Iterator[Reader]:
        """One for the block alone; there are as many as threads."""
        reader = self._readers.get()
        try:
            yield reader
        finally:
            self._readers.put(reader)


def _read(reader: Reader, claim: Claim) -> DecodedImage:
    with claim.given_up_on_failure():
        decoded = reader.read()
    claim.last_as_long_as(decoded.raster)
    return decoded
