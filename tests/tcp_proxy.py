"""A TCP proxy in this process whose line can be slowed, cut, stalled, garbled and mended."""

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

CHUNK = 16_384


@dataclass(eq=False)
class _Line:
    """One connection through the proxy: its two ends, and whether it has gone silent for good."""

    near: socket.socket
    ends: set[asyncio.StreamWriter] = field(default_factory=set)
    silent: bool = False


class TcpProxy:
    """Passes bytes between its own port on the loopback and a target; one fault at a time, until `mend`.

    What is set applies to connections that are open and to new ones, unless it says otherwise.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener: socket.socket | None = None
        self._lines: dict[_Line, asyncio.Task[None]] = {}
        self._asking = _open_gate()
        self._answering = _open_gate()
        self._mended = asyncio.Event()
        self.latency = 0.0
        """Seconds by which each chunk is late, either way."""
        self.bytes_per_second: float | None = None
        """Either way; None for no bound."""
        self.reset_after: int | None = None
        """How many more bytes of an answer a connection passes on before it is reset; None for no end."""
        self.garbles = False
        """Answers are random bytes."""
        self.port = 0

    async def start(self) -> None:
        """Listen, at the same port as before if there was one."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    async def cut(self) -> None:
        """Refuse connections, and reset those that are open: the server is down until `start`."""
        self.flow()
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        lines = dict(self._lines)
        for line, passing in lines.items():
            _reset(line)
            passing.cancel()
        await asyncio.gather(*lines.values(), return_exceptions=True)
        for line in lines:  # of which some had not begun to pass anything on
            line.near.close()
            self._lines.pop(line, None)

    def stall(self) -> None:
        """Take everything and pass nothing on: half-open. New connections are accepted and never answered."""
        self._asking.clear()
        self._answering.clear()

    def hold_answers(self) -> None:
        """Pass on what is asked, and nothing of what is answered."""
        self._answering.clear()

    def flow(self) -> None:
        """Pass on again, what has waited first."""
        self._asking.set()
        self._answering.set()

    def drop(self) -> None:
        """Let go of what is open without telling either end: nothing passes on it any more. New connections work."""
        for line in self._lines:
            line.silent = True

    async def mend(self) -> None:
        """End every fault. What was dropped stays so."""
        self.latency, self.bytes_per_second, self.reset_after, self.garbles = 0.0, None, None, False
        self._mended.set()
        self._mended = asyncio.Event()
        self.flow()
        if self._listener is None:
            await self.start()

    def _accept(self, listener: socket.socket) -> None:
        """In one step: of connections that asyncio's server is accepting when it is closed, it leaves sockets open."""
        with suppress(OSError):  # the client has gone
            near, _ = listener.accept()
            near.setblocking(False)
            line = _Line(near)
            self._lines[line] = asyncio.create_task(self._serve(line))

    async def _serve(self, line: _Line) -> None:
        try:
            reader, writer = await asyncio.open_connection(sock=line.near)
            line.ends.add(writer)
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            line.ends.add(far_writer)
            await asyncio.gather(
                self._pass_on(line, reader, far_writer, self._asking, answers=False),
                self._pass_on(line, far_reader, writer, self._answering, answers=True),
            )
        except OSError:
            _reset(line)  # nobody is there
        finally:
            for end in line.ends:
                end.transport.abort()
            self._lines.pop(line, None)

    async def _pass_on(
        self,
        line: _Line,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        gate: asyncio.Event,
        *,
        answers: bool,
    ) -> None:
        with suppress(OSError):
            while chunk := await source.read(CHUNK):
                await gate.wait()
                await self._delay(len(chunk))
                if line.silent:
                    continue
                if answers and self.garbles:
                    chunk = random.randbytes(len(chunk))
                if answers and self.reset_after is not None:
                    passed, self.reset_after = chunk[: self.reset_after], max(0, self.reset_after - len(chunk))
                    sink.write(passed)
                    if not self.reset_after:
                        await asyncio.sleep(0)  # what was written leaves first
                        _reset(line)
                        return
                    continue
                sink.write(chunk)
                await sink.drain()
        if not (line.silent and answers):  # the near end of a dropped connection does not hear that the far one left
            sink.transport.abort()

    async def _delay(self, size: int) -> None:
        """Wait as long as so many bytes take, or until the line is mended."""
        seconds = self.latency + (size / self.bytes_per_second if self.bytes_per_second else 0.0)
        if seconds:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._mended.wait(), seconds)


def _open_gate() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


def _reset(line: _Line) -> None:
    """Close both ends by RST."""
    for end in (line.near, *(end.get_extra_info("socket") for end in line.ends)):
        with suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    for writer in line.ends:
        writer.transport.abort()


@asynccontextmanager
async def line_to(host: str, port: int) -> AsyncIterator[TcpProxy]:
    """A proxy that listens, and of which nothing is left in the end."""
    proxy = TcpProxy(host, port)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.cut()
