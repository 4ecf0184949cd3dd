"""For every request: an id, a caller with a deadline, one line in the log, and a problem if it crashes."""

import asyncio
import logging
import re
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol
from uuid import uuid4

import structlog
from opentelemetry import trace
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.callers import Deadline, set_deadline, within
from entrypoints.http.contract.parameters import DEADLINE_HEADER, MAX_DEADLINE, REQUEST_ID_HEADER
from entrypoints.http.contract.problems import problem_response
from entrypoints.http.server.paths import is_health, own_path

log = logging.getLogger(__name__)

_VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_VALID_DEADLINE = re.compile(r"[0-9]{1,9}")


class RequestObserver(Protocol):
    """Counts requests."""

    def request_began(self) -> None:
        """A request's head has come."""

    def request_ended(
        self,
        *,
        method: str,
        route: str,
        status: int | None,
        seconds: float,
        received: int,
        sent: int,
        problem: str | None,
    ) -> None:
        """How it went: by which route (a template), with how many bytes of body; None where there was no answer."""


class RequestContext:
    """Gives the request its id and its deadline, logs and counts how it went, and turns a crash into a problem.

    It is around everything but `SecurityHeaders`, so that its answers have those headers too.
    """

    def __init__(self, app: ASGIApp, observer: RequestObserver, route_of: Callable[[Scope], str]) -> None:
        self.app = app
        self._observer = observer
        self._route_of = route_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = headers.get(REQUEST_ID_HEADER, "")
        if not _VALID_REQUEST_ID.fullmatch(request_id):
            request_id = uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        trace.get_current_span().set_attribute("lookalike.request_id", request_id)
        deadline = Deadline()
        exchange = _Exchange(receive, send, request_id, deadline)
        started = time.perf_counter()
        self._observer.request_began()
        with structlog.contextvars.bound_contextvars(request_id=request_id), within(deadline):
            try:
                app = _with_deadline(headers.get(DEADLINE_HEADER), self.app, scope)
                await app(scope, exchange.receive, exchange.send)
            except Exception:
                log.exception("Unexpected error")
                if exchange.status is not None:
                    raise
                detail = "Something failed that should not. The log tells more under this request_id."
                crash = problem_response(scope, HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", detail)
                await crash(scope, receive, exchange.send)
            finally:
                exchange.stop()
                self._record(scope, exchange, time.perf_counter() - started)

    def _record(self, scope: Scope, exchange: "_Exchange", seconds: float) -> None:
        route, problem_code = self._route_of(scope), scope["state"].get("problem")
        self._observer.request_ended(
            method=scope["method"],
            route=route,
            status=exchange.status,
            seconds=seconds,
            received=exchange.received,
            sent=exchange.sent,
            problem=problem_code,
        )
        asked_often = is_health(scope) or own_path(scope) == "/metrics"
        structlog.stdlib.get_logger("access").log(
            logging.DEBUG if asked_often else logging.INFO,
            "request",
            method=scope["method"],
            path=scope["path"],
            route=route,
            status=exchange.status,
            milliseconds=round(seconds * 1000, 1),
            received_bytes=exchange.received,
            sent_bytes=exchange.sent,
            client=scope["client"][0] if scope.get("client") else None,
            **({} if problem_code is None else {"problem": problem_code}),
        )


def _with_deadline(deadline: str | None, app: ASGIApp, scope: Scope) -> ASGIApp:
    """Set the caller's deadline. Returns `app`, or the answer that refuses an invalid deadline."""
    if deadline is None:
        return app
    if not _VALID_DEADLINE.fullmatch(deadline):
        wanted = f"{DEADLINE_HEADER} is a whole number of milliseconds from 0 to {MAX_DEADLINE}"
        detail = f"{wanted}, not {deadline[:40]!r}."
        return problem_response(scope, HTTPStatus.UNPROCESSABLE_ENTITY, "validation_failed", detail)
    set_deadline(int(deadline) / 1000)
    return app


class _Exchange:
    """A request and its answer on their way: counts bytes, and notes when the caller hangs up before the answer."""

    def __init__(self, receive: Receive, send: Send, request_id: str, deadline: Deadline) -> None:
        self._receive = receive
        self._send = send
        self._request_id = request_id
        self._deadline = deadline
        self._watch: asyncio.Task[Message] | None = None
        self.status: int | None = None
        self.received = self.sent = 0

    async def receive(self) -> Message:
        """A piece of the request's body, or that the caller has gone."""
        if self._watch is not None:
            return await asyncio.shield(self._watch)
        message = await self._receive()
        self.received += len(message.get("body", b""))
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._watch = asyncio.create_task(self._until_gone())
        return message

    async def send(self, message: Message) -> None:
        """The head of the answer, with the request's id, or a piece of its body."""
        if message["type"] == "http.response.start":
            self.status = int(message["status"])  # an HTTPStatus would be logged by its name
            MutableHeaders(scope=message)[REQUEST_ID_HEADER] = self._request_id
        elif message["type"] == "http.response.body":
            self.sent += len(message.get("body", b""))
        await self._send(message)

    async def _until_gone(self) -> Message:
        message = await self._receive()  # after all of the body, only a disconnect can come
        self._deadline.gone = True
        return message

    def stop(self) -> None:
        """Watch no longer."""
        if self._watch is not None:
            self._watch.cancel()
