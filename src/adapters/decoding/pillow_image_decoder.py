"""Decoding with Pillow, in processes of their own where asked for: docs/decode-contract.md."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from typing_extensions import override

from adapters.decoding.decode_budget import DecodeBudget
from adapters.decoding.picture_reader import HeaderLimits, PictureReader
from adapters.decoding.reader_process import ReaderProcess
from adapters.scheduling.slots import Room, SlotsClosedError, Threads
from domain.errors import BodyTooLargeError, BusyError, ImageError, InvalidMetadataError
from domain.geometry import BoundingBox
from domain.metadata import Metadata, checked_metadata
from domain.ports.image_decoder import DecodedImage, ImageDecoder

Reader = PictureReader | ReaderProcess


class PillowImageDecoder(ImageDecoder):
    """At most `threads` pictures at once, each read by a reader of its own; see PictureReader for the formats.

    `isolated` readers are processes (ReaderProcess): what a picture does to a C library ends with them. A picture of
    `max_pixels` ends its process after `max_seconds` of processor time, a smaller one sooner. Otherwise they live in
    this process.
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
        self._threads = Threads(threads, name="decode")
        self._free_readers = Room(threads)
        self._readers: list[Reader] = [
            ReaderProcess(limits, max_seconds=max_seconds) if isolated else PictureReader(limits)
            for _ in range(threads)
        ]
        self._processes = [reader for reader in self._readers if isinstance(reader, ReaderProcess)]

    @override
    async def open(self) -> None:
        """One process begins in the background; the others begin when there is work for them."""
        if self._processes:
            self._processes[-1].start()

    @override
    @asynccontextmanager
    async def decoded(
        self, content: bytes, *, sufficient_side: int, region: BoundingBox | None = None
    ) -> AsyncIterator[DecodedImage]:
        """Pixels are C-contiguous and writable.

        Raises BusyError where decoded pictures would take `max_bytes_in_flight`; but bulk work waits (DecodeBudget).
        """
        if len(content) > self._max_bytes:
            raise BodyTooLargeError(
                f"The picture has {len(content):,} bytes; at most {self._max_bytes:,} bytes are accepted."
            )
        async with AsyncExitStack() as claim:
            try:
                picture = await self._read(claim, content, sufficient_side, region)
            except SlotsClosedError as error:
                raise BusyError("The decoder was closed meanwhile.") from error
            yield picture

    @override
    async def exif(self, content: bytes) -> Metadata:
        try:
            async with self._reader() as reader:
                return checked_metadata(await self._threads.run(reader.exif, content))
        except SlotsClosedError as error:
            raise BusyError("The decoder was closed meanwhile.") from error
        except (ImageError, InvalidMetadataError):
            return {}

    @property
    def budget(self) -> DecodeBudget:
        """The memory that pictures take, for metrics."""
        return self._budget

    @property
    def pids(self) -> list[int]:
        """The processes that read pictures now, for metrics."""
        return [pid for process in self._processes if (pid := process.pid) is not None]

    @override
    async def close(self) -> None:
        self._budget.decoded.close()
        self._free_readers.close()
        await self._threads.close()
        await asyncio.gather(*(asyncio.to_thread(process.close) for process in self._processes))

    async def _read(
        self, claim: AsyncExitStack, content: bytes, sufficient_side: int, region: BoundingBox | None
    ) -> DecodedImage:
        """The picture; what its memory takes of the budget belongs to `claim`."""
        async with self._reader() as reader:
            # This counts the bytes that it comes from too, which are held as long.
            cost = len(content) + await self._open(reader, content, sufficient_side, region)
            claim.enter_context(self._budget.admission(cost))
            if self._budget.decoded.is_free:
                claim.enter_context(self._budget.decoded.taken_now(cost))
                return await self._threads.run(reader.read)
        await claim.enter_async_context(self._budget.decoded.taken(cost))
        async with self._reader() as reader:  # others have had it meanwhile
            await self._open(reader, content, sufficient_side, region)
            return await self._threads.run(reader.read)

    async def _open(self, reader: Reader, content: bytes, sufficient_side: int, region: BoundingBox | None) -> int:
        return await self._threads.run(reader.open, content, sufficient_side=sufficient_side, region=region)

    @asynccontextmanager
    async def _reader(self) -> AsyncIterator[Reader]:
        """One for the block alone. The one used last is taken first: its memory is warm."""
        async with self._free_readers.taken():
            reader = self._readers.pop()
            try:
                yield reader
            finally:
                self._readers.append(reader)
