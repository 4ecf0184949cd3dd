"""Whether there are spans, and where they go."""

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from opentelemetry.trace import Tracer, TracerProvider

MOST_SECONDS = 2.0
"""How long closing waits for a collector: the index has to be closed within the same few seconds."""

_log = logging.getLogger(__name__)


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracing:
    """Spans go to `provider`; without one there are none. `shut_down` sends what is left, and may block for seconds."""

    provider: TracerProvider | None = None
    shut_down: Callable[[], None] = _nothing

    @property
    def tracer(self) -> Tracer | None:
        """Makes our spans."""
        return None if self.provider is None else self.provider.get_tracer("lookalike")

    async def close(self) -> None:
        """Send what is left, as far as that takes no longer than `MOST_SECONDS`."""
        # This thread holds up nothing, whereas the ends of the loop and of the process wait for those of `to_thread`.
        sending = threading.Thread(target=self.shut_down, name="last-spans", daemon=True)
        sending.start()
        await asyncio.to_thread(sending.join, MOST_SECONDS)
        if sending.is_alive():
            _log.warning("The collector took no spans for %g s; the last ones are lost", MOST_SECONDS)
