"""Detection by OpenVINO: the packaged detector or an exported one, without torch."""

from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import openvino
from typing_extensions import override

from adapters.detectors.bundled_detector import FACTS, GOLDEN, MODEL, DetectorFacts, prepared_bundled_detector
from adapters.detectors.detection_pipeline import DetectionPipeline, LoadedDetector, PipelineObjectDetector
from adapters.detectors.exported_detector import OUTPUTS, ExportedDetector
from adapters.detectors.golden_picture import agree, from_json, golden_picture
from adapters.detectors.postprocessing import EVERYTHING, RawDetections, label_names
from adapters.detectors.preprocessing import ModelInput, Pixels
from adapters.inference.openvino_graph import (
    Hint,
    Precision,
    available_precisions,
    checked_precision,
    compile_graph,
    read_graph,
)
from domain.errors import ModelError, Remedy
from domain.images import DetectedObject
from domain.models import ModelDescription


class OpenVinoObjectDetector(PipelineObjectDetector):
    """Runs the packaged SSD-MobileNet-v2, or an exported detector.

    `model` is `ssd_mobilenet_v2_coco`, or the path of an exported directory. `models` is where the packaged one may
    have been prepared; otherwise `convert` makes its graph, which takes seconds.
    `precision` auto is bf16 where the device computes in it and still finds what it should in the golden picture, else
    f32. `threads` 0 leaves their number to OpenVINO.
    """

    def __init__(
        self,
        *,
        model: str = MODEL,
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
        facts, graph, golden = self._read()
        for precision in self._precisions():
            compiled = compile_graph(
                graph,
                device=self._device,
                precision=precision,
                threads=self._threads,
                hint=_hint(facts.model_input),
            )
            runner = OpenVinoRunner(compiled.model)
            pipeline = DetectionPipeline(
                model_input=facts.model_input,
                names=facts.names,
                infer=runner,
                name="openvino-detector",
                calls_at_once=runner.streams,
            )
            # Also the warm-up.
            found = pipeline.detect_now(golden_picture(), EVERYTHING)
            if agree(golden, found):
                break
        else:
            raise ModelError(
                f"OpenVINO on {compiled.device} in {compiled.precision} detects other objects in the golden picture "
                "than the reference does. Choose precision auto or f32, or export the model again."
            )
        return LoadedDetector(
            description=ModelDescription(
                model=facts.model,
                weights_digest=facts.weights_digest,
                runtime="openvino",
                device=compiled.device,
                precision=compiled.precision,
                input_width=facts.model_input.width,
                input_height=facts.model_input.height,
            ),
            labels=label_names(facts.names),
            pipeline=pipeline,
        )

    def _precisions(self) -> Sequence[Precision]:
        """What to try: for auto the fastest that the device has, and f32 where a model does not bear rounding."""
        return available_precisions(self._device)[::-1] if self._precision == "auto" else (self._precision,)

    def _read(self) -> tuple[DetectorFacts | ExportedDetector, openvino.Model, Sequence[DetectedObject]]:
        """A detector, its graph, and what it finds in the golden picture; verified. Raises ModelError."""
        if self._model == MODEL:
            exported = prepared_bundled_detector(self._models) if self._models else None
            if exported is None:
                return FACTS, self._convert(), from_json(GOLDEN)
        else:
            if not (directory := Path(self._model).expanduser()).is_dir():
                raise ModelError(
                    f"There is no detector {self._model!r} for OpenVINO: give {MODEL}, or the path of an exported "
                    "detector's directory.",
                    remedy=Remedy.EXPORT_A_DETECTOR,
                )
            exported = ExportedDetector.read(directory)
            exported.verify()
        return exported, read_graph(exported), exported.golden_objects()


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
