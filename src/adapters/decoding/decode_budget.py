"""How much memory decoded pictures may take."""

import asyncio
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from adapters.inference.waiting_line import WaitingLine
from domain.callers import is_bulk
from domain.errors import BusyError
from domain.raster import RasterImage

RETRY_AFTER_SECONDS = 1.0
"""Pictures stay decoded for fractions of a second."""

CAPACITY = 10_000
"""Callers who wait are bounded by what they would decode, not by their number."""


class DecodeBudget:
    """Admission by cost: a hundred small pictures pass where ten large ones must wait, and a few more are refused.

    Pictures are decoded while those that are decoded take less than `at_once` bytes; the others wait in a WaitingLine,
    not yet decoded. Callers whose pictures would, with all that are decoded or wait, take more than `admitted` bytes
    are refused at once. Bulk work is not: it waits, and whoever submits it bounds it. However large, one picture is
    always let in.
    """

    def __init__(self, *, admitted: int, at_once: int) -> None:
        self._most_admitted = admitted
        self._most_at_once = at_once
        self.admitted = self.in_use = 0
        """Bytes that callers' pictures take or will take, and that decoded pictures take."""
        # Reentrant: a claim may be collected, and give back, while this thread is in the middle of it.
        self._lock = threading.RLock()
        self._line: WaitingLine[Claim, None] = WaitingLine(capacity=CAPACITY)
        self._loop: asyncio.AbstractEventLoop | None = None

    def claim(self, cost: int) -> "Claim":
        """A claim on `cost` bytes, from any thread. Raises BusyError where it would be too much."""
        with self._lock:
            if not is_bulk():
                if self.admitted and self.admitted + cost > self._most_admitted:
                    raise BusyError(
                        f"The pictures in hand take {self.admitted:,} bytes decoded, and this one would take {cost:,} "
                        f"more, where {self._most_admitted:,} are accepted at once. Send it again.",
                        retry_after=RETRY_AFTER_SECONDS,
                    )
                self.admitted += cost
            return Claim(self, cost, admitted=not is_bulk())

    def take_now(self, claim: "Claim") -> bool:
        """Whether there is room that nobody waits for, which is then taken; from any thread."""
        with self._lock:
            if self._line or self.in_use >= self._most_at_once:
                return False
            self.in_use += claim.cost
            claim.taken = True
            return True

    async def take(self, claim: "Claim") -> None:
        """Wait for room, and take it. Raises DeadlinePassedError."""
        self._loop = asyncio.get_running_loop()
        waiting = self._line.join(claim)
        self._serve()  # what was given back before anybody waited has woken nobody
        await waiting.result

    def release(self, claim: "Claim") -> None:
        """What was claimed is free again, and goes to whoever waits for it; from any thread."""
        with self._lock:
            if claim.admitted:
                self.admitted -= claim.cost
            if claim.taken:
                self.in_use -= claim.cost
            claim.admitted = claim.taken = False
        if self._line and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._serve)

    def close(self, reason: Exception) -> None:
        """Nobody who waits gets room any more."""
        self._line.refuse_all(reason)

    def _serve(self) -> None:
        while self.in_use < self._most_at_once and (waiting := self._line.take()):
            with self._lock:
                self.in_use += waiting.work.cost
                waiting.work.taken = True
            waiting.result.set_result(None)


class Claim:
    """Bytes of a DecodeBudget, for as long as this object lives, or the raster that it is for."""

    def __init__(self, budget: DecodeBudget, cost: int, *, admitted: bool) -> None:
        self._budget = budget
        self.cost = cost
        self.admitted = admitted
        self.taken = False

    def last_as_long_as(self, raster: RasterImage) -> None:
        """Until the raster, and all crops of it, are gone."""
        pixels = raster.pixels
        owner = pixels if pixels.base is None else pixels.base  # which crops refer to, where the raster is a view of it
        weakref.finalize(owner, self._budget.release, self).atexit = False

    @contextmanager
    def given_up_on_failure(self) -> Iterator[None]:
        """Give up the claim if the block raises: an exception may be kept, and this object with it."""
        try:
            yield
        except BaseException:
            self._budget.release(self)
            raise

    def __del__(self) -> None:
        self._budget.release(self)
