"""What a Qdrant server, its client and the transport raise, sorted by what can be done about it.

gRPC raises AioRpcError with a status code; REST raises UnexpectedResponse with a status, or ResponseHandlingException
around what httpx raised; both raise ResourceExhaustedResponse where the server says when to come back.
"""

import json
from collections.abc import Mapping
from enum import Enum

import grpc
from pydantic import ValidationError
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from domain.errors import InvalidFilterError, LookalikeError, Remedy, RepositoryUnavailableError, StorageFullError

_CODES = grpc.StatusCode


class FaultKind(Enum):
    """What can be done about a fault. The values are what the server does."""

    AWAY = "does not answer"
    """Or it failed: the same request may succeed later."""
    BUSY = "limits the rate of requests"
    FULL = "has no room left"
    """On disk or in memory."""
    REFUSED = "refuses our API key"
    """Which is missing, wrong or lacks the right."""
    MISSING = "lacks a collection of ours"
    EXISTS = "has a collection already that was to be made"
    INVALID = "refuses a request of ours"
    """And never will accept it."""


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
        """The domain's error for an unhandled fault."""
        message = f"The Qdrant server at {server} {self.kind.value}: {self}"
        if self.kind is FaultKind.FULL:
            return StorageFullError(message)
        if "index required" in message.lower():  # of a server in strict mode
            return InvalidFilterError(
                f"The Qdrant server takes no filter on a key without an index. It says: {self}.",
                remedy=Remedy.INDEX_THE_METADATA_KEY,
            )
        return RepositoryUnavailableError(message, retry_after=self.retry_after or 1.0)


_INVALID_CODES = (_CODES.INVALID_ARGUMENT, _CODES.UNIMPLEMENTED, _CODES.FAILED_PRECONDITION, _CODES.OUT_OF_RANGE)
_KINDS: Mapping[grpc.StatusCode | int, FaultKind] = {
    **dict.fromkeys((_CODES.UNAUTHENTICATED, _CODES.PERMISSION_DENIED, 401, 403), FaultKind.REFUSED),
    **dict.fromkeys((_CODES.NOT_FOUND, 404), FaultKind.MISSING),
    **dict.fromkeys((_CODES.ALREADY_EXISTS, 409), FaultKind.EXISTS),
    **dict.fromkeys((_CODES.RESOURCE_EXHAUSTED, 429), FaultKind.BUSY),
    507: FaultKind.FULL,
    **dict.fromkeys((*_INVALID_CODES, 400, 413, 422), FaultKind.INVALID),
}
"""The kinds of gRPC's codes and REST's; all others are AWAY."""

_NO_ROOM = ("out of disk", "out of memory", "no space left", "disk space", "disk quota")
"""The server reports a lack of room as an internal error; only the text says so."""

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
            return _fault(error.code(), f"{error.details() or 'no details'} ({error.code().name})")
        case UnexpectedResponse():
            return _fault(
                error.status_code or 0, f"{error.content.decode(errors='replace')} (status {error.status_code})"
            )
        case json.JSONDecodeError() | UnicodeDecodeError() | ResponseHandlingException(source=ValidationError()):
            return QdrantFault(FaultKind.INVALID, _NO_ANSWER_OF_QDRANTS)
        case AssertionError() if "returned None" in str(error):  # of the client, to an answer that lacks its result
            return QdrantFault(FaultKind.INVALID, _NO_ANSWER_OF_QDRANTS)
        case ResponseHandlingException():
            return QdrantFault(FaultKind.AWAY, f"{type(error.source).__name__}: {error.source}")
        case TimeoutError() | grpc.aio.BaseError() | OSError():
            return QdrantFault(FaultKind.AWAY, str(error) or "no answer in time")
        case _:
            return None


def _fault(code: grpc.StatusCode | int, message: str) -> QdrantFault:
    kind = _KINDS.get(code, FaultKind.AWAY)
    if kind in {FaultKind.AWAY, FaultKind.BUSY} and any(words in message.lower() for words in _NO_ROOM):
        kind = FaultKind.FULL
    return QdrantFault(kind, message)
