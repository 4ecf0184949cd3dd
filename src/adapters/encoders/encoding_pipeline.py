"""From rasters to checked embeddings, whatever the runtime."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from typing_extensions import override

from adapters.encoders.preprocessing import Pixels, Preprocessing
from adapters.inference.cores import available_cores
from adapters.inference.loaded_once import LoadedOnce, failures_named
from adapters.scheduling.batch_queue import BatchQueue
from adapters.scheduling.slots import Slots
from application.begun_work import all_of
from domain.embeddings import Embedding, Embeddings, EmbeddingSpace
from domain.errors import EncoderUnavailableError
from domain.models import ModelDescription
from domain.ports.image_encoder import ImageEncoder
from domain.raster import RasterImage
from domain.scores import LikenessScales

WINDOW = 32
"""Pictures of one call that are under way: what is fitted and waits takes memory (300 kB each at 320 pixels a side)."""


Infer = Callable[[Pixels], Embeddings]
"""Runs a model: pixels of shape (n, size, size, 3) to L2-normalised vectors (n, dimension). Not thread-safe."""


class EncodingPipeline:
    """Pictures are fitted on every core, and go through the model in batches with those of other callers.

    One batch at a time, since it may use every core; small ones, so that a search never waits long behind bulk work.
    """

    def __init__(self, *, preprocessing: Preprocessing, dimension: int, infer: Infer, batch: int, name: str) -> None:
        self._preprocessing = preprocessing
        self._dimension = dimension
        self._infer = infer
        self._fitting = Slots(available_cores(), name=f"{name}-fit")
        self._model = BatchQueue[Pixels, Embedding](self._embeddings, most=batch, name=name)

    async def encode(self, images: Sequence[RasterImage]) -> Embeddings:
        """Embeddings in the order given. Raises EncoderUnavailableError, BusyError, DeadlinePassedError."""
        embeddings = np.empty((len(images), self._dimension), dtype=np.float32)
        with failures_named(EncoderUnavailableError, "encoder"):
            for start in range(0, len(images), WINDOW):
                part = images[start : start + WINDOW]
                embeddings[start : start + len(part)] = await all_of(map(self._encode_one, part))
        return embeddings

    async def _encode_one(self, image: RasterImage) -> Embedding:
        [pixels] = self._preprocessing.empty(1)
        await self._fitting.run(self._preprocessing.fit_into, pixels, image)
        return await self._model.submit(pixels)

    async def close(self) -> None:
        """Wait for the batch that runs, drop what waits."""
        await self._fitting.close()
        await self._model.close()

    def _embeddings(self, pictures: Sequence[Pixels]) -> Sequence[Embedding | Exception]:
        """What the model computes, where it is a direction: never NaN, infinity or nothing."""
        vectors = self._infer(pictures[0][np.newaxis] if len(pictures) == 1 else np.stack(pictures))
        directions = np.isclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-2)
        return [
            vector
            if is_direction
            else EncoderUnavailableError("The encoder computed no direction: its output is not finite, or is zero.")
            for vector, is_direction in zip(vectors, directions, strict=True)
        ]


class LoadedEncoder(NamedTuple):
    """An encoder's model that has computed what it should."""

    space: EmbeddingSpace
    description: ModelDescription
    pipeline: EncodingPipeline
    likeness: LikenessScales | None = None


class PipelineImageEncoder(LoadedOnce[LoadedEncoder], ImageEncoder):
    """What the encoders of all runtimes share: only loading differs."""

    _role = "encoder"
    _unavailable = EncoderUnavailableError

    @property
    @override
    def space(self) -> EmbeddingSpace:
        return self._ready().space

    @property
    @override
    def likeness(self) -> LikenessScales | None:
        return self._ready().likeness

    @override
    async def encode(self, images: Sequence[RasterImage]) -> Embeddings:
        return await self._ready().pipeline.encode(images)
