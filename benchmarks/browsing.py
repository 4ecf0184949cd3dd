"""Browsing a large index: facets, orders, prefixes, words, and changing metadata in bulk. No picture is encoded."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from statistics import median

import numpy as np

from adapters.repositories.qdrant.embedded.repository import EmbeddedSimilarityRepository
from application.arrange_matches import ArrangeMatches
from application.search_result import SearchOptions
from benchmarks.report import Section, Target, table
from benchmarks.vectors import a_record
from benchmarks.workspace import IDLE_SECONDS, VECTORS_AT_ONCE, Workspace
from domain.embeddings import EmbeddingSpace, normalised
from domain.filters import AnyOf, Field, Filter, HasWords, StartsWith
from domain.images import ImageRecord, IndexedImage
from domain.listing import NEWEST_FIRST, Order
from domain.metadata import Metadata, MetadataType
from domain.names import id_of_key, words_of
from domain.ports.similarity_repository import SimilarityRepository

DIMENSION = 512
PAGE = 50
ASKED = 30
"""How often each question is asked."""

CHANGED = 1_000
MOST_MILLISECONDS = {"facet": 50.0, "page": 30.0, "update": 2_000.0}
DECLARED = {
    "brand": MetadataType.KEYWORD,
    "product": MetadataType.KEYWORD,
    "price": MetadataType.FLOAT,
    "stock": MetadataType.INTEGER,
    "taken": MetadataType.DATETIME,
}

Question = Callable[[], Awaitable[object]]


def measure(workspace: Workspace) -> Section:
    """All of it, over as many records as the largest index of vectors has."""
    size = max(workspace.sizes.vectors)
    milliseconds = asyncio.run(_measured(workspace.fresh("browsing"), size))
    targets = []
    for name, took in milliseconds.items():
        most = MOST_MILLISECONDS.get(name.split()[0])
        if most is not None:
            targets.append(Target(f"{name}, {size:,} pictures", f"<= {most:g} ms", f"{took:.1f} ms", took <= most))
    groups, plain = milliseconds["search, 10 groups"], milliseconds["search"]
    targets.append(
        Target("a page of groups", "<= 2x of the plain search", f"{groups / plain:.1f}x", groups <= 2 * plain)
    )
    rows = [(name, f"{took:.1f}") for name, took in milliseconds.items()]
    about = f"Embedded, {size:,} pictures without objects, vectors of {DIMENSION}, through the port; pages of {PAGE}."
    return Section("Browsing", [about, "", *table(("", "p50, ms"), rows)], targets)


async def _measured(directory: Path, size: int) -> dict[str, float]:
    space = EmbeddingSpace(
        model="none", weights_digest="0" * 64, dimension=DIMENSION, preprocessing="none", decode_version=1
    )
    repository = EmbeddedSimilarityRepository(directory, indexed_metadata=DECLARED, timeout_seconds=600.0)
    await repository.open(space)
    try:
        vectors = np.random.default_rng(0)
        for first in range(0, size, VECTORS_AT_ONCE):
            numbers = range(first, min(first + VECTORS_AT_ONCE, size))
            embeddings = normalised(vectors.standard_normal((len(numbers), DIMENSION)))
            nothing = np.empty((0, DIMENSION), dtype=np.float32)
            await repository.upsert(
                [
                    IndexedImage(record=_record(number), embedding=embedding, object_embeddings=nothing)
                    for number, embedding in zip(numbers, embeddings, strict=True)
                ]
            )
        await asyncio.sleep(2 * IDLE_SECONDS)  # it optimizes, and the first question waits for the end of that
        await repository.count()
        query = normalised(vectors.standard_normal(DIMENSION))
        figures = {name: await _median(ask) for name, ask in _questions(repository, query).items()}
        figures[f"update of {CHANGED:,}"] = await _update(repository, size)
        return figures
    finally:
        await repository.close()


def _record(number: int) -> ImageRecord:
    """As of a shop: 100 folders, 50 brands, products of four pictures."""
    chance = random.Random(number)  # noqa: S311
    key = f"shop/{number % 100:02}/sku-{number:06} {chance.choice(['hat', 'dress', 'strand', 'coffee'])}.jpg"
    plain = a_record(number)
    metadata: Metadata = {
        "brand": f"brand {chance.randrange(50)}",
        "product": f"product {number // 4}",
        "price": round(chance.uniform(1, 500), 2),
        "stock": chance.randrange(5),
        "taken": (plain.created_at - timedelta(minutes=chance.randrange(10**6))).isoformat(),
    }
    return replace(plain, id=id_of_key(key), key=key, source=f"/photos/{key}", metadata=metadata)


def _questions(repository: SimilarityRepository, query: np.ndarray) -> dict[str, Question]:
    in_stock = Filter(all=(AnyOf(Field("metadata.stock"), (3,)),))
    folder = Filter(all=(StartsWith(Field("key"), "shop/17/"),))
    price = Order(Field("metadata.price"), is_of_times=False)
    stock = Order(Field("metadata.stock"), is_descending=False, is_of_times=False)

    def facet(key: str, where: Filter = Filter()) -> Question:  # noqa: B008 - it is frozen
        return lambda: repository.facet(Field(f"metadata.{key}"), DECLARED[key], where)

    def page(where: Filter = Filter(), order: Order = NEWEST_FIRST) -> Question:  # noqa: B008
        return lambda: repository.list(limit=PAGE, where=where, order_by=order)

    def words(text: str) -> Filter:
        return Filter(all=(HasWords(tuple(words_of(text))),))

    def search(**arranged: object) -> Question:
        options = SearchOptions(**arranged)  # type: ignore[arg-type]
        arrange = ArrangeMatches(repository=repository, types=DECLARED)
        return lambda: arrange(options, lambda part: repository.nearest(part.nearest_to(query)))

    product = Field("metadata.product")

    async def second_page(order: Order) -> None:
        first = await repository.list(limit=PAGE, order_by=order)
        await repository.list(limit=PAGE, order_by=order, after=first.next_cursor)

    return {
        "facet of 50 brands": facet("brand"),
        "facet of 50 brands, of a fifth": facet("brand", in_stock),
        "page newest first": page(),
        "page by price": page(order=price),
        "page by price, of a fifth": page(in_stock, price),
        "page by stock, five values": page(order=stock),
        "both first pages by stock": lambda: second_page(stock),
        "page of a prefix (1 in 100)": page(folder),
        "page of a prefix, by price": page(folder, price),
        "page of two words": page(words("strand 0171")),
        "page of a common word": page(words("strand")),
        "search": search(),
        "search, 10 groups": search(group_by=product),
        "search, 10 groups of three": search(group_by=product, group_size=3),
        "search within a prefix": search(where=folder),
    }


async def _median(ask: Question) -> float:
    milliseconds = []
    for _ in range(ASKED):
        started = time.perf_counter()
        await ask()
        milliseconds.append((time.perf_counter() - started) * 1_000)
    return median(milliseconds)


async def _update(repository: SimilarityRepository, size: int) -> float:
    """Milliseconds for pictures from all over the index."""
    numbers = range(0, size, max(1, size // CHANGED))[:CHANGED]
    changed = [replace(record, metadata={**record.metadata, "stock": 9}) for record in map(_record, numbers)]
    started = time.perf_counter()
    missing = await repository.update(changed)
    assert not missing
    return (time.perf_counter() - started) * 1_000
