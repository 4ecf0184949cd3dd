"""What the libraries really raise, sorted."""

import json

import grpc
import httpx
import pytest
from pydantic import ValidationError
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse
from qdrant_client.models import CountResult

from adapters.repositories.qdrant.server.faults import FaultKind, fault_of
from domain.errors import InvalidFilterError, Remedy, RepositoryUnavailableError, StorageFullError

CODES = grpc.StatusCode
NO_METADATA = grpc.aio.Metadata()


def rpc_error(code: grpc.StatusCode, details: str = "details") -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, NO_METADATA, NO_METADATA, details=details)


def response(status: int, error: str = "") -> ApiException:
    return UnexpectedResponse.for_response(httpx.Response(status, json={"status": {"error": error}}))


def no_such_answer() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        CountResult.model_validate({"error": "no Qdrant"})
    return caught.value


def a_date_to_come_back() -> Exception:
    with pytest.raises(QdrantException) as caught:
        ResourceExhaustedResponse("slow down", "Wed, 21 Oct 2026 07:28:00 GMT")  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (rpc_error(CODES.UNAVAILABLE), FaultKind.AWAY),
        (rpc_error(CODES.DEADLINE_EXCEEDED), FaultKind.AWAY),
        (rpc_error(CODES.INTERNAL), FaultKind.AWAY),
        (rpc_error(CODES.UNKNOWN, "Stream removed"), FaultKind.AWAY),
        (rpc_error(CODES.UNAUTHENTICATED), FaultKind.REFUSED),
        (rpc_error(CODES.PERMISSION_DENIED), FaultKind.REFUSED),
        (rpc_error(CODES.NOT_FOUND), FaultKind.MISSING),
        (rpc_error(CODES.ALREADY_EXISTS), FaultKind.EXISTS),
        (rpc_error(CODES.INVALID_ARGUMENT), FaultKind.INVALID),
        (rpc_error(CODES.UNIMPLEMENTED), FaultKind.INVALID),
        (rpc_error(CODES.RESOURCE_EXHAUSTED), FaultKind.BUSY),
        (rpc_error(CODES.RESOURCE_EXHAUSTED, "Out of memory, free: 1"), FaultKind.FULL),
        (rpc_error(CODES.INTERNAL, "Service internal error: No space left on device"), FaultKind.FULL),
        (response(500), FaultKind.AWAY),
        (response(503), FaultKind.AWAY),
        (response(408), FaultKind.AWAY),
        (response(500, "Service internal error: Out of disk, free: 1"), FaultKind.FULL),
        (response(401), FaultKind.REFUSED),
        (response(403), FaultKind.REFUSED),
        (response(404), FaultKind.MISSING),
        (response(409), FaultKind.EXISTS),
        (response(400), FaultKind.INVALID),
        (response(422), FaultKind.INVALID),
        (response(429), FaultKind.BUSY),
        (response(507), FaultKind.FULL),
        (ResponseHandlingException(httpx.ConnectError("refused")), FaultKind.AWAY),
        (ResponseHandlingException(httpx.ReadTimeout("slow")), FaultKind.AWAY),
        (ResourceExhaustedResponse("slow down", 3), FaultKind.BUSY),
        (a_date_to_come_back(), FaultKind.BUSY),
        (AssertionError("Retrieve API returned None result"), FaultKind.INVALID),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), FaultKind.INVALID),
        (json.JSONDecodeError("Expecting value", "<html>", 0), FaultKind.INVALID),
        (ResponseHandlingException(no_such_answer()), FaultKind.INVALID),
    ],
)
def test_errors_are_sorted_by_what_can_be_done(error: Exception, kind: FaultKind) -> None:
    fault = fault_of(error)
    assert fault is not None
    assert fault.kind is kind


@pytest.mark.parametrize("error", [ValueError("shapes do not match"), KeyError("x"), AssertionError()])
def test_errors_of_our_own_are_left_alone(error: Exception) -> None:
    assert fault_of(error) is None


def test_a_translated_fault_names_server_and_cause() -> None:
    fault = fault_of(ResourceExhaustedResponse("slow down", 3))
    assert fault is not None
    busy = fault.translated("http://qdrant:6333")
    assert isinstance(busy, RepositoryUnavailableError)
    assert busy.retry_after == 3.0
    assert "http://qdrant:6333" in str(busy)
    fault = fault_of(response(507, "disk"))
    assert fault is not None
    assert isinstance(fault.translated("x"), StorageFullError)


def test_a_filter_that_strict_mode_refuses_is_the_callers_to_mend() -> None:
    fault = fault_of(response(400, 'Bad request: Index required but not found for "metadata.x" of type [keyword]'))
    assert fault is not None
    error = fault.translated("x")
    assert isinstance(error, InvalidFilterError)
    assert error.remedy is Remedy.INDEX_THE_METADATA_KEY
