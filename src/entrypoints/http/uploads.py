"""Pictures on their way in: counted while they stream, read when their turn comes."""

import asyncio
import errno
import tempfile
import time
import unicodedata
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Any

from fastapi import HTTPException, Request, Response, UploadFile, params
from fastapi.routing import APIRoute
from python_multipart.multipart import parse_options_header
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import Message, Receive

from application.index_images import Upload
from domain.callers import seconds_left, set_deadline
from domain.errors import BodyTooLargeError, BusyError, StorageFullError
from domain.metadata import Metadata
from entrypoints.http.auth import RequiredRole
from entrypoints.settings import HttpSettings

OVERHEAD_BYTES = 1024 * 1024
"""What a request may have besides its pictures: multipart headers, metadata, filters, or its whole JSON."""

EPILOGUE_BYTES = 4096
"""How far from its end a multipart body is searched for its closing delimiter."""

MAX_FIELDS, MAX_FIELD_BYTES = 128, 1024 * 1024
"""Of a form, besides its files; they are kept in memory. More than any operation takes."""

MAX_FILENAME = 255

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

MULTIPART = params.Form(media_type="multipart/form-data")
"""A form with files; FastAPI would document one whose files are fields of a model as URL-encoded."""


class BodiesInHand:
    """The bytes of all bodies that are being received or worked on, bounded; one larger than that is let in alone."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.in_hand = 0
        """Bytes that are held."""

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Raises BusyError, before anything is read, where there is no room now."""
        if size and self.in_hand and self.in_hand + size > self._most:
            raise BusyError(
                f"The requests in hand have {self.in_hand:,} bytes, and together with this one's {size:,} they would "
                f"have more than the {self._most:,} that are accepted at once. Send it again."
            )
        self.in_hand += size
        try:
            yield
        finally:
            self.in_hand -= size


class CountedRoute(APIRoute):
    """Refuses a body over the limit by its declared length, or else at the byte that passes it; and when busy, any.

    Callers who set no deadline wait for the server's. FastAPI's own `max_body_size` answers text/plain, where ours must
    be a problem.
    """

    @property
    def reads_form(self) -> bool:
        """Whether the operation takes a form. Another's body is never parsed as one, whatever its caller calls it."""
        return self.body_field is not None and isinstance(self.body_field.field_info, params.Form)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler behind a `receive` that counts."""
        handle = super().get_route_handler()
        roles = [item.dependency for item in self.dependencies if isinstance(item.dependency, RequiredRole)]

        async def counted(request: Request) -> Response:
            # FastAPI reads the body before it solves dependencies: first ask whether this caller may send one.
            for role in roles:
                role.check(request)
            http = request.app.state.container.settings().http
            if self.body_field is None:  # whatever body there is, nobody reads it: dependencies look at `reads_form`
                self.bound_wait(http)
                return await handle(request)
            _check_codings(request)
            limit = self.limit(http, request)
            declared = request.headers.get("content-length", "")
            size = int(declared) if declared.isdecimal() else _most_undeclared(request, limit)
            if size > limit:
                raise _too_large(limit)
            bodies: BodiesInHand = request.app.state.bodies_in_hand
            # Of a batch no more than of one picture: what exceeds a megabyte of a file is kept on disk, and all of it
            # may take hours to come.
            with bodies.hold(min(size, OVERHEAD_BYTES + http.max_upload_bytes)), _parser_understood(http):
                return await handle(Request(request.scope, self._watched(request, limit, http)))

        return counted

    def limit(self, http: HttpSettings, request: Request) -> int:
        """Bytes that the whole body may have: one picture's, or where none can be in it just the overhead."""
        return OVERHEAD_BYTES + (http.max_upload_bytes if self.reads_form and _is_multipart(request) else 0)

    @staticmethod
    def bound_wait(http: HttpSettings) -> None:
        """The server's deadline, for callers who set none of their own."""
        if http.deadline_seconds and seconds_left() is None:
            set_deadline(http.deadline_seconds)

    def _watched(self, request: Request, limit: int, http: HttpSettings) -> Receive:
        """Counts the body, sees that a multipart body has its end (Starlette does not); the wait begins there."""
        received, tail, closing = 0, b"", _closing_delimiter(request)
        started, complete = time.monotonic(), False

        async def watched() -> Message:
            nonlocal received, tail, complete
            given = http.body_seconds + received / http.body_bytes_per_second
            bounded = http.body_seconds and not complete
            try:
                async with asyncio.timeout(started + given - time.monotonic() if bounded else None):
                    message = await request.receive()
            except TimeoutError:
                raise _too_slow(received, given) from None
            body = message.get("body", b"")
            received += len(body)
            if received > limit:
                raise _too_large(limit)
            tail = (tail + body)[-EPILOGUE_BYTES:]
            if message["type"] == "http.request" and not message.get("more_body", False):
                complete = True
                if closing not in tail:
                    raise HTTPException(400, f"The multipart body is cut off: it has no {closing.decode('latin-1')!r}.")
                self.bound_wait(http)
            return message

        return watched


class PatientRoute(CountedRoute):
    """For work that takes as long as there is much of it: callers who set no deadline wait for the end."""

    @staticmethod
    def bound_wait(http: HttpSettings) -> None:
        """No deadline of the server's."""


class CountedBatchRoute(PatientRoute):
    """Takes the bytes of a batch."""

    def limit(self, http: HttpSettings, request: Request) -> int:
        """Bytes that the whole batch may have."""
        return OVERHEAD_BYTES + http.max_batch_bytes


def form_limits(http: HttpSettings) -> Any:  # noqa: ANN401 - FastAPI's type for it is private
    """What its parser takes of a form, before the operation sees any of it."""
    return {"max_files": http.max_batch_files, "max_fields": MAX_FIELDS, "max_part_size": MAX_FIELD_BYTES}


async def read_picture(file: UploadFile, limit: int) -> bytes:
    """The bytes of one picture. Raises BodyTooLargeError above `limit` bytes."""
    if file.size is not None and file.size > limit:
        raise BodyTooLargeError(f"The picture has {file.size} bytes; at most {limit} are accepted.")
    return await file.read()


def upload_of(file: UploadFile, metadata: Metadata | None, limit: int) -> Upload:
    """The use case's view of a file; its bytes stay on disk until they are read."""
    return Upload(filename=clean_filename(file.filename), read=lambda: read_picture(file, limit), metadata=metadata)


def clean_filename(name: str | None) -> str:
    """The last part of a path of either kind, without control characters, at most 255 characters."""
    last = PurePosixPath((name or "").replace("\\", "/")).name
    printable = "".join(character for character in last if unicodedata.category(character)[0] != "C")
    return printable.strip()[:MAX_FILENAME] or "unnamed"


def _most_undeclared(request: Request, limit: int) -> int:
    """What a body may have that declares no length."""
    return limit if "transfer-encoding" in request.headers else 0


@contextmanager
def _parser_understood(http: HttpSettings) -> Iterator[None]:
    """What stops the parser of forms is answered 400, whatever it is: raises BodyTooLargeError and StorageFullError."""
    try:
        yield
    except StarletteHTTPException as error:
        for words, reason in (
            ("Too many files.", f"The form has more than the {http.max_batch_files} files that are accepted."),
            ("Too many fields.", f"The form has more than the {MAX_FIELDS} fields that are accepted."),
            ("Part exceeded maximum size", f"A field has more than the {MAX_FIELD_BYTES} bytes that are accepted."),
        ):
            if error.status_code == HTTPStatus.BAD_REQUEST and error.detail.startswith(words):
                raise BodyTooLargeError(reason) from error
        # The parser keeps what is large on disk.
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in FULL:
            raise StorageFullError(
                f"No room is left to receive the body in {tempfile.gettempdir()} (TMPDIR): {error.__cause__.strerror}."
            ) from error
        raise


def _check_codings(request: Request) -> None:
    """Raises HTTPException for a body that is compressed, or a form that is not in UTF-8.

    Neither would be understood; and of the text encodings that Python knows, some take their time.
    """
    if (coding := request.headers.get("content-encoding", "identity").strip().lower()) not in {"", "identity"}:
        raise HTTPException(
            415,
            f"Send the body as it is: Content-Encoding {coding[:40]!r} is not accepted.",
            {"Accept-Encoding": "identity"},
        )
    if _is_multipart(request):
        _, options = parse_options_header(request.headers["content-type"])
        charset = options.get(b"charset", b"utf-8").lower()
        if charset not in {b"utf-8", b"utf8", b"us-ascii"}:
            raise HTTPException(415, f"Send the form's text in UTF-8, not in {charset[:40].decode('latin-1')!r}.")


def _is_multipart(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith("multipart/")


def _closing_delimiter(request: Request) -> bytes:
    """What ends a multipart body; nothing for other bodies, and where the parser will miss the boundary."""
    _, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    return b"--" + boundary + b"--" if boundary and _is_multipart(request) else b""


# HTTPExceptions, since FastAPI turns any other error while it reads a body into a 400 without its reason.
def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"The request has more than the {limit} bytes that are accepted here.")


def _too_slow(received: int, seconds: float) -> HTTPException:
    # The connection is not closed with it: who still sends would not see the answer. The protocol bounds what follows.
    return HTTPException(
        408, f"Of the body only {received:,} bytes came in {seconds:.0f} s. Send it again, faster or in smaller parts."
    )
