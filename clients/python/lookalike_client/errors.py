"""What can go wrong, in one tree.

* LookalikeError
  + PictureFileError: a file of ours cannot be read; nothing was sent
  + NoServiceError: nothing answers, or not in time, or what answers is no Lookalike service
  + ServiceError: the service answered with a problem
    - InvalidRequestError: a parameter is wrong (400, 405, 414, 422)
    - NotAllowedError: the API key is missing, unknown or lacks a role (401, 403)
    - NotFoundError: no such image (404)
    - ConflictError: what is there contradicts it (409)
    - PictureError: this picture cannot be used: no picture, damaged, too large (413, 415, 422)
    - UnavailableError: busy, or something that the service needs is away (429 and 503, which are tried again, and 504)
      * StorageFullError: no room is left there (507)
"""

from collections.abc import Mapping
from http import HTTPStatus

import httpx
from pydantic import ValidationError

from lookalike_client.models import Problem


class LookalikeError(Exception):
    """Root of all errors of this client. The message speaks to a person."""


class PictureFileError(LookalikeError):
    """A file cannot be read."""


class NoServiceError(LookalikeError):
    """Nothing answers at the address, or not in time, or what answers is no Lookalike service."""

    was_sent = False
    """Whether the request may have arrived, and only its answer be lost."""


class ServiceError(LookalikeError):
    """The service's problem (RFC 9457). `code` is stable and machine-readable."""

    def __init__(self, problem: Problem) -> None:
        """The message is the problem's detail."""
        super().__init__(problem.detail)
        self.problem = problem

    @property
    def code(self) -> str:
        """Such as `image_unreadable`."""
        return self.problem.code

    @property
    def status(self) -> int:
        """The HTTP status; of one picture in a batch, what it would have been alone."""
        return self.problem.status


class InvalidRequestError(ServiceError):
    """A parameter is wrong; `problem.errors` names each."""


class NotAllowedError(ServiceError):
    """The API key is missing, unknown or lacks a role."""


class NotFoundError(ServiceError):
    """No such image."""


class ConflictError(ServiceError):
    """What is there contradicts it."""


class PictureError(ServiceError):
    """This picture cannot be used: it is none of the accepted formats, damaged or too large."""


class UnavailableError(ServiceError):
    """The service is busy, or something that it needs is away."""


class StorageFullError(UnavailableError):
    """No room is left to store."""


BY_CODE: Mapping[str, type[ServiceError]] = {
    "image_error": PictureError,
    "image_unreadable": PictureError,
    "image_too_large": PictureError,
    "unsupported_image_format": PictureError,
    "camera_raw": PictureError,
    "body_too_large": PictureError,
    "storage_full": StorageFullError,
}

BY_STATUS: Mapping[int, type[ServiceError]] = {
    HTTPStatus.UNAUTHORIZED: NotAllowedError,
    HTTPStatus.FORBIDDEN: NotAllowedError,
    HTTPStatus.NOT_FOUND: NotFoundError,
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.TOO_MANY_REQUESTS: UnavailableError,
    HTTPStatus.SERVICE_UNAVAILABLE: UnavailableError,
    HTTPStatus.GATEWAY_TIMEOUT: UnavailableError,
}


def error_of(problem: Problem) -> ServiceError:
    """The error that a problem is: by its code, else by its status."""
    other = InvalidRequestError if 400 <= problem.status < 500 else ServiceError
    return BY_CODE.get(problem.code, BY_STATUS.get(problem.status, other))(problem)


def problem_of(response: httpx.Response) -> Problem:
    """What the service says of its refusal, or a proxy in front of it by its status alone."""
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:
        detail = f"{response.status_code} {response.reason_phrase}".strip()
        return Problem(status=response.status_code, code="", detail=detail)
