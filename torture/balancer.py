"""A TCP balancer in this process, such as stands in front of nodes or replicas in a deployment."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress

CHUNK = 65_536
CONNECT_SECONDS = 1.0

Address = tuple[str, int]


async def always_ready(_: Address) -> bool:
    """For targets that are up all the time."""
    return True


class Balancer:
    """Passes each connection to the next of several addresses that is ready and accepts it.

    It knows nothing of what it passes: a connection stays where it is until either end closes it.
    """

    def __init__(self, targets: Iterable[Address], is_ready: Callable[[Address], Awaitable[bool]]) -> None:
        self._targets = deque(targets)
        self._is_ready = is_ready
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen at a free port of the loopback."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None, "the balancer has not been started"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Refuse connections, and close those that are open."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            far_reader, far_writer = await self._connect()
            ends.append(far_writer)
            await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))
        except OSError:
            pass  # none of the targets takes the connection
        finally:
            for end in ends:
                end.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the first target in turn that takes it. Raises OSError if none does."""
        for _ in range(len(self._targets)):
            target = self._targets[0]
            self._targets.rotate(-1)
            with suppress(OSError):
                if await self._is_ready(target):
                    return await asyncio.wait_for(asyncio.open_connection(*target), CONNECT_SECONDS)
        raise ConnectionRefusedError


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Until either end closes, which closes the other one."""
    with suppress(OSError):
        while chunk := await source.read(CHUNK):
            sink.write(chunk)
            await sink.drain()
    sink.close()


@asynccontextmanager
async def balancing(
    targets: Iterable[Address], is_ready: Callable[[Address], Awaitable[bool]] = always_ready
) -> AsyncIterator[Balancer]:
    """A balancer for as long as the block runs."""
    balancer = Balancer(targets, is_ready)
    await balancer.start()
    try:
        yield balancer
    finally:
        await balancer.stop()
