"""Ports between bytes and embeddings, measured."""

from collections.abc import Collection, Sequence

from adapters.telemetry.metrics import StageName
from adapters.telemetry.stages import Stages
from domain.embeddings import Embeddings, EmbeddingSpace
from domain.geometry import BoundingBox
from domain.images import DetectedObject
from domain.models import ModelDescription
from domain.ports.image_decoder import DecodedImage, ImageDecoder
from domain.ports.image_encoder import ImageEncoder
from domain.ports.object_detector import ObjectDetector
from domain.ports.thumbnail_renderer import ThumbnailRenderer
from domain.raster import RasterImage


class MeasuredImageDecoder(ImageDecoder):
    """Tells how long decoding takes."""

    def __init__(self, decoder: ImageDecoder, stages: Stages) -> None:
        self._decoder = decoder
        self._stages = stages

    async def open(self) -> None:
        """See the port."""
        await self._decoder.open()

    async def decode(self, content: bytes, *, sufficient_side: int, region: BoundingBox | None = None) -> DecodedImage:
        """See the port."""
        with self._stages.measure(StageName.DECODE):
            return await self._decoder.decode(content, sufficient_side=sufficient_side, region=region)

    async def close(self) -> None:
        """See the port."""
        await self._decoder.close()


class MeasuredThumbnailRenderer(ThumbnailRenderer):
    """Tells how long rendering takes."""

    def __init__(self, renderer: ThumbnailRenderer, stages: Stages) -> None:
        self._renderer = renderer
        self._stages = stages

    async def render(self, image: RasterImage) -> bytes:
        """See the port."""
        with self._stages.measure(StageName.THUMBNAIL):
            return await self._renderer.render(image)


class MeasuredImageEncoder(ImageEncoder):
    """Tells how long encoding takes."""

    def __init__(self, encoder: ImageEncoder, stages: Stages) -> None:
        self._encoder = encoder
        self._stages = stages

    async def open(self) -> None:
        """See the port."""
        await self._encoder.open()

    async def close(self) -> None:
        """See the port."""
        await self._encoder.close()

    @property
    def space(self) -> EmbeddingSpace:
        """See the port."""
        return self._encoder.space

    @property
    def description(self) -> ModelDescription:
        """See the port."""
        return self._encoder.description

    async def encode(self, images: Sequence[RasterImage]) -> Embeddings:
        """See the port."""
        with self._stages.measure(StageName.ENCODE):
            return await self._encoder.encode(images)


class MeasuredObjectDetector(ObjectDetector):
    """Tells how long detecting takes."""

    def __init__(self, detector: ObjectDetector, stages: Stages) -> None:
        self._detector = detector
        self._stages = stages

    async def open(self) -> None:
        """See the port."""
        await self._detector.open()

    async def close(self) -> None:
        """See the port."""
        await self._detector.close()

    @property
    def description(self) -> ModelDescription | None:
        """See the port."""
        return self._detector.description

    @property
    def labels(self) -> Sequence[str]:
        """See the port."""
        return self._detector.labels

    async def detect(
        self,
        images: Sequence[RasterImage],
        *,
        score_threshold: float,
        labels: Collection[str] | None = None,
        max_detections: int = 100,
    ) -> Sequence[Sequence[DetectedObject]]:
        """See the port."""
        with self._stages.measure(StageName.DETECT):
            return await self._detector.detect(
                images, score_threshold=score_threshold, labels=labels, max_detections=max_detections
            )
