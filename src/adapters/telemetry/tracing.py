"""Whether there are spans, and where they go."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from opentelemetry.trace import Tracer, TracerProvider


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
        """Send what is left."""
        await asyncio.to_thread(self.shut_down)
