"""Asks the service: which pictures there are, and what it finds for each query."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from uuid import UUID

from lookalike_client import AsyncLookalike, NewPicture, NotFoundError, PictureError, PictureFileError, SearchResult
from lookalike_client import _asyncio_runtime as runtime
from lookalike_client.commands.evaluation.truth import Picture, Query, Truth
from lookalike_client.commands.evaluation.twins import make_twins
from lookalike_client.commands.progress import Show
from lookalike_client.names import Name
from lookalike_client.pictures import chunks

CONCURRENCY = 8
"""Pictures that are asked for at once. What is answered does not depend on it."""
COPIED_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A service, and how it is asked: further parameters of a search."""

    name: str
    client: AsyncLookalike
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """A match. `likeness` is None where the service tells none."""

    id: UUID
    name: str
    score: float
    likeness: float | None


Ranking = Sequence[Found]
"""Best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The rankings of each setting, a list as long as `queries`; and which queries were lost, why."""

    queries: Sequence[Query]
    rankings: Sequence[Sequence[Ranking]]
    lost: Mapping[str, int]


async def listed(client: AsyncLookalike, among: Mapping[str, Any] | None, key: str | None = None) -> list[Picture]:
    """All pictures that pass, in the order of their ids."""
    async with aclosing(client.images(filter=among)) as images:
        return sorted([Picture.of(image, key) async for image in images], key=lambda picture: picture.id)


async def counted(client: AsyncLookalike, among: Mapping[str, Any] | None) -> int:
    """How many pass."""
    return (await client.list_images(limit=1, filter=among)).total


async def looked_up(client: AsyncLookalike, names: Iterable[Name]) -> dict[UUID, Picture]:
    """Those that are stored."""
    found = await client.lookup(names)
    return {image.id: Picture.of(image) for image in found if image is not None}


async def ask(truth: Truth, settings: Sequence[Setting], *, depth: int, seed: int, show: Show) -> Answers:
    """The first `depth` matches of every query, by every setting.

    A query is lost to all settings where its picture has been removed meanwhile, or cannot be read.
    """
    units = [list(unit) for _, unit in groupby(truth.queries, key=lambda query: query.id)]

    async def rank(unit: list[Query]) -> list[list[Ranking]] | str:
        try:
            twins = await _twins(settings[0].client, unit, seed)
            return [
                [await _ranking(setting, query, twin, depth, truth.filter) for setting in settings]
                for query, twin in zip(unit, twins, strict=True)
            ]
        except NotFoundError:
            return "Removed meanwhile"
        except (PictureFileError, PictureError):
            return "Not readable, so without twins"

    queries: list[Query] = []
    rows: list[list[Ranking]] = []
    lost = Counter[str]()
    async with aclosing(runtime.in_order(rank, units, CONCURRENCY)) as answered:
        done = 0
        async for answer in answered:
            if isinstance(answer, str):
                lost[answer] += 1
            else:
                queries += units[done]
                rows += answer
            done += 1
            show(done, len(units))
    return Answers(
        queries=queries, rankings=[[row[place] for row in rows] for place in range(len(settings))], lost=lost
    )


async def copy(source: AsyncLookalike, ids: Sequence[UUID], targets: Sequence[AsyncLookalike], show: Show) -> set[UUID]:
    """Index stored pictures, with their names and metadata, in other services too; those that all of these took."""
    taken: set[UUID] = set()
    done = 0
    for some in chunks(ids, COPIED_AT_ONCE):
        images = [image for image in await source.lookup(some) if image is not None]
        pictures = [
            NewPicture(await source.content(image.id), image.filename, key=image.key, metadata=image.metadata)
            for image in images
        ]
        indexed = [
            {outcome.image.id async for outcome in target.index_many(pictures) if outcome.image is not None}
            for target in targets
        ]
        taken |= set.intersection(*indexed)
        done += len(some)
        show(done, len(ids))
    return taken


async def _twins(client: AsyncLookalike, unit: Sequence[Query], seed: int) -> list[bytes | None]:
    kinds = [query.twin for query in unit if query.twin is not None]
    if not kinds:
        return [None] * len(unit)
    content = await client.content(unit[0].id)
    return [*await asyncio.to_thread(make_twins, content, kinds, f"{seed} {unit[0].id}")]


async def _ranking(
    setting: Setting, query: Query, twin: bytes | None, depth: int, among: Mapping[str, Any] | None
) -> Ranking:
    found: SearchResult
    if twin is None:
        found = await setting.client.similar(query.id, limit=depth, filter=among, **setting.parameters)
    else:
        found = await setting.client.search(twin, limit=depth, filter=among, **setting.parameters)
    return [
        Found(
            match.image.id,
            match.image.key or match.image.filename or str(match.image.id),
            match.score,
            getattr(match, "likeness", None),  # older services tell none
        )
        for match in found.matches
    ]
