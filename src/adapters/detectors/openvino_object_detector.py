"""Detection by OpenVINO: the packaged detector or an exported one, without torch."""

from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np
import openvino
from typing_extensions import override

from adapters.detectors import bundled_detector
from adapters.detectors.coco_labels import COCO_LABELS
from adapters.detectors.detection_pipeline import DetectionPipeline, LoadedDetector, PipelineObjectDetector
from adapters.detectors.exported_detector import OUTPUTS, ExportedDetector
from adapters.detectors.golden_picture import agree, from_json, golden_picture
from adapters.detectors.postprocessing import EVERYTHING, LabelNames, RawDetections, label_names
from adapters.detectors.preprocessing import ModelInput, Pixels
from adapters.inference.openvino_graph import (
    Hint,
    Precision,
    available_precisions,
    checked_precision,
    compile_graph,
    read_graph,
)
from domain.errors import ModelError
from domain.images import DetectedObject
from domain.models import ModelDescription


class _Loaded(NamedTuple):
    """A detector's graph, and what is known of it."""

    model: str
    weights_digest: str
    names: LabelNames
    model_input: ModelInput
    graph: openvino.Model
    golden: Sequence[DetectedObject]


class OpenVinoObjectDetector(PipelineObjectDetector):
    """Runs the packaged SSD-MobileNet-v2, or what `lookalike models export-detector` wrote.

    `model` is `ssd_mobilenet_v2_coco`, or the path of an exported directory. `models` is where the packaged one may
    have been prepared; otherwise `convert` makes its graph, which takes seconds.
    `precision` auto is bf16 where the device computes in it and still finds what it should in the golden picture, else
    f32. `threads` 0 leaves their number to OpenVINO.
    """

    def __init__(
        self,
        *,
        model: str = bundled_detector.MODEL,
        models: Path | None = None,
        convert: Callable[[], openvino.Model],
        device: str = "cpu",
        precision: Precision = "auto",
        threads: int = 0,
    ) -> None:
        super().__init__()
        self._model = model
        self._convert = convert
        self._models = models
        self._device = device
        self._precision = checked_precision(precision)
        self._threads = threads

    @override
    def _load(self) -> LoadedDetector:
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
        return LoadedDetector(
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
            return _of_directory(prepared) if prepared else _of_the_wheel(self._convert())
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


def _of_the_wheel(graph: openvino.Model) -> _Loaded:
    return _Loaded(
        model=bundled_detector.MODEL,
        weights_digest=bundled_detector.SHA256,
        names=COCO_LABELS,
        model_input=bundled_detector.INPUT,
        graph=graph,
        golden=from_json(bundled_detector.GOLDEN),
    )
