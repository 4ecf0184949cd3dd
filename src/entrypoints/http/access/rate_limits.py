"""How often callers may call: counted per key, per address, and per address for keys that are not ours.

Each process counts for itself.
"""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from math import ceil

from limits import RateLimitItem, RateLimitItemPerHour, parse_many
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

MOST_WINDOWS = 20_000
"""Callers that are counted at once, about 5 MB. More of them than this make the longest silent be forgotten."""

_IPV6_NETWORK = 64
"""Bits that a provider gives one customer: whoever has them has all addresses below."""

_ONCE = RateLimitItemPerHour(1)


class BoundedStorage(Storage):
    """Fixed windows in memory, of a bounded number of callers.

    The library's own memory storage has no bound, and starts a thread for a hit that visits all callers.
    """

    STORAGE_SCHEME = None

    def __init__(self, most: int = MOST_WINDOWS, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._most = most
        self._clock = clock
        self._windows: OrderedDict[str, tuple[int, float]] = OrderedDict()

    @property
    def base_exceptions(self) -> type[Exception]:
        """Of what the storage is made of: nothing that fails."""
        return ValueError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count; the count since the window's begin. A window begins with its first hit and lasts `expiry` seconds."""
        count, ends = self._window(key) or (0, self._clock() + expiry)
        self._windows[key] = (count + amount, ends)
        self._windows.move_to_end(key)
        if len(self._windows) > self._most:
            self._windows.popitem(last=False)
        return count + amount

    def get(self, key: str) -> int:
        """The count."""
        window = self._window(key)
        return window[0] if window else 0

    def get_expiry(self, key: str) -> float:
        """When the window ends, in seconds since the epoch."""
        window = self._window(key)
        return window[1] if window else self._clock()

    def check(self) -> bool:
        """It is always there."""
        return True

    def reset(self) -> int | None:
        """Forget all."""
        count = len(self._windows)
        self._windows.clear()
        return count

    def clear(self, key: str) -> None:
        """Forget one."""
        self._windows.pop(key, None)

    def _window(self, key: str) -> tuple[int, float] | None:
        window = self._windows.get(key)
        if window is not None and window[1] <= self._clock():
            del self._windows[key]
            return None
        return window


class RateLimit:
    """A limit such as `600/minute`, or several such as `20/second;1000/hour`; of nothing, none."""

    def __init__(self, limit: str, clock: Callable[[], float] = time.time) -> None:
        self._items = parse_many(limit) if limit else []
        self._clock = clock
        self._limiter = FixedWindowRateLimiter(BoundedStorage(clock=clock))

    def count(self, caller: str) -> int | None:
        """Count a request; how many seconds to wait where it is one too many, else None."""
        return self._longest([item for item in self._items if not self._limiter.hit(item, caller)], caller)

    def used_up(self, caller: str) -> int | None:
        """The same without counting: whether the next one would be too many."""
        return self._longest([item for item in self._items if not self._limiter.test(item, caller)], caller)

    def count_once(self, caller: str, what: str) -> None:
        """Count, but what the same caller has shown within the hour only once."""
        if self._items and self._limiter.hit(_ONCE, caller, what):
            self.count(caller)

    def _longest(self, items: list[RateLimitItem], caller: str) -> int | None:
        waits = [self._limiter.get_window_stats(item, caller).reset_time - self._clock() for item in items]
        return max(1, ceil(max(waits))) if waits else None


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
