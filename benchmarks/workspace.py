"""What the sections share while a run lasts: folders of photos, and indexes, each made when it is first needed."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.http11 import call
from benchmarks.load import Answers, Job, apply
from benchmarks.pictures import write_photos
from benchmarks.processes import Memory, Service
from benchmarks.vectors import Clusters
from entrypoints.container import Container
from entrypoints.settings import Settings

BATCH = 64
"""Pictures of a request to index many."""

BATCH_CLIENTS = 2
VECTORS_AT_ONCE = 500

IDLE_SECONDS = 2.0
"""After less than this without a request the embedded index optimizes itself."""

SETTLED_WITHIN = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much of everything is measured."""

    rounds: int = 3
    indexed: int = 800
    """Pictures that we index a round and way."""
    indexed_with_objects: int = 300
    indexed_by_peers: int = 150
    staged: int = 150
    """Pictures that go through the bare stages."""
    seconds: float = 6.0
    """Of searching, a round, index and number of clients."""
    warming_seconds: float = 1.0
    queries: int = 200
    """Different photos to search with."""
    photos: tuple[int, ...] = (1_000,)
    """Sizes of the indexes that are made of photos."""
    vectors: tuple[int, ...] = (10_000, 100_000)
    """Sizes of those whose vectors are put in through the port."""
    clients: tuple[int, ...] = (1, 8, 32, 128)
    peer_clients: tuple[int, ...] = (1, 8, 32)
    starts: int = 5
    soak_seconds: float = 600.0
    object_pictures: int = 120
    object_images: int = 10_000

    @property
    def indexes(self) -> tuple[int, ...]:
        """All sizes of indexes."""
        return (*self.photos, *self.vectors)


QUICK = Sizes(
    rounds=1,
    indexed=96,
    indexed_with_objects=48,
    indexed_by_peers=24,
    staged=24,
    seconds=1.0,
    warming_seconds=0.3,
    queries=24,
    photos=(64,),
    vectors=(500,),
    clients=(1, 32, 128),
    peer_clients=(1, 8),
    starts=1,
    soak_seconds=10.0,
    object_pictures=16,
    object_images=200,
)


@dataclass(frozen=True, slots=True)
class Built:
    """How an index of photos came to be, through HTTP and with objects."""

    answers: Answers
    cpu_seconds: float
    peak: Memory


@dataclass(slots=True)
class Workspace:
    """A directory that is deleted at the end of the run."""

    root: Path
    sizes: Sizes
    built: dict[int, Built] = field(default_factory=dict)

    def photos(self, count: int, *, seed: int = 0) -> Path:
        """A folder of `count` different photos; the same for the same seed."""
        directory = self.root / f"photos-{seed}-{count}"
        return directory if directory.exists() else write_photos(directory, count, seed=seed)

    def fresh(self, name: str) -> Path:
        """A data directory that does not exist yet."""
        return self.root / f"data-{name}-{time.monotonic_ns()}"

    def index(self, size: int) -> Path:
        """The data directory of an index with so many pictures."""
        directory = self.root / f"index-{size}"
        if not directory.exists():
            print(f"making an index of {size:,} pictures", flush=True)
            if size in self.sizes.photos:
                self.built[size] = self._of_photos(directory, size)
            else:
                asyncio.run(_of_vectors(directory, size))
            _settle(directory)
        return directory

    def vectors(self, size: int) -> Path:
        """A file of so many vectors, for a peer's index."""
        path = self.root / f"vectors-{size}.npy"
        if not path.exists():
            np.save(path, Clusters(seed=1).draw(size))
        return path

    def _of_photos(self, directory: Path, size: int) -> Built:
        with Service(directory) as service:
            cpu = service.cpu_seconds()
            answers = index_over_http(service.port, self.photos(size))
            return Built(answers, service.cpu_seconds() - cpu, service.peak)


def index_over_http(port: int, photos: Path, *, before: int = 0) -> Answers:
    """Send a folder in batches to the service, which has `before` others. Raises RuntimeError unless all is indexed."""
    job = Job(
        port=port,
        path="/v1/images/batch",
        pictures=str(photos),
        field="files",
        per_body=BATCH,
        clients=BATCH_CLIENTS,
    )
    answers = apply(job)
    _, body = call(port, "GET", "/v1/images?limit=1")
    sent, there = len(list(photos.glob("*.jpg"))), json.loads(body)["total"] - before
    if sent != there:
        raise RuntimeError(f"{sent} pictures were sent, {there} are there")
    return answers


def _settle(data_dir: Path) -> None:
    """Leave the service alone until the index has optimized itself: that is for another figure than a search's."""
    with Service(data_dir) as service:
        before, until = None, time.monotonic() + SETTLED_WITHIN
        while time.monotonic() < until:
            time.sleep(IDLE_SECONDS)
            status, body = call(service.port, "GET", "/v1/models")
            now = json.loads(body)["repository"] if status == 200 else None
            if now is not None and now == before:
                return
            before = now


async def _of_vectors(directory: Path, size: int) -> None:
    container = Container(settings=Settings(data_dir=directory, _env_file=None))
    service, clusters = container.run_service(), Clusters()
    await service.open()
    try:
        for first in range(0, size, VECTORS_AT_ONCE):
            count = min(VECTORS_AT_ONCE, size - first)
            await container.repository().upsert([clusters.image(first + n) for n in range(count)])
    finally:
        await service.close()
