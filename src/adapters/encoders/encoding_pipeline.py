"""From rasters to checked embeddings, whatever the runtime."""

import asyncio
import os
from collections.abc import Callable, Sequence

import numpy as np

from adapters.encoders.preprocessing import Pixels, Preprocessing
from adapters.inference.slots import Slots, SlotsClosedError
from domain.embeddings import Embeddings
from domain.errors import EncoderUnavailableError
from domain.raster import RasterImage

Infer = Callable[[Pixels], Embeddings]
"""Runs a model: pixels of shape (n, size, size, 3) to L2-normalised vectors (n, dimension). Not thread-safe."""


class EncodingPipeline:
    """Pictures are fitted on every core, and go through the model one small batch at a time.

    One batch at a time, since it may use every core; small ones, so that a search never waits long behind a bulk
    import, and memory stays bounded however many pictures are asked for.
    """

    def __init__(self, *, preprocessing: Preprocessing, dimension: int, infer: Infer, batch: int, name: str) -> None:
        self._preprocessing = preprocessing
        self._dimension = dimension
        self._infer = infer
        self._batch = batch
        self._fitting = Slots(_available_cores(), name=f"{name}-fit")
        self._inference = Slots(1, name=name)

    async def encode(self, images: Sequence[RasterImage]) -> Embeddings:
        """Embeddings in the order given. Raises EncoderUnavailableError, DeadlinePassedError."""
        embeddings = np.empty((len(images), self._dimension), dtype=np.float32)
        try:
            for start in range(0, len(images), self._batch):
                part = images[start : start + self._batch]
                embeddings[start : start + len(part)] = await self._encode_batch(part)
        except SlotsClosedError as error:
            raise EncoderUnavailableError("The encoder was closed meanwhile.") from error
        return embeddings

    async def _encode_batch(self, images: Sequence[RasterImage]) -> Embeddings:
        pixels = self._preprocessing.empty(len(images))
        await asyncio.gather(
            *(
                self._fitting.run(self._preprocessing.fit_into, target, image)
                for target, image in zip(pixels, images, strict=True)
            )
        )
        return await self._inference.run(self._checked, pixels)

    def close(self) -> None:
        """Wait for the batch that runs, drop those that wait."""
        self._fitting.close()
        self._inference.close()

    def _checked(self, pixels: Pixels) -> Embeddings:
        """What the model computes, if it is a direction: never NaN, infinity or nothing."""
        try:
            vectors = self._infer(pixels)
        except (RuntimeError, MemoryError) as error:
            raise EncoderUnavailableError(f"The encoder's runtime failed: {error}") from error
        if not np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-2):
            raise EncoderUnavailableError("The encoder computed no direction: its output is not finite, or is zero.")
        return vectors


def _available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
