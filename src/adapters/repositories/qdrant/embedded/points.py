"""The verbs as the embedded engine's process answers them."""

from collections.abc import Awaitable, Sequence
from typing import Any

from typing_extensions import override

from adapters.repositories.qdrant.embedded.process import EngineProcess
from adapters.repositories.qdrant.embedded.requests import Write
from adapters.repositories.qdrant.embedded.write_queue import WriteQueue
from adapters.repositories.qdrant.points import Discard, Operation, Points
from domain.callers import raise_if_over
from domain.errors import LookalikeError


def _asked(verb: str) -> Any:  # noqa: ANN401 - the method of `Points` that it stands for
    """A verb that the engine's method of the same name answers."""

    def ask(points: "EmbeddedPoints", *args: object, **kwargs: object) -> Awaitable[Any]:
        return points.process.ask(verb, *args, **kwargs)

    return ask


class EmbeddedPoints(Points):
    """Requests are answered one after the other. Writes of many callers are made durable together."""

    is_serial = True

    def __init__(self, process: EngineProcess) -> None:
        self.process = process
        self._writes = WriteQueue(self._commit)

    count = _asked("count")
    facet = _asked("facet")
    query = _asked("query")
    query_groups = _asked("query_groups")
    retrieve = _asked("retrieve")
    scroll = _asked("scroll")

    @override
    async def write(self, operations: Sequence[Operation]) -> None:
        """A write that has begun is finished, whatever becomes of its caller."""
        raise_if_over()
        written = self._writes.put(operations)
        if not all(isinstance(operation, Discard) for operation in operations):
            await written

    async def _commit(self, writes: Sequence[Write]) -> Sequence[LookalikeError | None]:
        outcomes: Sequence[LookalikeError | None] = await self.process.ask("write", writes)
        return outcomes

    async def close(self) -> None:
        """Let all writes that have begun become durable, and the process end."""
        await self._writes.finish()
        await self.process.stop()
