"""What measuring costs a search: `python -m benchmarks.measuring`. Said in docs/adr/0019."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import numpy as np
from tests.fakes import FakeDecoder, FakeEncoder

from adapters.repositories.in_memory import InMemorySimilarityRepository
from adapters.scheduling.waiting_line import WaitingLine
from adapters.telemetry.measured_ports import MeasuredImageDecoder, MeasuredImageEncoder, MeasuredSimilarityRepository
from adapters.telemetry.metrics import Metrics
from adapters.telemetry.stages import Stages
from domain.embeddings import Embeddings
from domain.geometry import BoundingBox
from domain.images import Match
from domain.ports.image_decoder import DecodedImage, ImageDecoder
from domain.ports.image_encoder import ImageEncoder
from domain.ports.similarity_repository import SimilarityRepository
from domain.raster import RasterImage
from domain.search import NearestQuery

SEARCHES = 5_000
ROUNDS = 7
PICTURE = DecodedImage(
    raster=RasterImage(pixels=np.zeros((8, 8, 3), dtype=np.uint8), width=8, height=8), media_type="image/png"
)
EMBEDDINGS = np.eye(1, 16, dtype=np.float32)


def queue(line: WaitingLine[int, int]) -> None:
    """A piece of work that waits for nothing."""
    line.join(1)
    line.take()


class Decoder(FakeDecoder):
    """Does nothing but stand in line."""

    def __init__(self) -> None:
        self._line = WaitingLine[int, int](capacity=10)

    @asynccontextmanager
    async def decoded(
        self, content: bytes, *, sufficient_side: int, region: BoundingBox | None = None
    ) -> AsyncIterator[DecodedImage]:
        queue(self._line)
        yield PICTURE


class Encoder(FakeEncoder):
    """Stands in both lines that a picture stands in."""

    def __init__(self) -> None:
        super().__init__()
        self._line = WaitingLine[int, int](capacity=10)

    async def encode(self, images: Sequence[RasterImage]) -> Embeddings:
        queue(self._line)
        queue(self._line)
        return EMBEDDINGS


class Repository(InMemorySimilarityRepository):
    """Finds nothing."""

    async def nearest(self, query: NearestQuery) -> Sequence[Match]:
        return ()


async def searches(decoder: ImageDecoder, encoder: ImageEncoder, repository: SimilarityRepository) -> None:
    for _ in range(SEARCHES):
        async with decoder.decoded(b"", sufficient_side=8) as picture:
            [query] = await encoder.encode([picture.raster])
        await repository.nearest(NearestQuery(vector=query, limit=10))


async def measured(work: Callable[[], Awaitable[None]]) -> float:
    """Microseconds of CPU that a search takes, the least of some rounds."""
    least = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        await work()
        least = min(least, time.process_time() - began)
    return least / SEARCHES * 1e6


async def main() -> None:
    plain = (Decoder(), Encoder(), Repository())
    metrics = Metrics(version="1")
    stages = Stages(metrics)
    wrapped = (
        MeasuredImageDecoder(plain[0], stages),
        MeasuredImageEncoder(plain[1], stages),
        MeasuredSimilarityRepository(plain[2], stages, metrics),
    )

    async def requests() -> None:
        for _ in range(SEARCHES):
            metrics.request_began()
            metrics.request_ended(
                method="POST", route="/v1/search", status=200, seconds=0.01, received=1, sent=1, problem=None
            )

    bare = await measured(lambda: searches(*plain))
    with_stages = await measured(lambda: searches(*wrapped))
    with_requests = await measured(requests)
    print(f"stages and their lines: {with_stages - bare:.1f} us a search (without: {bare:.1f})")
    print(f"request:                {with_requests:.1f} us")
    began = time.process_time()
    size = len(metrics.exposition())
    print(f"a scrape of so little:  {(time.process_time() - began) * 1e3:.1f} ms, {size:,} bytes")


if __name__ == "__main__":
    asyncio.run(main())
