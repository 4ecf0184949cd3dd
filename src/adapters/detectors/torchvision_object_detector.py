"""Detection by torch: any torchvision detector, on the CPU or CUDA."""

import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from typing_extensions import override

from adapters.detectors.detection_pipeline import DetectionPipeline
from adapters.detectors.golden_picture import agree, golden_picture
from adapters.detectors.postprocessing import EVERYTHING, RawDetections, Selection, label_names
from adapters.detectors.preprocessing import Pixels
from adapters.detectors.torchvision_model import TorchvisionModel, load_torchvision_model
from adapters.inference.torch_device import present_device
from domain.errors import DetectorUnavailableError, ModelError
from domain.images import DetectedObject
from domain.models import ModelDescription
from domain.ports.object_detector import ObjectDetector
from domain.raster import RasterImage


class _Opened(NamedTuple):
    description: ModelDescription
    labels: tuple[str, ...]
    pipeline: DetectionPipeline


class TorchvisionObjectDetector(ObjectDetector):
    """Runs a torchvision detector in eager torch, in f32.

    `model`, `weights`, `checkpoint`, `checkpoint_sha256`, `labels_file` and `cache` are those of
    `load_torchvision_model`. `device` is `cpu`, `cuda` or `cuda:<n>`. `threads` 0 leaves their number to torch; any
    other sets it for the whole process.
    """

    def __init__(
        self,
        *,
        model: str,
        weights: str = "DEFAULT",
        checkpoint: Path | None = None,
        checkpoint_sha256: str | None = None,
        labels_file: Path | None = None,
        device: str = "cpu",
        threads: int = 0,
        cache: Path | None = None,
    ) -> None:
        self._model = model
        self._weights = weights
        self._checkpoint = checkpoint
        self._checkpoint_sha256 = checkpoint_sha256
        self._labels_file = labels_file
        self._device = device
        self._threads = threads
        self._cache = cache
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
        device = present_device(self._device)
        if self._threads:
            torch.set_num_threads(self._threads)
        model = load_torchvision_model(
            self._model,
            weights=self._weights,
            checkpoint=self._checkpoint,
            checkpoint_sha256=self._checkpoint_sha256,
            labels_file=self._labels_file,
            cache=self._cache,
        )
        # On the CPU this is the warm-up; elsewhere also what the device has to agree with.
        pipeline = torch_pipeline(model, torch.device("cpu"))
        expected = pipeline.detect_now(golden_picture(), EVERYTHING)
        if device.type != "cpu":
            pipeline = torch_pipeline(model, device)
            if not agree(expected, pipeline.detect_now(golden_picture(), EVERYTHING)):
                raise ModelError(f"torch on {device} detects other objects in the golden picture than on the CPU.")
        return _Opened(
            description=ModelDescription(
                model=model.name,
                weights_digest=model.weights_digest,
                runtime="torch",
                device=str(device),
                precision="f32",
                input_width=model.model_input.width,
                input_height=model.model_input.height,
            ),
            labels=label_names(model.names),
            pipeline=pipeline,
        )


class TorchRunner:
    """A torchvision detector on a device."""

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        self._module = module.to(device)
        self._device = device

    def __call__(self, pixels: Pixels) -> RawDetections:
        """What the model computes for pixels of shape (height, width, 3)."""
        with torch.inference_mode():
            picture = torch.tensor(pixels, device=self._device).permute(2, 0, 1).float() / 255
            (found,) = self._module([picture])
            boxes, scores, labels = (found[name].cpu().numpy() for name in ("boxes", "scores", "labels"))
        return RawDetections(boxes=boxes, scores=scores, labels=labels)


def torch_pipeline(model: TorchvisionModel, device: torch.device) -> DetectionPipeline:
    """The model, moved to a device, from rasters to objects."""
    return DetectionPipeline(
        model_input=model.model_input,
        names=model.names,
        infer=TorchRunner(model.module, device),
        name="torchvision-detector",
    )
