"""Changes of metadata."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from application.edit_metadata import EditOutcome
from domain.names import id_of
from entrypoints.http.contract.filter_schema import FilterIn
from entrypoints.http.contract.image_schemas import EXAMPLE_ID, EXAMPLE_KEY, OutcomeOut
from entrypoints.http.contract.name_schemas import NamedIn
from entrypoints.http.contract.problems import ProblemOut, problem_of

MAX_EDITS = 1000
"""Images whose metadata is changed at once."""


class MetadataPatchIn(BaseModel):
    """A JSON merge patch (RFC 7396): null removes a key."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"metadata": {"price": 24.5, "brand": None}}]}
    )

    metadata: dict[str, Any]


class EditIn(NamedIn):
    """A JSON merge patch (RFC 7396) of one image's metadata."""

    model_config = ConfigDict(extra="forbid")

    metadata: dict[str, Any]


class EditManyIn(BaseModel):
    """Either `items`, each image with a patch of its own, or a `filter` and one patch for all that match."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"items": [{"id": EXAMPLE_ID, "metadata": {"price": 24.5}}]}]},
    )

    items: Annotated[list[EditIn] | None, Field(min_length=1, max_length=MAX_EDITS)] = None
    filter: FilterIn | None = None
    metadata: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.items is None) == (self.filter is None) or (self.filter is None) != (self.metadata is None):
            raise PydanticCustomError("invalid_edit", "give items, or a filter with metadata: one of the two")
        return self


class EditedOut(OutcomeOut):
    """What became of one image: `problem` if it failed."""

    id: UUID
    key: str | None
    status: Literal["updated", "failed"]
    problem: ProblemOut | None = None


class EditedManyOut(BaseModel):
    """What became of each image, in the order sent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"results": [{"id": EXAMPLE_ID, "key": EXAMPLE_KEY, "status": "updated"}], "updated": 1, "failed": 0}
            ]
        }
    )

    results: list[EditedOut]
    updated: int
    failed: int

    @classmethod
    def of(cls, outcomes: Sequence[EditOutcome], *, instance: str, request_id: str) -> Self:
        """From the outcomes."""
        results = [
            EditedOut(
                id=id_of(outcome.name),
                key=outcome.name if isinstance(outcome.name, str) else outcome.image and outcome.image.key,
                status="updated" if outcome.error is None else "failed",
                problem=problem_of(outcome.error, instance=instance, request_id=request_id),
            )
            for outcome in outcomes
        ]
        updated = sum(result.status == "updated" for result in results)
        return cls(results=results, updated=updated, failed=len(results) - updated)


class UpdatedOut(BaseModel):
    """How many images were changed."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"updated": 3}]})

    updated: int
