"""Detection by torch: any torchvision detector, on the CPU or CUDA."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from typing_extensions import override

from adapters.detectors.detection_pipeline import DetectionPipeline, LoadedDetector, PipelineObjectDetector
from adapters.detectors.golden_picture import agree, golden_picture
from adapters.detectors.postprocessing import EVERYTHING, LabelNames, RawDetections, label_names
from adapters.detectors.preprocessing import ModelInput, Pixels
from adapters.inference.torch_device import present_device
from domain.errors import ModelError
from domain.models import ModelDescription


@dataclass(frozen=True, kw_only=True)
class TorchvisionModel:
    """A detector on the CPU in f32, with its weights, in evaluation mode."""

    name: str
    module: nn.Module
    """Takes a list of float pictures, shape (3, height, width), values 0..1; gives boxes, scores and labels for each.
    It resizes and normalises by itself; it drops confidences below SCORE_FLOOR."""
    names: LabelNames
    model_input: ModelInput
    weights_digest: str
    """SHA-256 (hex) of the checkpoint."""
    licence: str
    """SPDX identifier of the weights, in lower case; `unknown` where that is not known."""


class TorchvisionObjectDetector(PipelineObjectDetector):
    """Runs a torchvision detector in eager torch, in f32.

    `load` gives the model, or raises ModelError. `device` is `cpu`, `cuda` or `cuda:<n>`. `threads` 0 leaves their
    number to torch; any other sets it for the whole process.
    """

    def __init__(self, load: Callable[[], TorchvisionModel], *, device: str = "cpu", threads: int = 0) -> None:
        super().__init__()
        self._load_model = load
        self._device = device
        self._threads = threads

    @override
    def _load(self) -> LoadedDetector:
        device = present_device(self._device)
        if self._threads:
            torch.set_num_threads(self._threads)
        model = self._load_model()
        # On the CPU this is the warm-up; elsewhere also what the device has to agree with.
        pipeline = torch_pipeline(model, torch.device("cpu"))
        expected = pipeline.detect_now(golden_picture(), EVERYTHING)
        if device.type != "cpu":
            pipeline = torch_pipeline(model, device)
            if not agree(expected, pipeline.detect_now(golden_picture(), EVERYTHING)):
                raise ModelError(f"torch on {device} detects other objects in the golden picture than on the CPU.")
        return LoadedDetector(
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
