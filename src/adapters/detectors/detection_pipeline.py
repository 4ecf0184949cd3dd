"""From rasters to detected objects, whatever the runtime."""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from typing_extensions import override

from adapters.detectors.postprocessing import LabelNames, RawDetections, Selection, detected_objects
from adapters.detectors.preprocessing import ModelInput, Pixels
from adapters.inference.loaded_once import LoadedOnce, failures_named
from adapters.scheduling.slots import Slots
from application.begun_work import all_of
from domain.errors import DetectorUnavailableError
from domain.images import DetectedObject
from domain.models import ModelDescription
from domain.ports.object_detector import ObjectDetector
from domain.raster import RasterImage

Infer = Callable[[Pixels], RawDetections]
"""Runs a model on one picture's input, shape (height, width, 3). Takes `calls_at_once` threads at a time."""

WAITING_PER_SLOT = 2
"""Pictures of one call that are under way: so many go before another call's picture, however many there are."""


class DetectionPipeline:
    """As many pictures at once as the model takes calls, each fitted and searched on one thread.

    Fitting the next picture while the model runs gained nothing: the model uses every core already.
    """

    def __init__(
        self, *, model_input: ModelInput, names: LabelNames, infer: Infer, name: str, calls_at_once: int = 1
    ) -> None:
        self._input = model_input
        self._names = names
        self._infer = infer
        self._slots = Slots(calls_at_once, name=name)
        self._under_way = WAITING_PER_SLOT * calls_at_once

    async def detect(self, images: Sequence[RasterImage], selection: Selection) -> list[list[DetectedObject]]:
        """The objects of each picture, in order. Raises DetectorUnavailableError, BusyError, DeadlinePassedError."""
        found: list[list[DetectedObject]] = []
        with failures_named(DetectorUnavailableError, "detector"):
            for start in range(0, len(images), self._under_way):
                part = images[start : start + self._under_way]
                found += await all_of(self._slots.run(self.detect_now, image, selection) for image in part)
        return found

    def detect_now(self, image: RasterImage, selection: Selection) -> list[DetectedObject]:
        """The same for one picture, on the caller's thread."""
        pixels = self._input.fitted(image.pixels)
        return detected_objects(
            self._infer(pixels),
            self._names,
            selection,
            input_size=(pixels.shape[1], pixels.shape[0]),
            picture_size=(image.width, image.height),
        )

    async def close(self) -> None:
        """Wait for the pictures that run, drop those that wait."""
        await self._slots.close()


class LoadedDetector(NamedTuple):
    """A detector's model that has found what it should."""

    description: ModelDescription
    labels: tuple[str, ...]
    pipeline: DetectionPipeline


class PipelineObjectDetector(LoadedOnce[LoadedDetector], ObjectDetector):
    """What the detectors of all runtimes share: only loading differs."""

    _role = "detector"
    _unavailable = DetectorUnavailableError

    @property
    @override
    def labels(self) -> Sequence[str]:
        return self._ready().labels

    @override
    async def detect(
        self,
        images: Sequence[RasterImage],
        *,
        score_threshold: float,
        labels: Collection[str] | None = None,
        max_detections: int = 100,
    ) -> Sequence[Sequence[DetectedObject]]:
        selection = Selection(score_threshold=score_threshold, labels=labels, max_detections=max_detections)
        return await self._ready().pipeline.detect(images, selection)
