"""What a Qdrant server, its client and the transport raise, sorted by what can be done about it.

gRPC raises AioRpcError with a status code; REST raises UnexpectedResponse with a status, or ResponseHandlingException
around what httpx raised; both raise ResourceExhaustedResponse where the server says when to come back. The client's
local mode raises ValueError.
"""

import json
from enum import Enum, auto

import grpc
from pydantic import ValidationError
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from domain.errors import InvalidFilterError, LookalikeError, RepositoryUnavailableError, StorageFullError


class FaultKind(Enum):
    """What can be done about a fault."""

    AWAY = auto()
    """No answer, or the server failed: the same request may succeed later."""
    BUSY = auto()
    """The server limits the rate of requests."""
    FULL = auto()
    """The server has no room left, on disk or in memory."""
    REFUSED = auto()
    """The API key is missing, wrong or lacks the right."""
    MISSING = auto()
    """There is no such collection."""
    EXISTS = auto()
    """There is one already."""
    INVALID = auto()
    """The server does not accept the request, and never will."""


class QdrantFault(Exception):  # noqa: N818 - named for what it is; it never leaves this package
    """A sorted error. `retry_after` is in seconds, where the server named a time."""

    def __init__(self, kind: FaultKind, message: str, *, retry_after: float | None = None) -> None:
        self.kind = kind
        self.retry_after = retry_after
        super().__init__(message)

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later. All requests of ours may be repeated."""
        return self.kind in {FaultKind.AWAY, FaultKind.BUSY}

    def translated(self, server: str) -> LookalikeError:
        """The domain's error for a fault that nobody handled."""
        match self.kind:
            case FaultKind.FULL:
                return StorageFullError(f"The Qdrant server at {server} has no room left: {self}")
            case FaultKind.REFUSED:
                return RepositoryUnavailableError(f"The Qdrant server at {server} refuses our API key: {self}")
            case FaultKind.BUSY:
                return RepositoryUnavailableError(
                    f"The Qdrant server at {server} limits the rate of requests: {self}",
                    retry_after=self.retry_after or 1.0,
                )
            case FaultKind.AWAY:
                return RepositoryUnavailableError(f"The Qdrant server at {server} does not answer: {self}")
            case _ if "index required" in str(self).lower():  # of a server in strict mode
                return InvalidFilterError(
                    "The Qdrant server takes no filter on a key without an index; name the key in "
                    f"LOOKALIKE_REPOSITORY__INDEXED_METADATA. It says: {self}"
                )
            case _:
                return RepositoryUnavailableError(f"The Qdrant server at {server} refuses a request of ours: {self}")


_CODES = {
    grpc.StatusCode.UNAUTHENTICATED: FaultKind.REFUSED,
    grpc.StatusCode.PERMISSION_DENIED: FaultKind.REFUSED,
    grpc.StatusCode.NOT_FOUND: FaultKind.MISSING,
    grpc.StatusCode.ALREADY_EXISTS: FaultKind.EXISTS,
    grpc.StatusCode.RESOURCE_EXHAUSTED: FaultKind.BUSY,
    grpc.StatusCode.INVALID_ARGUMENT: FaultKind.INVALID,
    grpc.StatusCode.UNIMPLEMENTED: FaultKind.INVALID,
    grpc.StatusCode.FAILED_PRECONDITION: FaultKind.INVALID,
    grpc.StatusCode.OUT_OF_RANGE: FaultKind.INVALID,
}
_STATUSES = {
    400: FaultKind.INVALID,
    401: FaultKind.REFUSED,
    403: FaultKind.REFUSED,
    404: FaultKind.MISSING,
    409: FaultKind.EXISTS,
    413: FaultKind.INVALID,
    422: FaultKind.INVALID,
    429: FaultKind.BUSY,
    507: FaultKind.FULL,
}
_NO_ROOM = ("out of disk", "out of memory", "no space left", "disk space", "disk quota")
"""The server reports a lack of room as an internal error; only its text tells."""

_NO_ANSWER_OF_QDRANTS = "the answer is none of Qdrant's"


def fault_of(error: Exception) -> QdrantFault | None:  # noqa: PLR0911 - one for each library
    """`error` sorted; None if it comes neither from Qdrant nor from the way there."""
    match error:
        case QdrantFault():
            return error
        case ResourceExhaustedResponse():
            return QdrantFault(FaultKind.BUSY, str(error), retry_after=float(error.retry_after_s))
        case QdrantException():  # of a Retry-After that is a date, as gateways write it
            return QdrantFault(FaultKind.BUSY, str(error))
        case grpc.aio.AioRpcError():
            message = f"{error.details() or 'no details'} ({error.code().name})"
            return QdrantFault(_by_text(_CODES.get(error.code(), FaultKind.AWAY), message), message)
        case UnexpectedResponse():
            message = f"{error.content.decode(errors='replace')} (status {error.status_code})"
            return QdrantFault(_by_text(_STATUSES.get(error.status_code or 0, FaultKind.AWAY), message), message)
        case json.JSONDecodeError() | UnicodeDecodeError() | ResponseHandlingException(source=ValidationError()):
            return QdrantFault(FaultKind.INVALID, _NO_ANSWER_OF_QDRANTS)
        case AssertionError() if "returned None" in str(error):  # of the client, to an answer that lacks its result
            return QdrantFault(FaultKind.INVALID, _NO_ANSWER_OF_QDRANTS)
        case ResponseHandlingException():
            return QdrantFault(FaultKind.AWAY, f"{type(error.source).__name__}: {error.source}")
        case TimeoutError() | grpc.aio.BaseError() | OSError():
            return QdrantFault(FaultKind.AWAY, str(error) or "no answer in time")
        case ValueError() if "not found" in str(error):  # local mode
            return QdrantFault(FaultKind.MISSING, str(error))
        case ValueError() if "already exists" in str(error):  # local mode
            return QdrantFault(FaultKind.EXISTS, str(error))
        case _:
            return None


def _by_text(kind: FaultKind, message: str) -> FaultKind:
    text = message.lower()
    if kind in {FaultKind.AWAY, FaultKind.BUSY} and any(words in text for words in _NO_ROOM):
        return FaultKind.FULL
    if kind is FaultKind.INVALID and "already exists" in text:  # servers before 1.10 use the code of a bad request
        return FaultKind.EXISTS
    return kind
