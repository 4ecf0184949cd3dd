"""A server on loopback from which pictures are fetched: it answers what a test tells it to, and counts."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

Script = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]
"""A whole answer, or what writes one."""


class FarSide:
    """What it answers to each path, the heads of the requests, and how many connections there were."""

    def __init__(self, answers: Mapping[str, Script]) -> None:
        self.answers = dict(answers)
        self.heads: list[str] = []
        self.connections = 0
        self.busy = 0
        self.busiest = 0
        self.port = 0

    def url(self, path: str = "/hat.jpg", host: str = "shop.example", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                self.busy += 1
                self.busiest = max(self.busiest, self.busy)
                answer = self.answers.get(
                    head.split()[1].partition("?")[0], ok(b"nothing here", status="404 Not Found")
                )
                try:
                    if callable(answer):
                        await answer(writer)
                        break
                    writer.write(answer)
                    await writer.drain()
                finally:
                    self.busy -= 1
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def far_side(
    answers: Mapping[str, Script] | None = None, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[FarSide]:
    """One that listens."""
    side = FarSide(answers or {})
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(side.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, host, 0, ssl=tls)
    side.port = server.sockets[0].getsockname()[1]
    try:
        yield side
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def ok(content: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """An answer with a length."""
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *headers])
    return head.encode() + b"\r\n\r\n" + content


def redirect(location: str, status: str = "302 Found") -> bytes:
    """An answer that leads on."""
    return ok(b"", f"Location: {location}", status=status)
