"""Errors as problem details (RFC 9457), and the one table from error to status."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, overload

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from starlette.types import Receive, Scope, Send

from domain import errors
from entrypoints.remedies import explained

MEDIA_TYPE = "application/problem+json"

MAX_DETAIL, MAX_PLACE, MAX_ERRORS = 10_000, 100, 50
"""Characters of a detail (a list of 200 ids that are unknown fits) and of a parameter's name, and errors in an
answer: they repeat what callers send, which may be a megabyte."""

STATUS: dict[type[errors.LookalikeError], HTTPStatus] = {
    errors.InvalidInputError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.InvalidRegionError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.InvalidFilterError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.InvalidMetadataError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.InvalidExamplesError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.InvalidGroupingError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.InvalidRankingError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.TooFewLabelsError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.InvalidCursorError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.InvalidOrderError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.InvalidKeyError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.InvalidSourceError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.ImageError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.BodyTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.ImageTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnsupportedImageError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.CameraRawError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.ImageUnreadableError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.FetchRefusedError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.FetchFailedError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.FetchingDisabledError: HTTPStatus.FORBIDDEN,
    errors.ImageNotFoundError: HTTPStatus.NOT_FOUND,
    errors.ImageExistsError: HTTPStatus.CONFLICT,
    errors.KeyRepeatedError: HTTPStatus.CONFLICT,
    errors.LinkExpiredError: HTTPStatus.FORBIDDEN,
    errors.FieldNotPublicError: HTTPStatus.FORBIDDEN,
    errors.EmbeddingSpaceError: HTTPStatus.CONFLICT,
    errors.UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.RepositoryUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.EncoderUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DetectorUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.BusyError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DeadlinePassedError: HTTPStatus.GATEWAY_TIMEOUT,
    errors.StorageFullError: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.InternalError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.ConfigurationError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.IndexMissingError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.IndexInUseError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.IndexDamagedError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.ModelError: HTTPStatus.INTERNAL_SERVER_ERROR,
}

CODES = {
    HTTPStatus.BAD_REQUEST: "malformed_request",
    HTTPStatus.UNAUTHORIZED: "unauthorized",
    HTTPStatus.FORBIDDEN: "forbidden",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.REQUEST_TIMEOUT: "body_too_slow",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body_too_large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported_media_type",
    HTTPStatus.UNPROCESSABLE_ENTITY: "validation_failed",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limited",
    HTTPStatus.INTERNAL_SERVER_ERROR: "internal_error",
    HTTPStatus.SERVICE_UNAVAILABLE: "unavailable",
}


class FieldErrorOut(BaseModel):
    """One parameter that does not validate."""

    loc: list[str | int]
    msg: str
    type: str


class ProblemOut(BaseModel):
    """Problem details (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: Annotated[str, Field(examples=["urn:lookalike:problem:image_unreadable"])]
    title: Annotated[str, Field(examples=["Unprocessable Entity"])]
    status: Annotated[int, Field(examples=[422])]
    detail: Annotated[str, Field(examples=["The JPEG ends early: it cannot be decoded whole."])]
    instance: Annotated[str, Field(examples=["/v1/images"])]
    code: Annotated[str, Field(description="Stable and machine-readable.", examples=["image_unreadable"])]
    request_id: Annotated[str, Field(examples=["5f1f6e6c0d6b4c6e"])]
    errors: list[FieldErrorOut] | None = None


def problem(status: HTTPStatus, code: str, detail: str, *, instance: str, request_id: str, **more: Any) -> ProblemOut:  # noqa: ANN401
    """A problem; `more` are extension members."""
    return ProblemOut(
        type=f"urn:lookalike:problem:{code}",
        title=status.phrase,
        status=status,
        detail=shortened(detail, MAX_DETAIL),
        instance=instance,
        code=code,
        request_id=request_id,
        **more,
    )


def shortened(text: str, most: int) -> str:
    """The text, cut to so many characters. Lone surrogates, which JSON can spell but UTF-8 cannot, are spelt out."""
    cut = text if len(text) <= most else f"{text[: most - 1]}…"
    return cut.encode(errors="backslashreplace").decode()


@overload
def problem_of(error: errors.LookalikeError, *, instance: str, request_id: str) -> ProblemOut: ...
@overload
def problem_of(error: errors.LookalikeError | None, *, instance: str, request_id: str) -> ProblemOut | None: ...
def problem_of(error: errors.LookalikeError | None, *, instance: str, request_id: str) -> ProblemOut | None:
    """A named error as a problem; None where there was none."""
    if error is None:
        return None
    more = {"retryable": error.retryable} if isinstance(error, errors.FetchFailedError) else {}
    return problem(STATUS[type(error)], error.code, explained(error), instance=instance, request_id=request_id, **more)


class ProblemResponse(JSONResponse):
    """The answer that carries a problem; logs and metrics learn its code from the request's state."""

    media_type = MEDIA_TYPE

    def __init__(self, found: ProblemOut, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(found.model_dump(mode="json", exclude_none=True), status_code=found.status, headers=headers)
        self._code = found.code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        scope.setdefault("state", {})["problem"] = self._code
        await super().__call__(scope, receive, send)


def problem_response(
    scope: Scope,
    status: HTTPStatus,
    code: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    **more: Any,  # noqa: ANN401 - JSON
) -> ProblemResponse:
    """The answer to the request of `scope` that carries a problem; `more` are extension members."""
    place = {"instance": scope["path"], "request_id": scope["state"]["request_id"]}
    return ProblemResponse(problem(status, code, detail, **place, **more), headers)


def request_id_of(request: Request) -> str:
    """The id that the middleware gave the request."""
    return str(request.state.request_id)


_EXAMPLES: dict[str, tuple[HTTPStatus, str]] = {
    "malformed_request": (HTTPStatus.BAD_REQUEST, "The multipart body is cut off: it has no '--B--'."),
    "malformed_json": (HTTPStatus.BAD_REQUEST, "body: it is not JSON: Expecting value at character 1"),
    "unauthorized": (HTTPStatus.UNAUTHORIZED, "Send a key: Authorization: Bearer <key>."),
    "forbidden": (HTTPStatus.FORBIDDEN, "This needs a key with the role write."),
    "link_expired": (HTTPStatus.FORBIDDEN, "The link has expired, or its picture was replaced."),
    "fetching_disabled": (HTTPStatus.FORBIDDEN, "Pictures are not fetched by URL here: send the file itself."),
    "field_not_public": (HTTPStatus.FORBIDDEN, "A key of the role search may not name metadata.cost, only labels."),
    "image_not_found": (HTTPStatus.NOT_FOUND, "No image is stored under 0a4d55a8-d778-5022-abab-977f9a1b3f7c."),
    "body_too_slow": (HTTPStatus.REQUEST_TIMEOUT, "Of the body only 4,096 bytes came in 20 s."),
    "embedding_space_mismatch": (HTTPStatus.CONFLICT, "The index was replaced by one of another embedding space."),
    "body_too_large": (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The picture has more than 26214400 bytes."),
    "image_too_large": (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The picture has 144 megapixels; at most 100 are taken."),
    "unsupported_image_format": (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The content is not an accepted image format."),
    "camera_raw": (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The content is a camera RAW file (Nikon NEF). Export a JPEG."),
    "unsupported_media_type": (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the body as it is: no Content-Encoding."),
    "validation_failed": (HTTPStatus.UNPROCESSABLE_ENTITY, "limit: Input should be less than or equal to 500"),
    "image_unreadable": (HTTPStatus.UNPROCESSABLE_ENTITY, "The JPEG ends early: it cannot be decoded whole."),
    "fetch_refused": (
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "http://shop.example/hat.jpg is not fetched: shop.example is, or has, an address that is not public.",
    ),
    "fetch_failed": (
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "https://shop.example/hat.jpg answered 404 Not Found.",
    ),
    "image_exists": (HTTPStatus.CONFLICT, "An image is stored under sku-17/front already."),
    "invalid_cursor": (HTTPStatus.UNPROCESSABLE_ENTITY, "The cursor is not one that a listing returned."),
    "invalid_order": (HTTPStatus.UNPROCESSABLE_ENTITY, "There is no order by labels. Order by created_at, updated_at."),
    "invalid_key": (HTTPStatus.UNPROCESSABLE_ENTITY, "The key takes 2,049 bytes as UTF-8; at most 2,048 are allowed."),
    "invalid_region": (HTTPStatus.UNPROCESSABLE_ENTITY, "The region lies outside the picture."),
    "invalid_examples": (HTTPStatus.UNPROCESSABLE_ENTITY, "Give at least one positive or negative example."),
    "invalid_grouping": (HTTPStatus.UNPROCESSABLE_ENTITY, "Give group_by too: group_size is the size of its groups."),
    "invalid_ranking": (
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "adapt_to takes a metadata key that is declared as keyword, not metadata.price.",
    ),
    "too_few_labels": (
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "metadata.kind tells too little to adapt to: it takes 2 values of 5 pictures each, and 1 has so many.",
    ),
    "invalid_filter": (HTTPStatus.UNPROCESSABLE_ENTITY, "The filter names nothing."),
    "invalid_metadata": (HTTPStatus.UNPROCESSABLE_ENTITY, "Metadata has 65 keys; at most 64 are allowed."),
    "index_damaged": (HTTPStatus.INTERNAL_SERVER_ERROR, "Objects of the image are missing. Delete it, index it again."),
    "rate_limited": (HTTPStatus.TOO_MANY_REQUESTS, "Too many requests came with this key. Send it again in 12 s."),
    "repository_unavailable": (HTTPStatus.SERVICE_UNAVAILABLE, "The index does not answer."),
    "encoder_unavailable": (HTTPStatus.SERVICE_UNAVAILABLE, "The encoder is not ready."),
    "detector_unavailable": (HTTPStatus.SERVICE_UNAVAILABLE, "This deployment runs no object detector."),
    "busy": (HTTPStatus.SERVICE_UNAVAILABLE, "The requests in progress have all the bytes that are accepted at once."),
    "not_ready": (HTTPStatus.SERVICE_UNAVAILABLE, "repository: The index does not answer."),
    "shutting_down": (HTTPStatus.SERVICE_UNAVAILABLE, "The service is stopping, and takes no new requests."),
    "deadline_passed": (HTTPStatus.GATEWAY_TIMEOUT, "The caller's deadline passed before the work began."),
    "storage_full": (HTTPStatus.INSUFFICIENT_STORAGE, "Less than the reserve of 512 MiB is free."),
}
"""One example of each code that operations document."""

ALWAYS = (
    "unauthorized",
    "forbidden",
    "validation_failed",
    "rate_limited",
    "embedding_space_mismatch",
    "repository_unavailable",
    "shutting_down",
    "deadline_passed",
)
BODY = ("body_too_large", "body_too_slow", "unsupported_media_type", "busy")
PICTURE = (
    *BODY,
    "malformed_request",
    "image_too_large",
    "unsupported_image_format",
    "camera_raw",
    "image_unreadable",
    "encoder_unavailable",
    "storage_full",
    "fetching_disabled",
    "fetch_refused",
    "fetch_failed",
)
ARRANGED = ("field_not_public", "invalid_grouping", "invalid_ranking", "too_few_labels")


def example_problem(code: str, *, instance: str = "/v1/images") -> JsonDict:
    """An example of an answer with this code."""
    status, detail = _EXAMPLES[code]
    example = problem(status, code, detail, instance=instance, request_id="5f1f6e6c0d6b4c6e")
    return example.model_dump(mode="json", exclude_none=True)


def problem_responses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an operation that may answer these codes, each with an example."""
    documented: dict[int | str, dict[str, Any]] = {}
    for code in dict.fromkeys(codes):
        status, _ = _EXAMPLES[code]
        entry = documented.setdefault(
            int(status),
            {
                "model": ProblemOut,
                "description": status.phrase,
                "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemOut"}, "examples": {}}},
            },
        )
        entry["content"][MEDIA_TYPE]["examples"][code] = {"value": example_problem(code)}
    return documented
