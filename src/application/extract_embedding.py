"""Hand out the feature vector that search uses."""

from dataclasses import dataclass

from domain.embeddings import Embedding
from domain.geometry import BoundingBox
from domain.models import sufficient_side
from domain.ports.image_decoder import ImageDecoder
from domain.ports.image_encoder import ImageEncoder
from domain.ports.object_detector import ObjectDetector


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExtractedEmbedding:
    """An L2-normalised embedding, shape (dimension,), and the model that made it."""

    model: str
    embedding: Embedding


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractEmbedding:
    """Encode a picture, or a region of it; nothing is stored."""

    decoder: ImageDecoder
    encoder: ImageEncoder
    detector: ObjectDetector

    async def __call__(self, picture: bytes, *, region: BoundingBox | None = None) -> ExtractedEmbedding:
        """Raises ImageError, InvalidRegionError, UnavailableError."""
        side = sufficient_side(self.encoder.description, self.detector.description)
        async with self.decoder.decoded(picture, sufficient_side=side, region=region) as decoded:
            raster = decoded.raster if region is None else decoded.raster.crop(region)
            [embedding] = await self.encoder.encode([raster])
        return ExtractedEmbedding(model=self.encoder.space.model, embedding=embedding)
