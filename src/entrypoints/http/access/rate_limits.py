"""How often callers may call: counted per key, per address, and per address for keys that are not ours.

Each process counts for itself.
"""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from math import ceil

from limits import parse_many

MOST_WINDOWS = 20_000
"""Windows that are counted at once, about 5 MB. Beyond them, the one that was silent the longest is forgotten."""

_IPV6_NETWORK = 64
"""Bits that a provider gives one customer, who has all addresses below them."""

ONCE_SECONDS = 3600
"""For how long what a caller has shown is not counted again."""


class RateLimit:
    """A limit such as `600/minute`, or several such as `20/second;1000/hour`; none from an empty text.

    Counts in fixed windows: one begins with its first request, and lasts as long as the limit says.
    """

    def __init__(self, limit: str, clock: Callable[[], float] = time.time, most_windows: int = MOST_WINDOWS) -> None:
        self._limits = parse_many(limit) if limit else []
        self._clock = clock
        self._most_windows = most_windows
        self._windows: OrderedDict[Hashable, tuple[int, float]] = OrderedDict()
        """The count and the end of each; the one that counted last is the last one."""

    def count(self, caller: str) -> int | None:
        """Count a request; how many seconds to wait where it is one too many, else None."""
        for limit in self._limits:
            self._add((caller, limit), limit.get_expiry())
        return self._wait(caller, further=0)

    def used_up(self, caller: str) -> int | None:
        """The same without counting: whether the next one would be too many."""
        return self._wait(caller, further=1)

    def count_once(self, caller: str, what: str) -> None:
        """Count, but only once within the hour what the same caller has shown."""
        if self._limits and self._add((caller, what), ONCE_SECONDS) == 1:
            self.count(caller)

    def _wait(self, caller: str, *, further: int) -> int | None:
        ends = []
        for limit in self._limits:
            count, end = self._window((caller, limit))
            if count + further > limit.amount:
                ends.append(end)
        return max(1, ceil(max(ends) - self._clock())) if ends else None

    def _add(self, key: Hashable, seconds: float) -> int:
        count, end = self._window(key)
        self._windows[key] = (count + 1, end if count else self._clock() + seconds)
        self._windows.move_to_end(key)
        if len(self._windows) > self._most_windows:
            self._windows.popitem(last=False)
        return count + 1

    def _window(self, key: Hashable) -> tuple[int, float]:
        count, end = self._windows.get(key, (0, 0.0))
        return (count, end) if end > self._clock() else (0, 0.0)


def caller_at(host: str | None) -> str:
    """The address by which a caller is counted; of IPv6 the network that one customer has."""
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return (host or "unknown")[:64]  # a socket of the machine's own, or what a trusted proxy calls it
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), _IPV6_NETWORK), strict=False))
    return str(address)
