"""What became of pictures that were sent."""

from dataclasses import dataclass
from typing import Literal

from lookalike_client.errors import LookalikeError, error_of
from lookalike_client.models import Answer, Image, Problem
from lookalike_client.pictures import Picture

Status = Literal["created", "exists", "replaced", "failed"]


class BatchItem(Answer):
    """One picture of a batch as the service answers it."""

    status: Status
    image: Image | None = None
    problem: Problem | None = None


class BatchAnswer(Answer):
    """A batch as the service answers it, in the order sent."""

    results: list[BatchItem]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of `picture`, as it was given: `image`, or `error` if it failed."""

    picture: Picture
    status: Status
    image: Image | None = None
    error: LookalikeError | None = None

    @classmethod
    def of(cls, picture: Picture, item: BatchItem) -> "Outcome":
        """From a batch's answer."""
        error = None if item.problem is None else error_of(item.problem)
        return cls(picture=picture, status=item.status, image=item.image, error=error)
