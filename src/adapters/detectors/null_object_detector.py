"""No detection: a deployment without a detector."""

from collections.abc import Collection, Sequence

from domain.errors import DetectorUnavailableError
from domain.images import DetectedObject
from domain.ports.object_detector import ObjectDetector
from domain.raster import RasterImage


class NullObjectDetector(ObjectDetector):
    """Says that there is no detector."""

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    @property
    def description(self) -> None:
        """None."""
        return

    @property
    def labels(self) -> Sequence[str]:
        """None at all."""
        return ()

    async def detect(
        self,
        images: Sequence[RasterImage],
        *,
        score_threshold: float,
        labels: Collection[str] | None = None,
        max_detections: int = 100,
    ) -> Sequence[Sequence[DetectedObject]]:
        """Raises DetectorUnavailableError, whatever is asked."""
        raise DetectorUnavailableError.none_here()
