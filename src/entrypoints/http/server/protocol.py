"""Bounds on a connection: uvicorn limits neither how slowly a head comes nor how slowly an answer is read."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import h11
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_HEAD_BYTES = 64 * 1024
"""Bytes of the request line and all headers, or of all trailers."""

HEAD_SECONDS = 20.0
"""From the connection, or the first byte of a further request, to the end of its headers."""

READING_SECONDS, READING_BYTES = 20.0, 160 * 1024
"""The least that a caller reads of an answer in that time, or the connection is cut: what is unread is in memory."""

AHEAD_BYTES = 64 * 1024
"""Bytes that are kept of what comes behind a request, before its answer. Beyond them nothing more is read."""

LINGERING_SECONDS, LINGERING_BYTES = 20.0, 1024**3
"""For how long, and how much, is still taken in after the last answer. To close at once would reset the connection, and
a caller that sends before it reads would never see the answer."""

LAST_SECONDS = 1.0
"""The same seconds when the server ends."""


class BoundedHttpProtocol(H11Protocol):
    """HTTP/1.1 over one connection. Bodies are bounded by their routes (BoundedRoute).

    A head that is too large is answered 431, one that takes too long 408; as plain text, since no request is there yet.
    """

    max_head_bytes = MAX_HEAD_BYTES
    head_seconds = HEAD_SECONDS
    reading_seconds = READING_SECONDS
    lingering_seconds, lingering_bytes = LINGERING_SECONDS, LINGERING_BYTES

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Wait for the first request."""
        super().connection_made(transport)
        self.conn: _StrictConnection = _StrictConnection(self.max_head_bytes)
        self.flow = _BoundedFlow(transport, self.conn)
        self._answers = _AnswerTransport(transport, self._end)
        self._lingering = False
        self._dropped_bytes = 0
        self._reading_timer: asyncio.TimerHandle | None = None
        self._head_timer: asyncio.TimerHandle | None = self.loop.call_later(self.head_seconds, self._waited_enough)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing."""
        _cancel(self._head_timer)
        _cancel(self._reading_timer)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """A piece of a head or of a body, or what comes behind them."""
        if self._lingering:
            self._dropped_bytes += len(data)
            if self._dropped_bytes > self.lingering_bytes:
                self.transport.close()
            return
        if self._head_timer is None and self._is_answered():
            self._head_timer = self.loop.call_later(self.head_seconds, self._waited_enough)
        super().data_received(data)
        if self.conn.buffered:  # uvicorn would read no more, but only reading notices that a caller hangs up
            self.flow.resume_reading()

    def handle_events(self) -> None:
        """Start the next request, if its head is complete."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self.cycle.transport = self._answers
            self._stop_head_timer()

    def on_response_complete(self) -> None:
        """Turn to the next request."""
        super().on_response_complete()
        if self._lingering:  # the lingering has a timer of its own
            self._unset_keepalive_if_required()
        elif self.conn.buffered and self._head_timer is None and self._is_answered():
            self._head_timer = self.loop.call_later(self.head_seconds, self._waited_enough)

    def send_400_response(self, msg: str) -> None:
        """Refuse what h11 has refused."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if cycle.response_started:
                self.transport.close()
                return
            cycle.disconnected = True  # it waits for the rest of its body
            cycle.message_event.set()
        self._refuse(self.conn.refusal)

    def shutdown(self) -> None:
        """Close the connection, after the answer; the server waits until all connections have ended."""
        self.lingering_seconds = min(self.lingering_seconds, LAST_SECONDS)
        if self._lingering:
            self._linger()
        elif self._is_answered():
            self._end()
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        """The caller does not read as fast as we answer."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        """The caller has read nearly all of it."""
        _cancel(self._reading_timer)
        super().resume_writing()

    def _should_upgrade(self) -> bool:
        """Never: a request for another protocol may be ignored (RFC 9110, section 7.8)."""
        return False

    def _is_answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _waited_enough(self) -> None:
        if self.conn.their_state is h11.IDLE and self.conn.buffered:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self.transport.close()

    def _refuse(self, status: HTTPStatus) -> None:
        if self.transport.is_closing():
            return
        reason = status.phrase.encode()
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n%s" % (status, reason, len(reason), reason)
        )
        self._linger()

    def _end(self) -> None:
        """Close the connection: at once, if no more bytes can be on their way."""
        if self.transport.is_closing():
            return
        if self.conn.buffered or self.flow.read_paused or (self.cycle is not None and self.cycle.more_body):
            self._linger()
        else:
            self.transport.close()

    def _linger(self) -> None:
        self._lingering = True
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._stop_head_timer()
        self._head_timer = self.loop.call_later(self.lingering_seconds, self.transport.close)

    def _stop_head_timer(self) -> None:
        _cancel(self._head_timer)
        self._head_timer = None

    def _expect_reading(self) -> None:
        unread = self.transport.get_write_buffer_size()
        self._reading_timer = self.loop.call_later(self.reading_seconds, self._check_reading, unread)

    def _check_reading(self, unread: int) -> None:
        if self.transport.get_write_buffer_size() > unread - READING_BYTES:
            self.transport.abort()
        else:
            self._expect_reading()


class _StrictConnection(h11.Connection):
    """h11, with a bound also on heads that come in one piece, and stricter about requests."""

    def __init__(self, max_head_bytes: int) -> None:
        super().__init__(h11.SERVER, max_head_bytes)
        self._max_head_bytes = max_head_bytes
        self.refusal = HTTPStatus.BAD_REQUEST

    @property
    def buffered(self) -> int:
        """Bytes that came and are not parsed yet."""
        return len(self._receive_buffer)

    def next_event(self) -> Any:  # noqa: ANN401 - as in h11
        """Raises RemoteProtocolError; `refusal` is its status then."""
        if self.their_state is h11.IDLE and self._receive_buffer:  # leave out empty lines before a request
            lines = bytes(self._receive_buffer)
            self._receive_buffer.maybe_extract_at_most(len(lines) - len(lines.lstrip(b"\r\n")))
        try:
            event = super().next_event()
            return self._checked(event) if isinstance(event, h11.Request | h11.EndOfMessage) else event
        except h11.RemoteProtocolError as error:
            if error.error_status_hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
                self.refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise

    def _checked(self, event: h11.Request | h11.EndOfMessage) -> h11.Request | h11.EndOfMessage:
        size = sum(len(name) + len(value) + len(": \r\n") for name, value in event.headers)
        target = event.target if isinstance(event, h11.Request) else b""
        if size + len(target) > self._max_head_bytes:
            raise h11.RemoteProtocolError("too large", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if isinstance(event, h11.EndOfMessage):
            return event
        framings = {name for name, _ in event.headers} & {b"content-length", b"transfer-encoding"}
        method, version = event.method, event.http_version
        if len(framings) > 1 or method == b"CONNECT" or not method.isupper() or version not in {b"1.0", b"1.1"}:
            raise h11.RemoteProtocolError("not accepted here")
        if target[:8].lower().startswith((b"http://", b"https://")):  # the form for proxies, which servers take too
            _, _, path, query, _ = urlsplit(target)
            target = (path or b"/") + (b"?" + query if query else b"")
            return h11.Request(method=method, target=target, headers=list(event.headers), http_version=version)
        return event


class _BoundedFlow(FlowControl):
    """Reads on only while little is unparsed: uvicorn asks for more with each answer and each `receive`."""

    def __init__(self, transport: asyncio.Transport, conn: _StrictConnection) -> None:
        super().__init__(transport)
        self._conn = conn

    def resume_reading(self) -> None:
        """Read on, unless enough is unparsed."""
        if self._conn.buffered <= AHEAD_BYTES and not self._transport.is_closing():
            super().resume_reading()


class _AnswerTransport(asyncio.Transport):
    """A connection as an answer sees it: uvicorn would close it behind the last one, with bytes unread."""

    def __init__(self, transport: asyncio.Transport, end: Callable[[], None]) -> None:
        super().__init__()
        self._transport = transport
        self._end = end

    def write(self, data: bytes) -> None:  # type: ignore[override]  # all that is written here
        """A piece of the answer."""
        self._transport.write(data)

    def is_closing(self) -> bool:
        """Whether the caller will see no more of it."""
        return self._transport.is_closing()

    def close(self) -> None:
        """End the connection behind the last answer."""
        self._end()


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
