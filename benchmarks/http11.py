"""HTTP/1.1 on bare asyncio streams: what a load generator needs, at the least cost. Bodies are made beforehand."""

import asyncio
import http.client
from collections.abc import Sequence
from dataclasses import dataclass, field

BOUNDARY = "lookalike-benchmark"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
JSON = "application/json"
PATIENCE_SECONDS = 120.0


@dataclass(slots=True)
class Connection:
    """One caller. With `keep_alive` off every request opens a connection of its own."""

    port: int
    keep_alive: bool = True
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = field(default=None, init=False)

    async def request(self, method: str, path: str, body: bytes = b"", kind: str = JSON) -> tuple[int, bytes]:
        """The answer's status and body. A kept connection that the server has closed meanwhile is opened anew, once."""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        message = f"{head}Connection: {'keep-alive' if self.keep_alive else 'close'}\r\n\r\n".encode() + body
        kept = self._streams is not None
        try:
            return await self._exchange(message)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.close()
            if not kept:
                raise
            return await self._exchange(message)

    async def request_or_failure(
        self, method: str, path: str, body: bytes = b"", kind: str = JSON
    ) -> tuple[int, bytes]:
        """The same, but status 0 with the reason where no answer came."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self.request(method, path, body, kind)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            return 0, repr(error).encode()

    def close(self) -> None:
        """Let go of the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _exchange(self, message: bytes) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        reader, writer = self._streams
        writer.write(message)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head[9:12])
        if b"transfer-encoding: chunked" in head:
            body = await _chunks(reader)
        else:
            body = await reader.readexactly(_content_length(head))
        if not self.keep_alive or b"connection: close" in head:
            self.close()
        return status, body


def call(port: int, method: str, path: str, body: bytes = b"", kind: str = JSON) -> tuple[int, bytes]:
    """One request from code that has no event loop."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        connection.request(method, path, body, {"Content-Type": kind})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def multipart(name: str, pictures: Sequence[bytes], **fields: str) -> bytes:
    """A multipart body with pictures and text fields."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
        for field, value in fields.items()
    ]
    for number, picture in enumerate(pictures):
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{number}.jpg"\r\n\r\n'
        parts.append(head.encode() + picture + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def _content_length(head: bytes) -> int:
    _, found, rest = head.partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readline()
    return b"".join(parts)
