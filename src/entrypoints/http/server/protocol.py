"""How a connection may behave: uvicorn's protocol bounds neither the size nor the time of what it waits for."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MAX_HEAD_BYTES = 64 * 1024
"""Of the request line and all headers; what uvicorn's other protocol takes too."""

HEAD_SECONDS = 20.0
"""From the connection, or the first byte of a further request, to the end of its headers."""

READING_SECONDS, READING_BYTES = 20.0, 160 * 1024
"""Who reads an answer more slowly than that many bytes in that time is hung up on: what they leave is in memory."""

PIECE_BYTES = 4 * 1024
"""What is parsed at once: all requests that it holds are there together, though they are answered one by one."""

AHEAD_BYTES = 64 * 1024
"""Where more came than that of what is not parsed yet, nothing more is read."""

LINGERING_SECONDS, LINGERING_BYTES = 20.0, 1024**3
"""How long, and how much of, what still comes is taken in after the last answer: to close at once would reset the
connection, and a caller who sends before they read would never see the answer."""

LAST_SECONDS = 1.0
"""How long that is done when the server ends."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 over one connection. Bodies are bounded by their routes (BoundedRoute).

    A head that is too large is answered 431, one that takes too long 408; as plain text, since no request is there yet.
    Trailers count as part of the head. What comes behind a request is parsed when that has been answered: uvicorn reads
    on with each answer, and what it keeps of callers who send faster than they are answered grows without end.
    """

    max_head_bytes = MAX_HEAD_BYTES
    head_seconds = HEAD_SECONDS
    reading_seconds = READING_SECONDS
    lingering_seconds, lingering_bytes = LINGERING_SECONDS, LINGERING_BYTES

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Wait for the first request."""
        super().connection_made(transport)
        self._ahead = bytearray()
        self.flow = _BoundedFlow(transport, self._ahead)
        self._answering: RequestResponseCycle | None = None
        self._in_head = self._refused = self._lingering = False
        self._head_bytes = self._dropped_bytes = 0
        self._unparsed_bytes = 0
        """Of what came since the parser last told of anything: it keeps a header to itself until that is whole."""
        self._reading: asyncio.TimerHandle | None = None
        self._waiting: asyncio.TimerHandle | None = self.loop.call_later(self.head_seconds, self._waited_enough)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing, and keep nothing of what waited for its turn."""
        self._ahead.clear()
        self.pipeline.clear()
        self._stop_waiting()
        self._stop_reading()
        super().connection_lost(exc)
        if self._answering is not None:
            self._give_up(self._answering)

    def data_received(self, data: bytes) -> None:
        """Of a head, of a body, or of what nobody asked for."""
        if self._refused:
            self._dropped_bytes += len(data)
            if self._dropped_bytes > self.lingering_bytes:
                self.transport.close()
            return
        self._ahead += data
        self._parse()
        if len(self._ahead) > AHEAD_BYTES:
            self.flow.pause_reading()

    def on_response_complete(self) -> None:
        """It is the next request's turn."""
        super().on_response_complete()
        if self._lingering:  # which has a time of its own
            self._unset_keepalive_if_required()
        self._parse()
        self.flow.resume_reading()

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = self._unparsed_bytes = 0

    def on_url(self, url: bytes) -> None:
        """A piece of the request line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, whole."""
        self._count(len(name) + len(value) + len(": \r\n"))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there in time."""
        self._in_head = False
        self._stop_waiting()
        if not self.parser.should_upgrade():
            super().on_headers_complete()
        elif self.parser.get_method() == b"CONNECT":
            raise ValueError("This is no proxy.")  # which ends the parsing, in send_400_response

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The body is there."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What the parser refuses."""
        too_large = self._head_bytes > self.max_head_bytes
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if too_large else HTTPStatus.BAD_REQUEST)

    def shutdown(self) -> None:
        """The server ends, and waits until all connections have."""
        self.lingering_seconds = min(self.lingering_seconds, LAST_SECONDS)
        if self._lingering:
            self._linger()
        elif self.cycle is None or self.cycle.response_complete:
            self._end()
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        """The caller does not read as fast as we answer."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        """They have read nearly all."""
        self._stop_reading()
        super().resume_writing()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Remember which request is being answered: of several in a row uvicorn knows the last one alone."""
        self._answering = cycle
        cycle.transport = _AnswerTransport(self.transport, self._end)
        super()._start_asgi_task(cycle, app)

    def _parse(self) -> None:
        """What has come, as far as the end of a request that is not answered yet."""
        if self._ahead and self._waiting is None and (self.cycle is None or self.cycle.response_complete):
            self._waiting = self.loop.call_later(self.head_seconds, self._waited_enough)
        while self._ahead and self._parses_on():
            piece = bytes(self._ahead[:PIECE_BYTES])
            del self._ahead[:PIECE_BYTES]
            self._unparsed_bytes += len(piece)
            self._feed(piece)
            if self._unparsed_bytes > self.max_head_bytes:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _feed(self, piece: bytes) -> None:
        """As uvicorn does it; but what asks to change the protocol is parsed anew, as a request that does not ask.

        There is no other protocol here, and such a wish may be ignored (RFC 9110, section 7.8). The parser ends the
        request at its head: the body, which curl and Java send with it, would be taken for a request.
        """
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserError:
            invalid = "Invalid HTTP request received."
            self.logger.warning(invalid)
            self.send_400_response(invalid)
        except httptools.HttpParserUpgrade as upgrade:
            self._ahead[:0] = self._head_without_upgrade() + piece[upgrade.args[0] :]

    def _head_without_upgrade(self) -> bytes:
        line = b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        headers = [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([line, *headers, b"", b""])

    def _parses_on(self) -> bool:
        if self._refused or self.pipeline or self.transport.is_closing():
            return False
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def _count(self, size: int) -> None:
        self._unparsed_bytes = 0
        self._head_bytes += size
        if self._head_bytes > self.max_head_bytes:
            raise ValueError("The head is too large.")  # which ends the parsing, in send_400_response

    def _waited_enough(self) -> None:
        self._waiting = None
        if self._in_head:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self.transport.close()

    def _refuse(self, status: HTTPStatus) -> None:
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._ahead.clear()
        cycle = self._answering
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:  # what is wrong is behind a whole request, which is answered first
                cycle.keep_alive = False
                return
            if cycle.response_started:
                self.transport.close()
                return
            self._give_up(cycle)  # whoever waits for the body
        reason = status.phrase.encode()
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n%s" % (status, reason, len(reason), reason)
        )
        self._linger()

    def _end(self) -> None:
        """Close the connection, at once where nothing can be on its way."""
        if self.transport.is_closing():
            return
        if self._refused or self.flow.read_paused or (self.cycle is not None and self.cycle.more_body):
            self._linger()
        else:
            self.transport.close()

    def _linger(self) -> None:
        self._refused = self._lingering = True
        self._ahead.clear()
        self.pipeline.clear()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._stop_waiting()
        self._waiting = self.loop.call_later(self.lingering_seconds, self.transport.close)

    @staticmethod
    def _give_up(cycle: RequestResponseCycle) -> None:
        cycle.disconnected = True
        cycle.message_event.set()

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _expect_reading(self) -> None:
        unread = self.transport.get_write_buffer_size()
        self._reading = self.loop.call_later(self.reading_seconds, self._check_reading, unread)

    def _check_reading(self, unread: int) -> None:
        if self.transport.get_write_buffer_size() > unread - READING_BYTES:
            self.transport.abort()
        else:
            self._expect_reading()

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None


class _BoundedFlow(FlowControl):
    """Reads on only where little is left of what was read: uvicorn asks for more with each answer and each `receive`.

    Who hangs up is noticed by reading alone; therefore it reads on as long as it may.
    """

    def __init__(self, transport: asyncio.Transport, ahead: bytearray) -> None:
        super().__init__(transport)
        self._ahead = ahead

    def resume_reading(self) -> None:
        """Read on if that is in order."""
        if len(self._ahead) <= AHEAD_BYTES:
            super().resume_reading()


class _AnswerTransport(asyncio.Transport):
    """A connection as an answer sees it: uvicorn closes it behind the last one, whatever may still be unread."""

    def __init__(self, transport: asyncio.Transport, end: Callable[[], None]) -> None:
        super().__init__()
        self._transport = transport
        self._end = end

    def write(self, data: bytes) -> None:  # type: ignore[override]  # all that is written here
        """A piece of the answer."""
        self._transport.write(data)

    def is_closing(self) -> bool:
        """Whether nobody will see more of it."""
        return self._transport.is_closing()

    def close(self) -> None:
        """It was the last one."""
        self._end()
