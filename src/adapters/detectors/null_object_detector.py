"""No detection: a deployment without a detector."""

from collections.abc import Collection, Sequence

from typing_extensions import override

from domain.errors import DetectorUnavailableError
from domain.images import DetectedObject
from domain.ports.object_detector import ObjectDetector
from domain.raster import RasterImage


class NullObjectDetector(ObjectDetector):
    """Says that there is no detector."""

    @override
    async def open(self) -> None: ...

    @override
    async def close(self) -> None: ...

    @property
    @override
    def description(self) -> None:
        return

    @property
    @override
    def labels(self) -> Sequence[str]:
        return ()

    @override
    async def detect(
        self,
        images: Sequence[RasterImage],
        *,
        score_threshold: float,
        labels: Collection[str] | None = None,
        max_detections: int = 100,
    ) -> Sequence[Sequence[DetectedObject]]:
        raise DetectorUnavailableError.none_here()
