"""How much memory decoded pictures may take."""

from collections.abc import Iterator
from contextlib import contextmanager

from adapters.scheduling.slots import Room
from domain.callers import is_bulk
from domain.errors import BusyError

RETRY_AFTER_SECONDS = 1.0
"""Pictures stay decoded for fractions of a second."""

CAPACITY = 10_000
"""Callers that wait are bounded by the bytes that they would decode, not by their number."""


class DecodeBudget:
    """Admission by cost: a hundred small pictures pass where ten large ones must wait, and a few more are refused.

    Pictures are decoded while those that are decoded take less than `at_once` bytes; the others wait, not yet decoded.
    However large, one picture is always let in.
    """

    def __init__(self, *, admitted: int, at_once: int) -> None:
        self._most_admitted = admitted
        self.admitted = 0
        """Bytes that callers' pictures take or will take."""
        self.decoded = Room(at_once, capacity=CAPACITY)
        """Bytes that decoded pictures take."""

    @contextmanager
    def admission(self, cost: int) -> Iterator[None]:
        """For the block, a picture takes or will take `cost` bytes.

        Raises BusyError if that and all pictures that are decoded or wait take more than `admitted`. Bulk work is not
        refused: it waits, and is bounded where it is submitted.
        """
        if is_bulk():
            yield
            return
        if self.admitted and self.admitted + cost > self._most_admitted:
            raise BusyError(
                f"The pictures in progress take {self.admitted:,} bytes decoded, and this one would take {cost:,} "
                f"more, where {self._most_admitted:,} are accepted at once. Send it again.",
                retry_after=RETRY_AFTER_SECONDS,
            )
        self.admitted += cost
        try:
            yield
        finally:
            self.admitted -= cost
