"""What would be right: the pictures that each query should find."""

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from random import Random
from typing import Any, TypeVar
from uuid import UUID

import typer

from lookalike_client.commands.arguments import named
from lookalike_client.commands.tables import shown_value
from lookalike_client.models import Image, MetadataValue
from lookalike_client.names import Name, id_of

PARTNERS = 4
"""As many of a query's right matches come with it into a pool."""

T = TypeVar("T")

Label = tuple[bool, str | float]
"""A value, and whether it is a boolean: true is not 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What is kept of an indexed picture; `value` is that of the key that tells what is alike."""

    id: UUID
    name: str
    sha256: str
    value: MetadataValue | None = None

    @classmethod
    def of(cls, image: Image, key: str | None = None) -> "Picture":
        """From its record."""
        value = None if key is None else image.metadata.get(key)
        name = image.key or image.filename or str(image.id)
        return cls(id=image.id, name=name, sha256=image.sha256, value=value)

    @property
    def labels(self) -> frozenset[Label]:
        """Its value, or each of an array."""
        values = [] if self.value is None else self.value if isinstance(self.value, list) else [self.value]
        return frozenset((isinstance(value, bool), value) for value in values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A search with a stored picture, itself left out; or with a twin of it, made so.

    `relevant` are the right matches; the picture itself may be among them, and counts for a twin alone.
    """

    id: UUID
    name: str
    relevant: Set[UUID]
    group: str | None = None
    """Queries of one group are told of together too."""
    twin: str | None = None

    @property
    def wanted(self) -> int:
        """How many right matches there are."""
        return len(self.relevant) - (self.twin is None and self.id in self.relevant)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The queries in the order of their ids, and among what they are asked."""

    queries: Sequence[Query]
    pictures: int
    """How many are searched."""
    filter: Mapping[str, Any] | None = None
    notes: Sequence[str] = field(default=())
    """What was left out, and what to know of the rest."""

    def sampled(self, size: int, seed: int) -> "Truth":
        """With the queries of `size` pictures at most, chosen by `seed` alone."""
        ids = sorted({query.id for query in self.queries})
        if len(ids) <= size:
            return self
        chosen = set(sampled(ids, size, seed))
        queries = [query for query in self.queries if query.id in chosen]
        return replace(self, queries=queries, notes=[*self.notes, _sample_note(size, len(ids))])

    def pool(self, size: int, seed: int) -> set[UUID]:
        """About `size` pictures, chosen by `seed` alone: some queries, each with PARTNERS of its matches at most."""
        chance = Random(seed)  # noqa: S311
        pool: set[UUID] = set()
        for query in chance.sample(self.queries, len(self.queries)):
            if len(pool) >= size:
                break
            partners = sorted(query.relevant - {query.id})
            pool |= {query.id, *chance.sample(partners, min(len(partners), PARTNERS))}
        return pool

    def within(self, pool: Set[UUID]) -> "Truth":
        """Where no more than these pictures are indexed."""
        queries = [replace(query, relevant=query.relevant & pool) for query in self.queries if query.id in pool]
        return replace(self, queries=[query for query in queries if query.wanted], pictures=len(pool), filter=None)


def of_labels(field_: str, pictures: Sequence[Picture], among: Mapping[str, Any] | None) -> Truth:
    """Right is what shares a value. Pictures without one are left out, as queries and as matches."""
    having: dict[Label, set[UUID]] = defaultdict(set)
    labelled = [(picture, labels) for picture in pictures if (labels := picture.labels)]
    for picture, labels in labelled:
        for label in labels:
            having[label].add(picture.id)
    queries = []
    for picture, labels in labelled:
        alike = [having[label] for label in labels]
        relevant = alike[0] if len(alike) == 1 else set[UUID]().union(*alike)  # not copied: it may be large
        queries.append(Query(id=picture.id, name=picture.name, relevant=relevant, group=_shown(picture.value)))
    asked = [query for query in queries if query.wanted]
    notes = []
    if without := len(pictures) - len(labelled):
        notes.append(f"Without {field_}, left out as queries and as matches: {without:,}.")
        among = {**(among or {}), "all": [*(among or {}).get("all", ()), {"field": field_, "exists": True}]}
    if alone := len(queries) - len(asked):
        notes.append(f"The only one of its value, found but not searched with: {alone:,}.")
    notes += _note_of_identical(picture for picture, _ in labelled)
    return Truth(queries=_in_order(asked), pictures=len(labelled), filter=among, notes=notes)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two names of pictures, and whether they are alike."""

    a: Name
    b: Name
    alike: bool


def of_pairs(
    pairs: Sequence[Pair], stored: Mapping[UUID, Picture], pictures: int, among: Mapping[str, Any] | None
) -> Truth:
    """Right is what stands in a pair with the query, on either side; all else is wrong."""
    partners: dict[UUID, set[UUID]] = defaultdict(set)
    for pair in pairs:
        a, b = id_of(pair.a), id_of(pair.b)
        if pair.alike and a in stored and b in stored and a != b:
            partners[a].add(b)
            partners[b].add(a)
    names = dict.fromkeys(name for pair in pairs for name in (pair.a, pair.b))
    notes = []
    if unknown := [name for name in names if id_of(name) not in stored]:
        notes.append(
            f"Names of the file that are not searched, such as {unknown[0]}, their pairs left out: {len(unknown):,}."
        )
    notes += _note_of_identical(stored[id_] for id_ in partners)
    queries = [Query(id=id_, name=stored[id_].name, relevant=relevant) for id_, relevant in partners.items()]
    return Truth(queries=_in_order(queries), pictures=pictures, filter=among, notes=notes)


def of_twins(
    pictures: Sequence[Picture], kinds: Collection[str], among: Mapping[str, Any] | None, size: int, seed: int
) -> Truth:
    """Twins of `size` pictures at most, chosen by `seed`. Right is what a twin was made from, or has its bytes."""
    same: dict[str, set[UUID]] = defaultdict(set)
    for picture in pictures:
        same[picture.sha256].add(picture.id)
    queries = [
        Query(id=picture.id, name=picture.name, relevant=same[picture.sha256], group=kind, twin=kind)
        for picture in sampled(pictures, size, seed)
        for kind in kinds
    ]
    notes = [_sample_note(size, len(pictures))] if size < len(pictures) else []
    return Truth(queries=_in_order(queries), pictures=len(pictures), filter=among, notes=notes)


def sampled(items: Sequence[T], size: int, seed: int) -> list[T]:
    """At most so many, chosen by `seed` alone, in no particular order."""
    return Random(seed).sample(items, min(size, len(items)))  # noqa: S311


def _sample_note(size: int, of: int) -> str:
    return f"A sample is searched with: {size:,} of {of:,}."


def read_pairs(path: Path) -> list[Pair]:
    """From lines of JSON (`.jsonl`), else of CSV: two keys or ids, and perhaps a relevance, of which 0 is unlike.

    Raises BadParameter that names the line.
    """
    row_of = _json_row if path.suffix.lower() in {".jsonl", ".ndjson"} else _csv_row
    pairs = []
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = row_of(line)
                if row and not (number == 1 and row[:2] == ["a", "b"]):
                    pairs.append(_pair(*row))
            except (ValueError, TypeError, csv.Error) as error:
                raise typer.BadParameter(
                    f"{path}, line {number}: {line.strip()[:100]!r} is no pair. Write two keys or ids, and perhaps "
                    'a relevance: hat-1.jpg,hat-2.jpg,1 or {"a": "hat-1.jpg", "b": "hat-2.jpg", "relevance": 1}.',
                    param_hint="--pairs",
                ) from error
    return pairs


def _csv_row(line: str) -> list[Any]:
    return [cell.strip() for row in csv.reader([line], strict=True) for cell in row]


def _json_row(line: str) -> list[Any]:
    row = json.loads(line) if line.strip() else []
    if isinstance(row, dict):
        if unknown := row.keys() - {"a", "b", "relevance"}:
            raise ValueError(f"unknown: {unknown}")
        row = [row["a"], row["b"], row.get("relevance", 1)] if {"a", "b"} <= row.keys() else [None]
    return list(row)


def _pair(a: object, b: object, relevance: Any = 1) -> Pair:  # noqa: ANN401 - a number, or its text
    grade = float(relevance)
    if not isinstance(a, str) or not isinstance(b, str) or not a or not b or not isfinite(grade):
        raise ValueError("no pair")
    return Pair(named(a), named(b), alike=grade > 0)


def _in_order(queries: Iterable[Query]) -> list[Query]:
    """By id, so that nothing depends on the order of a listing."""
    return sorted(queries, key=lambda query: query.id)


def _note_of_identical(pictures: Iterable[Picture]) -> list[str]:
    files = Counter(picture.sha256 for picture in pictures)
    repeated = sum(count for count in files.values() if count > 1)
    return [f"With the same bytes as another, left in: {repeated:,}."] if repeated else []


def _shown(value: MetadataValue | None) -> str | None:
    if isinstance(value, list):
        return ", ".join(value)
    return None if value is None else shown_value(value)
