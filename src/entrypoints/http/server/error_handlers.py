"""Answers every failure of a request as a problem."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from domain import errors
from entrypoints.http.contract.problems import (
    CODES,
    MAX_DETAIL,
    MAX_ERRORS,
    MAX_PLACE,
    FieldErrorOut,
    ProblemResponse,
    problem_of,
    problem_response,
    request_id_of,
    shortened,
)
from entrypoints.http.server.methods import allowed_methods

log = logging.getLogger(__name__)


async def _lookalike_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, errors.LookalikeError)  # noqa: S101 - registered for this type
    found = problem_of(error, instance=request.scope["path"], request_id=request_id_of(request))
    if found.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("%s: %s", error.code, error)
    headers = {}
    if isinstance(error, errors.UnavailableError):
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    return ProblemResponse(found, headers)


async def _http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type
    status = HTTPStatus(error.status_code)
    detail, headers = error.detail, dict(error.headers or {})
    if status is HTTPStatus.NOT_FOUND and detail == status.phrase:
        # A mounted application, such as the documentation's scripts, has a root of its own.
        root = request.scope.get("app_root_path", request.scope.get("root_path", ""))
        detail = f"There is nothing at {request.scope['path']}. The API's operations are listed at {root}/docs."
    elif status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(allowed_methods(request.scope))
        detail = f"{request.method} is not allowed here; allowed: {headers['Allow']}."
    return problem_response(request.scope, status, CODES.get(status, status.name.lower()), detail, headers)


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this type
    found = [_field_error(item) for item in error.errors()[:MAX_ERRORS]]
    if any(item.type == "json_invalid" for item in found):
        status, code = HTTPStatus.BAD_REQUEST, "malformed_json"
    else:
        status, code = HTTPStatus.UNPROCESSABLE_ENTITY, "validation_failed"
    detail = "; ".join(f"{_place(item)}: {item.msg}" for item in found)
    return problem_response(request.scope, status, code, detail, errors=found)


def _field_error(item: Mapping[str, Any]) -> FieldErrorOut:
    places = [shortened(place, MAX_PLACE) if isinstance(place, str) else place for place in item["loc"]]
    return FieldErrorOut(loc=places, msg=shortened(_message(item), MAX_DETAIL), type=item["type"])


def _place(item: FieldErrorOut) -> str:
    if item.type == "json_invalid":  # what follows there is how far the parser came
        return str(item.loc[0])
    return ".".join(map(str, item.loc[1:])) or str(item.loc[0])


def _message(item: Mapping[str, Any]) -> str:
    """What is wrong with a parameter, in our words where the library's would puzzle a caller."""
    message: str = item["msg"]
    if item["type"] == "json_invalid":
        return f"it is not JSON: {item['ctx']['error']} at character {item['loc'][-1]}"
    if item["type"] == "model_attributes_type" and item["loc"] == ("body",):
        if isinstance(item["input"], bytes):  # it was not taken for JSON
            return "send it as JSON, with Content-Type: application/json"
        return "it is a JSON object"
    if item["type"] == "extra_forbidden":
        return "there is no such parameter here"
    return message.removeprefix("Value error, ")


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every error as a problem."""
    app.add_exception_handler(errors.LookalikeError, _lookalike_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _validation_error)
