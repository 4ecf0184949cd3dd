"""From decoded pictures to what is indexed of them: their objects, and all embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from domain.embeddings import Embedding, Embeddings
from domain.images import DetectedObject
from domain.models import sufficient_side
from domain.objects import ObjectPolicy
from domain.ports.image_encoder import ImageEncoder
from domain.ports.object_detector import ObjectDetector
from domain.raster import RasterImage


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PictureDescription:
    """A picture's objects and embeddings: `embedding` (dimension,), `object_embeddings` (len(objects), dimension)."""

    objects: tuple[DetectedObject, ...]
    embedding: Embedding
    object_embeddings: Embeddings


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribePictures:
    """Detect objects, choose those worth indexing, and encode pictures and crops as one batch."""

    detector: ObjectDetector
    encoder: ImageEncoder
    policy: ObjectPolicy

    @property
    def detection(self) -> str:
        """What finds the objects, as it is stored with each image."""
        return self.policy.fingerprint(self.detector.description)

    @property
    def sufficient_side(self) -> int:
        """How many pixels of a picture's shorter side the models can make use of."""
        return sufficient_side(self.encoder.description, self.detector.description)

    async def __call__(self, rasters: Sequence[RasterImage]) -> list[PictureDescription]:
        """Describe each picture, in the order given. Raises UnavailableError, DeadlinePassedError."""
        return await self.encode(rasters, await self._detect(rasters))

    async def encode(
        self, rasters: Sequence[RasterImage], objects_of_each: Sequence[tuple[DetectedObject, ...]]
    ) -> list[PictureDescription]:
        """Describe each picture by objects that are known already."""
        crops = [
            raster.crop(self.policy.crop_box(found.box, width=raster.width, height=raster.height))
            for raster, objects in zip(rasters, objects_of_each, strict=True)
            for found in objects
        ]
        embeddings = await self.encoder.encode([*rasters, *crops])
        ends = len(rasters) + np.cumsum([len(objects) for objects in objects_of_each], dtype=int)
        return [
            PictureDescription(objects=objects, embedding=whole, object_embeddings=embeddings[end - len(objects) : end])
            for objects, whole, end in zip(objects_of_each, embeddings[: len(rasters)], ends, strict=True)
        ]

    async def _detect(self, rasters: Sequence[RasterImage]) -> list[tuple[DetectedObject, ...]]:
        if not self.detection:
            return [()] * len(rasters)
        found = await self.detector.detect(rasters, score_threshold=self.policy.min_score)
        return [
            self.policy.kept(objects, width=raster.width, height=raster.height)
            for objects, raster in zip(found, rasters, strict=True)
        ]
