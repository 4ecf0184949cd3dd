"""Which requests are sent again, and after how long."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpx

TRY_AGAIN = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
"""The service is busy, or something that it needs is away: it has done nothing."""

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
"""Seconds between attempts: doubled each time, unless the service says how long to wait. Longer is not waited for."""


def pauses() -> Iterator[float]:
    """Seconds to wait after each attempt. Not twice the same: clients turned away together would come back together."""
    pause = FIRST_PAUSE
    while True:
        yield min(pause, LONGEST_PAUSE) * random.uniform(0.5, 1)  # noqa: S311
        pause *= 2


def asked_pause(headers: httpx.Headers) -> float:
    """Seconds that an answer asks to wait (`Retry-After`, as seconds or as a date); 0 where it does not say."""
    asked = headers.get("Retry-After", "0")
    try:
        return max(0.0, float(asked))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):  # no date, or one without a time zone
        return 0.0
