"""Pictures to labelled boxes."""

from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Protocol

from domain.images import DetectedObject
from domain.models import ModelDescription
from domain.raster import RasterImage


class ObjectDetector(Protocol):
    """Finds objects in pictures and names them.

    `open` comes first and `close` last; in between, calls may overlap, and the adapter bounds what runs at once.
    """

    @abstractmethod
    async def open(self) -> None:
        """Load verified weights, warm up, and prove by a real inference that the runtime computes what it should.

        Raises ModelError: weights missing or altered, an unknown model, an absent device or precision.
        """

    @abstractmethod
    async def close(self) -> None:
        """Release the model. Safe to call twice, and without `open`."""

    @property
    @abstractmethod
    def description(self) -> ModelDescription | None:
        """What really runs; None where there is no detector. Known once open."""

    @property
    @abstractmethod
    def labels(self) -> Sequence[str]:
        """Every label that this detector can give. Known once open."""

    @abstractmethod
    async def detect(
        self,
        images: Sequence[RasterImage],
        *,
        score_threshold: float,
        labels: Collection[str] | None = None,
        max_detections: int = 100,
    ) -> Sequence[Sequence[DetectedObject]]:
        """For each image, in the order given, at most `max_detections` objects, best first.

        Confidences are in [score_threshold, 1]; a threshold below .05 counts as .05, since below that there are guesses
        by the hundred. With `labels`, only these are answered (and count). Boxes lie inside the picture, in pixels of
        the full upright picture, whatever the raster's own resolution. An image without objects gives an empty
        sequence.

        Raises DetectorUnavailableError (always, where there is no detector), BusyError, DeadlinePassedError.
        """
