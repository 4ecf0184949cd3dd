"""Bounds on request bodies: their size, pace and encoding, and the bytes of all of them at once."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import HTTPException, Request, Response, params
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import Match
from starlette.types import Message, Scope

from domain.callers import seconds_left, set_deadline
from domain.errors import BodyTooLargeError, BusyError, LookalikeError
from entrypoints.http.access.roles import RequiredRole
from entrypoints.http.routes.forms import FormRequest
from entrypoints.settings import HttpSettings

OVERHEAD_BYTES = 1024 * 1024
"""What a request may have besides its pictures: multipart headers, metadata, filters, or its whole JSON."""

BULK_BYTES = 20 * 1024 * 1024
"""JSON about many images: room for the metadata of a thousand."""


class BytesInFlight:
    """Bounds the bytes of all bodies that are received or worked on at once. A larger body is accepted alone."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.held = 0

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Raises BusyError, before anything is read, where there is no room now."""
        if size and self.held and self.held + size > self._most:
            raise BusyError(
                f"The requests in progress have {self.held:,} bytes, and together with this one's {size:,} they would "
                f"have more than the {self._most:,} that are accepted at once. Send it again."
            )
        self.held += size
        try:
            yield
        finally:
            self.held -= size


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyPolicy:
    """What the body of an operation may have, and how long a caller who sets no deadline waits for the answer."""

    is_batch: bool = False
    """Its form has the bytes of a batch, instead of those of one picture."""
    is_patient: bool = False
    """The work grows with what is sent, so the server sets no deadline."""
    json_bytes: int = OVERHEAD_BYTES
    """Bytes that it may have without pictures."""

    def most_bytes(self, http: HttpSettings, *, has_pictures: bool) -> int:
        """Bytes that the whole body may have."""
        if not has_pictures:
            return self.json_bytes
        return OVERHEAD_BYTES + (http.max_batch_bytes if self.is_batch else http.max_upload_bytes)

    def start_deadline(self, http: HttpSettings) -> None:
        """Start the server's deadline, for callers who set none of their own."""
        if http.deadline_seconds and not self.is_patient and seconds_left() is None:
            set_deadline(http.deadline_seconds)


class BoundedRoute(APIRoute):
    """Reads a body by the rules of `policy`, and from callers with the operation's role alone.

    FastAPI's own `max_body_size` answers text/plain, where ours must be a problem.
    """

    policy = BodyPolicy()

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler of a request whose body is bounded."""
        handle = super().get_route_handler()
        roles = [item.dependency for item in self.dependencies if isinstance(item.dependency, RequiredRole)]
        takes_form = self.body_field is not None and isinstance(self.body_field.field_info, params.Form)

        async def handle_bounded(request: Request) -> Response:
            for role in roles:  # FastAPI reads the body before it asks the dependencies
                role.check(request)
            http: HttpSettings = request.app.state.container.settings().http
            if self.body_field is None:  # the body, if there is any, is never read
                self.policy.start_deadline(http)
                return await handle(request)
            _check_coding(request)
            if takes_form:
                _check_is_form(request)
            most = self.policy.most_bytes(http, has_pictures=takes_form and _is_multipart(request))
            declared = request.headers.get("content-length", "")
            # Without a length, a body comes in chunks or not at all.
            size = int(declared) if declared.isdecimal() else most * ("transfer-encoding" in request.headers)
            if size > most:
                raise _too_large(most)
            body = _BoundedBody(request, most, http, when_complete=lambda: self.policy.start_deadline(http))
            # Only an operation that takes a form reads one, also where the caller calls the body a form.
            bounded = (
                FormRequest(request.scope, body.receive, max_files=http.max_batch_files)
                if takes_form
                else Request(request.scope, body.receive)
            )
            bytes_in_flight: BytesInFlight = request.app.state.bytes_in_flight
            # A batch counts as one picture: of each file what exceeds a megabyte is kept on disk, and a batch may take
            # hours to come.
            with bytes_in_flight.hold(min(size, OVERHEAD_BYTES + http.max_upload_bytes)), _failures_named():
                return await handle(bounded)

        return handle_bounded


class PatientRoute(BoundedRoute):
    """For work that grows with what is asked for."""

    policy = BodyPolicy(is_patient=True)


class BulkRoute(BoundedRoute):
    """For JSON about many images, each with its own."""

    policy = BodyPolicy(is_patient=True, json_bytes=BULK_BYTES)


class JsonRoute(BulkRoute):
    """Takes JSON alone: another route at its path, behind it, takes forms."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether the request is for this route."""
        return super().matches(scope) if _media_type(Request(scope)) == "application/json" else (Match.NONE, {})


class BatchRoute(BoundedRoute):
    """For many pictures in one form."""

    policy = BodyPolicy(is_batch=True, is_patient=True)


class _BoundedBody:
    """Limits the size and pace of a request's body."""

    def __init__(self, request: Request, most: int, http: HttpSettings, *, when_complete: Callable[[], None]) -> None:
        self._receive = request.receive
        self._most = most
        self._http = http
        self._when_complete = when_complete
        self._received, self._started, self._complete = 0, time.monotonic(), False

    async def receive(self) -> Message:
        """The next piece. Raises BodyTooLargeError, and HTTPException for one that is too slow."""
        message = await self._next_in_time()
        self._received += len(message.get("body", b""))
        if self._received > self._most:
            raise _too_large(self._most)
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._complete = True
            self._when_complete()
        return message

    async def _next_in_time(self) -> Message:
        seconds = self._http.body_seconds + self._received / self._http.body_bytes_per_second
        bounded = self._http.body_seconds and not self._complete
        try:
            async with asyncio.timeout(self._started + seconds - time.monotonic() if bounded else None):
                return await self._receive()
        except TimeoutError:
            # The answer does not close the connection, or a caller that still sends would not see it. The protocol
            # bounds what follows.
            raise HTTPException(
                408,
                f"Of the body only {self._received:,} bytes came in {seconds:.0f} s. Send it again, faster or in "
                "smaller parts.",
            ) from None


@contextmanager
def _failures_named() -> Iterator[None]:
    """Raises the failure behind the 400 of its own that FastAPI raises for each failure while it reads a body."""
    try:
        yield
    except StarletteHTTPException as error:
        if isinstance(error.__cause__, LookalikeError):
            raise error.__cause__ from None
        if error.__cause__ is not None:
            error.detail = (
                "The body cannot be read: JSON is in UTF-8, is not nested hundreds of levels deep, and holds no "
                "numbers of thousands of digits."
            )
        raise


def _check_coding(request: Request) -> None:
    if (coding := request.headers.get("content-encoding", "identity").strip().lower()) not in {"", "identity"}:
        raise HTTPException(
            415,
            f"Send the body as it is: Content-Encoding {coding[:40]!r} is not accepted.",
            {"Accept-Encoding": "identity"},
        )


def _check_is_form(request: Request) -> None:
    sent = _media_type(request)
    if sent not in {"", "application/x-www-form-urlencoded"} and not _is_multipart(request):
        raise HTTPException(415, f"Send multipart/form-data, not {sent[:100]}: this takes a form.")


def _is_multipart(request: Request) -> bool:
    return _media_type(request).startswith("multipart/")


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _too_large(most: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"The request has more than the {most} bytes that are accepted here.")
