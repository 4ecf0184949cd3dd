"""What the parts cost without a service around them: decode, encode, and the index, called one after another."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

from domain.models import sufficient_side
from entrypoints.container import Container
from entrypoints.settings import Settings


@dataclass(frozen=True)
class BareTimes:
    """Medians in milliseconds a picture, one picture at a time; `batch_per_second` is the encoder's best."""

    decode: float
    thumbnail: float
    encode: float
    nearest: float
    batch_per_second: float

    @property
    def search(self) -> float:
        """What a search cannot go below: decode + encode + nearest."""
        return self.decode + self.encode + self.nearest


async def measure(data_dir: Path, pictures: Sequence[bytes]) -> BareTimes:
    """Time the parts on `pictures` and on the index in `data_dir`, which no service may have open."""
    container = Container(settings=Settings(data_dir=data_dir))
    service = container.run_service()
    await service.open()
    try:
        decoder, encoder, repository = container.decoder(), container.encoder(), container.repository()
        side = sufficient_side(encoder.description)
        decode, decoded = await _each(pictures, lambda content: decoder.decode(content, sufficient_side=side))
        rasters = [picture.raster for picture in decoded]
        thumbnail, _ = await _each(rasters, container.thumbnails().render)
        encode, embeddings = await _each(rasters, lambda raster: encoder.encode([raster]))
        nearest, _ = await _each(embeddings, lambda embedding: repository.nearest(embedding[0], limit=11))
        started = time.perf_counter()
        for start in range(0, len(rasters), 16):
            await encoder.encode(rasters[start : start + 16])
        per_second = len(rasters) / (time.perf_counter() - started)
        return BareTimes(decode, thumbnail, encode, nearest, per_second)
    finally:
        await service.close()


T = TypeVar("T")
R = TypeVar("R")


async def _each(items: Sequence[T], call: Callable[[T], Awaitable[R]]) -> tuple[float, list[R]]:
    milliseconds, results = [], []
    for item in items:
        started = time.perf_counter()
        results.append(await call(item))
        milliseconds.append((time.perf_counter() - started) * 1000)
    return median(milliseconds), results
