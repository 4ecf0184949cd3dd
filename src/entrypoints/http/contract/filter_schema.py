"""Filters as callers write them: JSON, checked field by field, then the domain's."""

import json
from datetime import datetime
from typing import Annotated, Any, Self
from unicodedata import normalize

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from domain import filters
from domain.errors import InvalidFilterError
from domain.metadata import MAX_INTEGER, time_bound
from domain.names import words_of
from entrypoints.http.contract.parameters import form_text, parsed_by

MAX_CONDITIONS = 64
MAX_VALUES = 1000
MAX_VALUES_ALTOGETHER = 4000
MAX_WORDS = 16
"""The index evaluates all of it for each picture; docs/adr/0022 has measurements."""

Scalar = StrictBool | StrictInt | StrictFloat | StrictStr
Bound = StrictInt | StrictFloat | StrictStr

_RANGE = ("gt", "gte", "lt", "lte")
_FIELDS = filters.TEXT_FIELDS | filters.NUMBER_FIELDS | filters.TIME_FIELDS

EXAMPLE: JsonDict = {
    "all": [{"field": "metadata.brand", "eq": "acme"}, {"field": "metadata.price", "gte": 10, "lt": 50}]
}


class ConditionIn(BaseModel):
    """One test on one field: `eq`, `in`, `exists`, `prefix`, `words`, or a range of `gt`, `gte`, `lt`, `lte`."""

    model_config = ConfigDict(extra="forbid")

    field: Annotated[
        str,
        Field(
            description=f"`metadata.<key>`, {', '.join(f'`{name}`' for name in sorted(_FIELDS))}, or `name` with "
            "`words`.",
            examples=["metadata.brand"],
        ),
    ]
    eq: Scalar | None = None
    in_: Annotated[
        list[Scalar] | None,
        Field(
            alias="in",
            max_length=MAX_VALUES,
            description=f"At most {MAX_VALUES:,} values, and {MAX_VALUES_ALTOGETHER:,} in all conditions of a filter.",
        ),
    ] = None
    gt: Bound | None = None
    gte: Bound | None = None
    lt: Bound | None = None
    lte: Bound | None = None
    exists: StrictBool | None = None
    prefix: Annotated[
        StrictStr | None,
        Field(
            description=f"How the text begins, of {', '.join(f'`{name}`' for name in sorted(filters.PREFIX_FIELDS))} "
            "or a metadata key that is declared as keyword. Case counts."
        ),
    ] = None
    words: Annotated[
        StrictStr | None,
        Field(
            description=f"With the field `name`: each of these words, {MAX_WORDS} at most, begins a word of key, "
            "source or filename, whatever its case."
        ),
    ] = None

    @model_validator(mode="after")
    def _one_test(self) -> Self:
        given = self.model_fields_set - {"field"}
        if any(getattr(self, name) is None for name in given):
            raise _invalid("a test takes a value, not null")
        tests = {"range" if name in _RANGE else name for name in given}
        if len(tests) != 1:
            raise _invalid("give exactly one test: eq, in, exists, prefix, words, or a range of gt, gte, lt, lte")
        return self

    def to_domain(self) -> filters.Condition:
        """The domain's condition. Raises PydanticCustomError for an unknown field or values of the wrong type."""
        _check_text(self.field)
        field = filters.Field(normalize("NFC", self.field))
        if self.words is not None or field == filters.HasWords.field:
            return self._has_words(field)
        if self.field not in _FIELDS and not field.metadata_key:
            raise _invalid(f"unknown field {self.field!r}; use metadata.<key>, {', '.join(sorted(_FIELDS))}")
        if self.exists is not None:
            return filters.Exists(field, self.exists)
        if self.eq is not None:
            return filters.AnyOf(field, (_value(self.field, self.eq),))
        if self.in_ is not None:
            return filters.AnyOf(field, tuple(_value(self.field, value) for value in self.in_))
        if self.prefix is not None:
            if field.metadata_key is None and field.name not in filters.PREFIX_FIELDS:
                prefixed = f"metadata.<key>, {', '.join(sorted(filters.PREFIX_FIELDS))}"
                raise _invalid(f"{self.field} is compared with no prefix; only {prefixed} are")
            if not self.prefix:
                raise _invalid("the prefix is empty, which every text begins with; use exists to ask for any")
            return filters.StartsWith(field, _text(self.prefix))
        bounds = {name: _bound(self.field, getattr(self, name)) for name in _RANGE if getattr(self, name) is not None}
        if len({isinstance(bound, datetime) for bound in bounds.values()}) > 1:
            raise _invalid(f"the bounds of {self.field} are numbers, or times, not both")
        return filters.InRange(field=field, **bounds)

    def _has_words(self, field: filters.Field) -> filters.Condition:
        if self.words is None or field != filters.HasWords.field:
            raise _invalid('words are of the field name, as in {"field": "name", "words": "strand 2019"}')
        words = tuple(words_of(_text(self.words)))
        if not 1 <= len(words) <= MAX_WORDS:
            raise _invalid(f"give 1 to {MAX_WORDS} words, not {len(words)}")
        return filters.HasWords(words)


class FilterIn(BaseModel):
    """Every condition of `all`, at least one of `any`, none of `none`; each part is optional.

    At most 64 conditions and 4,000 values altogether.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    all: Annotated[list[ConditionIn], Field(max_length=MAX_CONDITIONS)] = []
    any: Annotated[list[ConditionIn], Field(max_length=MAX_CONDITIONS)] = []
    none: Annotated[list[ConditionIn], Field(max_length=MAX_CONDITIONS)] = []
    _compiled: filters.Filter = filters.EVERYTHING

    @model_validator(mode="after")
    def _compile(self) -> Self:
        conditions = [*self.all, *self.any, *self.none]
        if len(conditions) > MAX_CONDITIONS:
            raise _invalid(f"a filter has at most {MAX_CONDITIONS} conditions altogether, not {len(conditions)}")
        values = sum(len(condition.in_ or ()) for condition in conditions)
        if values > MAX_VALUES_ALTOGETHER:
            raise _invalid(f"a filter has at most {MAX_VALUES_ALTOGETHER:,} values altogether, not {values:,}")
        parts = {part: tuple(item.to_domain() for item in getattr(self, part)) for part in ("all", "any", "none")}
        self._compiled = filters.Filter(**parts)
        return self

    def to_domain(self) -> filters.Filter:
        """The domain's filter."""
        return self._compiled


def parse_filter(text: str) -> filters.Filter:
    """A filter from JSON text. Raises InvalidFilterError that says what is wrong and where."""
    try:
        return FilterIn.model_validate_json(text).to_domain()
    except ValidationError as error:
        [first, *_] = error.errors(include_url=False)
        place = ".".join(str(part) for part in first["loc"] if not str(part).startswith(("constrained", "function")))
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = (
                "there is no such part. A filter has all, any and none; a condition a field and one test, such as eq"
            )
        raise InvalidFilterError(f"The filter is not valid{f' ({place})' if place else ''}: {message}") from error


FilterText = Annotated[
    Any,
    parsed_by(parse_filter),
    form_text(
        'A filter as JSON text: `{"all": [...], "any": [...], "none": [...]}`, each part optional. At most '
        f"{MAX_CONDITIONS} conditions and {MAX_VALUES_ALTOGETHER:,} values altogether. Such as `{json.dumps(EXAMPLE)}`."
    ),
]
"""A form field or query parameter that holds a filter as JSON text; its value is a domain Filter."""


def _invalid(reason: str) -> PydanticCustomError:
    return PydanticCustomError("invalid_filter", "{reason}", {"reason": reason})


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _invalid("the filter holds text that is not valid Unicode (a lone surrogate)") from None


def _text(text: str) -> str:
    _check_text(text)
    return normalize("NFC", text)


def _value(field: str, value: bool | float | str) -> filters.Scalar | datetime:
    if isinstance(value, str):
        value = _text(value)
    if field in filters.TIME_FIELDS:
        return _time(field, value)
    if field in filters.TEXT_FIELDS and not isinstance(value, str):
        raise _invalid(f"{field} is compared with a string, not {value!r}")
    if field in filters.NUMBER_FIELDS:
        return _number(field, value)
    return value if isinstance(value, bool | str) else _number(field, value)


def _bound(field: str, value: float | str) -> float | datetime:
    if field in filters.TEXT_FIELDS:
        raise _invalid(f"{field} is text and has no range; use eq or in")
    is_metadata = field.startswith(filters.METADATA_PREFIX)
    if field in filters.TIME_FIELDS or (is_metadata and isinstance(value, str)):
        return _time(field, value)
    return _number(field, value)


def _number(field: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _invalid(f"{field} is compared with a number here, not {value!r}")
    if not abs(value) <= MAX_INTEGER:  # nor is NaN
        raise _invalid(f"{field} is compared with finite numbers up to 2^53 - 1, not {value!r}")
    return value


def _time(field: str, value: object) -> datetime:
    time = time_bound(value) if isinstance(value, str) else None
    if time is None:
        kinds = "" if field in filters.TIME_FIELDS else "numbers or "
        raise _invalid(f"{field} is compared with {kinds}RFC 3339 times such as 2026-01-31T12:00:00Z, not {value!r}")
    return time
