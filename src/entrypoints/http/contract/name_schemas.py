"""Names of images: keys and sources, and what is asked and done by them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from application.index_images import IfExists
from application.rename_images import RenameOutcome
from domain.errors import InvalidInputError
from domain.images import ImageRecord
from domain.names import ImageName, checked_key, checked_source
from entrypoints.http.contract.image_schemas import EXAMPLE_ID, EXAMPLE_IMAGE, EXAMPLE_KEY, ImageOut, OutcomeOut
from entrypoints.http.contract.image_view import ImageView
from entrypoints.http.contract.parameters import Adopt, ExifText, WhereItExists, form_text, parsed_by
from entrypoints.http.contract.problems import ProblemOut, problem_of

MAX_NAMES = 1000
"""Images that are looked up, or renamed, at once."""

KeyText = Annotated[
    Any,
    parsed_by(checked_key, optional=False),
    form_text("The caller's own name for the picture, such as `sku-17/front`: 1 to 2,048 bytes, unique."),
]
"""A key, from text."""

SourceText = Annotated[
    Any,
    parsed_by(checked_source),
    form_text("Where the picture came from: a path or an URL, as text of at most 2,048 bytes."),
]
"""A source, from text."""


class KeyIn(BaseModel):
    """A key in the place of an id."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"key": EXAMPLE_KEY}]})

    key: KeyText


ImageNameIn = UUID | KeyIn
"""An id, or an object with a key."""


def name_of(given: ImageNameIn) -> ImageName:
    """The domain's name."""
    return given if isinstance(given, UUID) else str(given.key)


class NamedIn(BaseModel):
    """An image, by its id or by its key."""

    id: UUID | None = None
    key: KeyText | None = None

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if (self.id is None) == (self.key is None):
            raise PydanticCustomError("invalid_name", "give an id or a key: one of the two")
        return self

    @property
    def name(self) -> ImageName:
        """The domain's name."""
        return self.id or str(self.key)


class NewPicture(BaseModel):
    """What comes with one picture of a batch, not yet checked: what is wrong with it fails that picture alone."""

    model_config = ConfigDict(extra="forbid")

    key: str | None = None
    source: str | None = None
    metadata: dict[str, Any] | None = None


class PictureAtUrl(NewPicture):
    """Likewise, of a picture that the service is to fetch. Without a source, the URL is its source."""

    url: Annotated[str, StringConstraints(strip_whitespace=True), Field(description="By http or https.")]


class UrlBatchIn(BaseModel):
    """Pictures to fetch and to index."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"items": [{"url": "https://shop.example/hat.jpg", "key": EXAMPLE_KEY, "metadata": {}}]}]
        },
    )

    items: Annotated[list[PictureAtUrl], Field(min_length=1)]
    if_exists: WhereItExists = IfExists.REPLACE
    adopt: Adopt = False
    exif: ExifText | None = None


_ITEMS = TypeAdapter(list[NewPicture])


def parse_items(text: str) -> list[NewPicture]:
    """What comes with each picture, from JSON text. Raises InvalidInputError."""
    try:
        return _ITEMS.validate_json(text)
    except ValidationError as error:
        [first, *_] = error.errors(include_url=False)
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        raise InvalidInputError(f"items{place}: {first['msg']}") from error


ItemsText = Annotated[
    Any,
    parsed_by(parse_items),
    form_text(
        'A JSON array as text, as long as `files` and in their order: `[{"key": "sku-17/front", "source": ..., '
        '"metadata": {...}}, ...]`, each part optional.'
    ),
]
"""A form field whose value is a list of NewPicture."""


class LookupIn(BaseModel):
    """Ids and keys, 1,000 together."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"ids": [EXAMPLE_ID], "keys": []}]})

    ids: Annotated[list[UUID], Field(max_length=MAX_NAMES)] = []
    keys: Annotated[list[KeyText], Field(max_length=MAX_NAMES)] = []

    @model_validator(mode="after")
    def _not_too_many(self) -> Self:
        if len(self.ids) + len(self.keys) > MAX_NAMES:
            raise PydanticCustomError("too_long", f"at most {MAX_NAMES:,} ids and keys together")
        return self


class MissingOut(BaseModel):
    """The ids and keys under which no image is stored."""

    ids: list[UUID]
    keys: list[str]


class LookupOut(BaseModel):
    """The images that are there, each once, and the names of those that are not."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [EXAMPLE_IMAGE], "missing": {"ids": [], "keys": ["sku-9/front"]}}]}
    )

    items: list[ImageOut]
    missing: MissingOut

    @classmethod
    def of(cls, found: Mapping[ImageName, ImageRecord | None], view: ImageView) -> Self:
        """From the use case."""
        records = {record.id: record for record in found.values() if record is not None}
        missing = [name for name, record in found.items() if record is None]
        return cls(
            items=[ImageOut.of(record, view) for record in records.values()],
            missing=MissingOut(
                ids=[name for name in missing if isinstance(name, UUID)],
                keys=[name for name in missing if isinstance(name, str)],
            ),
        )


class RenameIn(BaseModel):
    """A key, and the one that its picture is to have; a file that has moved has another source and filename too."""

    model_config = ConfigDict(extra="forbid")

    from_: Annotated[KeyText, Field(alias="from")]
    to: KeyText
    source: SourceText | None = None
    filename: str | None = None


class RenameManyIn(BaseModel):
    """Which keys to change, one after the other."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"items": [{"from": EXAMPLE_KEY, "to": "sku-17/front"}]}]}
    )

    items: Annotated[list[RenameIn], Field(min_length=1, max_length=MAX_NAMES)]


class RenamedOut(OutcomeOut):
    """What became of one: `problem` if it failed."""

    model_config = ConfigDict(populate_by_name=True)

    from_: Annotated[str, Field(alias="from")]
    to: str
    status: Literal["renamed", "failed"]
    problem: ProblemOut | None = None


class RenamedManyOut(BaseModel):
    """What became of each, in the order sent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "results": [{"from": EXAMPLE_KEY, "to": "sku-17/front", "status": "renamed"}],
                    "renamed": 1,
                    "failed": 0,
                }
            ]
        }
    )

    results: list[RenamedOut]
    renamed: int
    failed: int

    @classmethod
    def of(cls, outcomes: Sequence[RenameOutcome], *, instance: str, request_id: str) -> Self:
        """From the outcomes."""
        results = [
            RenamedOut(
                from_=outcome.rename.before,
                to=outcome.rename.after,
                status="renamed" if outcome.error is None else "failed",
                problem=problem_of(outcome.error, instance=instance, request_id=request_id),
            )
            for outcome in outcomes
        ]
        renamed = sum(result.status == "renamed" for result in results)
        return cls(results=results, renamed=renamed, failed=len(results) - renamed)
