"""Ports, measured: each wrapper has all methods of its port, made from the port itself."""

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from types import MappingProxyType
from typing import Any

from typing_extensions import override

from adapters.telemetry.metrics import Metrics, StageName
from adapters.telemetry.stages import Stages
from domain.embeddings import EmbeddingSpace
from domain.images import IndexedImage
from domain.ports.image_decoder import ImageDecoder
from domain.ports.image_encoder import ImageEncoder
from domain.ports.image_store import ImageStore, OpenedOriginal
from domain.ports.object_detector import ObjectDetector
from domain.ports.picture_source import PictureSource
from domain.ports.similarity_repository import SimilarityRepository
from domain.ports.thumbnail_renderer import ThumbnailRenderer


def measuring(
    port: type, stages: Mapping[str, StageName], *, entered: Mapping[str, StageName] = MappingProxyType({})
) -> Any:  # noqa: ANN401 - a class that implements the port
    """A class of the port that wraps another of it, and measures calls of the named methods as calls of these stages.

    Of the methods in `entered`, which return an async context manager, entering it is the call. Everything else is
    what the wrapped one has. Opening and closing are no stage of a request.
    """

    def init(self: Any, plain: object, stages: Stages) -> None:  # noqa: ANN401
        self.plain, self.stages = plain, stages

    abstract: frozenset[str] = port.__abstractmethods__  # type: ignore[attr-defined]
    if unknown := (stages.keys() | entered.keys()) - abstract:
        raise ValueError(f"{port.__name__} has no methods {', '.join(unknown)}.")
    members: dict[str, object] = {name: _plain(name) for name in abstract}
    members |= {name: _measured(name, stage) for name, stage in stages.items()}
    members |= {name: _measured_entry(name, stage) for name, stage in entered.items()}
    return type(f"Measured{port.__name__}", (port,), {"__init__": init, **members})


def _measured(name: str, stage: StageName) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def call(self: Any, /, *args: object, **kwargs: object) -> object:  # noqa: ANN401
        with self.stages.measure(stage):
            return await getattr(self.plain, name)(*args, **kwargs)

    return call


def _measured_entry(name: str, stage: StageName) -> Callable[..., AbstractAsyncContextManager[Any]]:
    @asynccontextmanager
    async def call(self: Any, /, *args: object, **kwargs: object) -> AsyncIterator[Any]:  # noqa: ANN401
        async with AsyncExitStack() as entered:
            with self.stages.measure(stage):
                value = await entered.enter_async_context(getattr(self.plain, name)(*args, **kwargs))
            yield value

    return call


def _plain(name: str) -> property:
    return property(lambda self: getattr(self.plain, name))


MeasuredImageDecoder: Callable[[ImageDecoder, Stages], ImageDecoder] = measuring(
    ImageDecoder, {}, entered={"decoded": StageName.DECODE}
)
MeasuredThumbnailRenderer: Callable[[ThumbnailRenderer, Stages], ThumbnailRenderer] = measuring(
    ThumbnailRenderer, {"render": StageName.THUMBNAIL}
)
MeasuredImageEncoder: Callable[[ImageEncoder, Stages], ImageEncoder] = measuring(
    ImageEncoder, {"encode": StageName.ENCODE}
)
MeasuredObjectDetector: Callable[[ObjectDetector, Stages], ObjectDetector] = measuring(
    ObjectDetector, {"detect": StageName.DETECT}
)
MeasuredPictureSource: Callable[[PictureSource, Stages], PictureSource] = measuring(
    PictureSource, {"fetch": StageName.FETCH}
)

_STORE = dict.fromkeys(("put", "delete", "delete_thumbnails"), StageName.STORE_WRITE)
_STORE |= dict.fromkeys(("original", "thumbnail"), StageName.STORE_READ)

_INDEX = dict.fromkeys(("upsert", "update", "delete", "sweep_objects"), StageName.INDEX_WRITE)
_INDEX |= dict.fromkeys(
    (
        *("get", "named", "embeddings", "object_embeddings", "list", "nearest", "nearest_objects"),
        *("candidates", "count", "facet", "orphaned_objects"),
    ),
    StageName.INDEX_READ,
)


class MeasuredImageStore(
    measuring(ImageStore, _STORE, entered={"opened_original": StageName.STORE_READ})  # type: ignore[misc]
):
    """Measures how long reading and writing files takes."""

    @override
    @asynccontextmanager
    async def opened_original(self, sha256: str) -> AsyncIterator["MeasuredOriginal"]:
        async with super().opened_original(sha256) as original:
            yield MeasuredOriginal(original, self.stages)


class MeasuredOriginal(OpenedOriginal):
    """Measures how long each piece takes to read, without the time between the pieces."""

    def __init__(self, original: OpenedOriginal, stages: Stages) -> None:
        self._original = original
        self._stages = stages
        self.size = original.size

    @override
    async def read(self, most: int) -> bytes:
        with self._stages.measure(StageName.STORE_READ):
            return await self._original.read(most)


class MeasuredSimilarityRepository(measuring(SimilarityRepository, _INDEX)):  # type: ignore[misc]
    """Measures how long reading and writing the index takes, and counts the images written.

    `status` is no stage of a request: it is what metrics and readiness themselves ask.
    """

    def __init__(self, repository: SimilarityRepository, stages: Stages, metrics: Metrics) -> None:
        super().__init__(repository, stages)
        self._metrics = metrics

    @override
    async def upsert(self, images: Sequence[IndexedImage]) -> None:
        await super().upsert(images)
        self._metrics.images_written(len(images))

    @override
    async def replacement(self, space: EmbeddingSpace) -> "MeasuredSimilarityRepository":
        return MeasuredSimilarityRepository(await self.plain.replacement(space), self.stages, self._metrics)

    @override
    async def promote(self, replacement: SimilarityRepository) -> None:
        if isinstance(replacement, MeasuredSimilarityRepository):
            replacement = replacement.plain  # its own kind, which the repository knows
        await self.plain.promote(replacement)
