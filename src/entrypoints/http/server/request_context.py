"""What happens to every request: an id, a caller who may go away, one log line, a problem for what nobody expected."""

import asyncio
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol
from uuid import uuid4

import structlog
from opentelemetry import trace
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.callers import Deadline, set_deadline, within
from entrypoints.http.contract.parameters import DEADLINE_HEADER, MAX_DEADLINE, REQUEST_ID_HEADER
from entrypoints.http.contract.problems import ProblemResponse, problem
from entrypoints.http.server.paths import is_health, own_path
from entrypoints.http.server.route_templates import UNMATCHED

log = logging.getLogger(__name__)

_VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_VALID_DEADLINE = re.compile(r"[0-9]{1,9}")


class RequestObserver(Protocol):
    """Whoever counts requests."""

    def request_began(self) -> None:
        """A request's head is here."""

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


@dataclass(slots=True, kw_only=True)
class _Progress:
    """What has been seen of a request and its answer so far."""

    status: int | None = None
    received: int = 0
    sent: int = 0


class RequestContext:
    """Gives the request its id and its deadline, tells how it went, and turns a crash into a problem.

    Around everything but `SecurityHeaders`, whose headers its answers have too.
    """

    def __init__(
        self, app: ASGIApp, observer: RequestObserver | None = None, route_of: Callable[[Scope], str] | None = None
    ) -> None:
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
        progress = _Progress()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                progress.status = int(message["status"])  # it may be an HTTPStatus, which logs spell out
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            elif message["type"] == "http.response.body":
                progress.sent += len(message.get("body", b""))
            await send(message)

        started = time.perf_counter()
        if self._observer is not None:
            self._observer.request_began()
        trace.get_current_span().set_attribute("lookalike.request_id", request_id)
        deadline = Deadline()
        watched = _WatchedReceive(receive, deadline, progress)
        with structlog.contextvars.bound_contextvars(request_id=request_id), within(deadline):
            try:
                await self._answer(scope, watched, send_with_id, headers)
            except Exception:
                log.exception("Unexpected error")
                if progress.status is not None:
                    raise
                await _internal_error(request_id, scope["path"])(scope, receive, send_with_id)
            finally:
                watched.stop()
                self._tell(scope, progress, time.perf_counter() - started)

    def _tell(self, scope: Scope, progress: _Progress, seconds: float) -> None:
        route = UNMATCHED if self._route_of is None else self._route_of(scope)
        problem_code = scope["state"].get("problem")
        asked_often = is_health(scope) or own_path(scope) == "/metrics"
        if self._observer is not None:
            self._observer.request_ended(
                method=scope["method"],
                route=route,
                status=progress.status,
                seconds=seconds,
                received=progress.received,
                sent=progress.sent,
                problem=problem_code,
            )
        structlog.stdlib.get_logger("access").log(
            logging.DEBUG if asked_often else logging.INFO,
            "request",
            method=scope["method"],
            path=scope["path"],
            route=route,
            status=progress.status,
            milliseconds=round(seconds * 1000, 1),
            received_bytes=progress.received,
            sent_bytes=progress.sent,
            client=scope["client"][0] if scope.get("client") else None,
            **({} if problem_code is None else {"problem": problem_code}),
        )

    async def _answer(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        deadline = headers.get(DEADLINE_HEADER)
        if deadline is not None and not _VALID_DEADLINE.fullmatch(deadline):
            found = problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "validation_failed",
                f"{DEADLINE_HEADER} is a whole number of milliseconds from 0 to {MAX_DEADLINE}, not {deadline[:40]!r}.",
                instance=scope["path"],
                request_id=scope["state"]["request_id"],
            )
            await ProblemResponse(found)(scope, receive, send)
            return
        if deadline is not None:
            set_deadline(int(deadline) / 1000)
        await self.app(scope, receive, send)


class _WatchedReceive:
    """The server's `receive`; it notes when a caller goes away who has sent everything and waits for the answer."""

    def __init__(self, receive: Receive, deadline: Deadline, progress: _Progress) -> None:
        self._receive = receive
        self._deadline = deadline
        self._progress = progress
        self._watch: asyncio.Task[Message] | None = None

    async def __call__(self) -> Message:
        if self._watch is not None:
            return await asyncio.shield(self._watch)
        message = await self._receive()
        self._progress.received += len(message.get("body", b""))
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._watch = asyncio.create_task(self._until_gone())
        return message

    async def _until_gone(self) -> Message:
        message = await self._receive()  # after all of the body, only a disconnect can come
        self._deadline.gone = True
        return message

    def stop(self) -> None:
        """Watch no longer."""
        if self._watch is not None:
            self._watch.cancel()


def _internal_error(request_id: str, path: str) -> ASGIApp:
    return ProblemResponse(
        problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "internal_error",
            "Something failed that should not. The log tells more under this request_id.",
            instance=path,
            request_id=request_id,
        )
    )
