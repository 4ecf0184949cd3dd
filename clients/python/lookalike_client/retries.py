"""Which requests are sent again, and after how long."""

import random
from collections.abc import Iterator
from http import HTTPStatus

import httpx

TRY_AGAIN = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
"""The service is busy, or something that it needs is away: it has done nothing."""

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
"""Seconds between attempts: doubled each time, unless the service says how long to wait."""


def pauses() -> Iterator[float]:
    """Seconds to wait after each attempt. Not twice the same: clients turned away together would come back together."""
    pause = FIRST_PAUSE
    while True:
        yield min(pause, LONGEST_PAUSE) * random.uniform(0.5, 1)  # noqa: S311
        pause *= 2


def asked_pause(response: httpx.Response) -> float:
    """Seconds that the service asks to wait (`Retry-After`); 0 where it does not say."""
    try:
        return min(max(0.0, float(response.headers.get("Retry-After", 0))), LONGEST_PAUSE)
    except ValueError:
        return 0.0
