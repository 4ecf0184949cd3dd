"""Turning a torchvision detector into what `OpenVinoObjectDetector` runs. Needs torch."""

import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.onnx.operators import shape_as_tensor
from torchvision.models.detection import transform
from torchvision.ops import boxes, nms

from adapters.detectors.detection_pipeline import DetectionPipeline
from adapters.detectors.exported_detector import OUTPUTS, PIXELS, ExportedDetector
from adapters.detectors.golden_picture import agreement, golden_picture
from adapters.detectors.openvino_object_detector import OpenVinoRunner
from adapters.detectors.postprocessing import EVERYTHING
from adapters.detectors.torchvision_object_detector import TorchvisionModel, torch_pipeline
from adapters.inference.model_directory import new_directory
from adapters.inference.openvino_graph import compile_graph, read_graph
from domain.errors import ModelError
from domain.geometry import BoundingBox
from domain.images import DetectedObject
from domain.raster import RasterImage

OPSET = 17
"""Of ONNX: the highest that torch's tracing exporter writes, which alone exports these models."""

LEAST_SHARE = 0.9
"""Of torch's best objects, those that OpenVINO in f32 must find again, and the reverse."""

ABOVE_ROUNDING = 1 + 5e-7
"""A factor that makes up for what 32-bit arithmetic may lose, and moves no side by as much as a thousandth pixel."""

LIBRARIES = ("onnx", "openvino", "torch", "torchvision")


def export_detector(directory: Path, load: Callable[[], TorchvisionModel]) -> ExportedDetector:
    """Write `directory`: graph, weights (fp16), golden detections and manifest. All of it, or nothing.

    Nothing is written unless OpenVINO in f32 finds what torch does, in the golden picture and in parts of it.

    Raises ModelError: as `load`; a model that cannot be converted or loses too much; a directory that exists.
    """
    if directory.exists():
        raise ModelError(f"{directory} exists: remove it first, or choose another place.")
    source = load()
    pipeline = torch_pipeline(source, torch.device("cpu"))
    expected = [pipeline.detect_now(picture, EVERYTHING) for picture in _test_pictures()]
    with new_directory(directory) as new:
        written = ExportedDetector.write(
            new,
            graph=converted(source),
            golden=expected[0],
            model=source.name,
            weights_digest=source.weights_digest,
            names=source.names,
            model_input=source.model_input,
            licence=source.licence,
            made_with={name: version(name) for name in LIBRARIES},
        )
        share = _share(written, expected)
        if share < LEAST_SHARE:
            raise ModelError(
                f"Nothing is written: the exported model and torch agree on {share:.0%} of the objects that they find, "
                f"and must on {LEAST_SHARE:.0%}."
            )
    return ExportedDetector.read(directory)


class _Graph(nn.Module):
    """What an ExportedDetector's graph computes."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        (found,) = self.module([pixels[0].permute(2, 0, 1).float() / 255])
        return tuple(found[name] for name in OUTPUTS)


def converted(source: TorchvisionModel) -> openvino.Model:
    """The graph for OpenVINO, for pictures of any size. Raises ModelError."""
    example = torch.tensor(golden_picture().pixels[np.newaxis])
    try:
        with (
            tempfile.TemporaryDirectory() as place,
            warnings.catch_warnings(),
            _exact_in_openvino(),
            torch.inference_mode(),
        ):
            file = Path(place) / "detector.onnx"
            # It traces, and says so at length; what it takes for constant is checked by the comparison below.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _Graph(source.module).eval(),
                (example,),
                file,
                dynamo=False,
                opset_version=OPSET,
                input_names=[PIXELS],
                output_names=list(OUTPUTS),
                dynamic_axes={PIXELS: {1: "height", 2: "width"}, **{name: {0: "objects"} for name in OUTPUTS}},
            )
            return openvino.Core().read_model(file)
    except Exception as error:  # the converters' errors have no common type
        raise ModelError(f"The model cannot be converted for OpenVINO: {error}") from error


@contextmanager
def _exact_in_openvino() -> Iterator[None]:
    """Have torchvision compute two things in ways that OpenVINO gets right, while a model is traced."""
    suppress, resize = boxes.batched_nms, transform._resize_image_and_masks
    boxes.batched_nms, transform._resize_image_and_masks = _suppress, _resize
    try:
        yield
    finally:
        boxes.batched_nms, transform._resize_image_and_masks = suppress, resize


def _suppress(of: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float) -> Tensor:
    """Non-maximum suppression of boxes (n, 4) within each group: they are moved apart, so that no groups overlap.

    Torchvision's own branches where there are no boxes, and of that branch's empty result OpenVINO's `If` makes one
    object with what memory holds, such as the last picture's confidence.
    """
    offsets = groups.to(of) * (of.max() + 1)
    kept: Tensor = nms(of + offsets[:, None], scores, iou_threshold)
    return kept


def _resize(
    image: Tensor, shorter: int, longer: int, target: None = None, fixed: tuple[int, int] | None = None
) -> tuple[Tensor, None]:
    """The picture (3, height, width) as large as `shorter` and `longer` allow, or of the `fixed` width and height.

    Torchvision rounds the product of side and scale down; OpenVINO multiplies by reciprocals, and gets 319.99998 for
    320, which moves every box a little.
    """
    options: dict[str, Any] = {"size": fixed[::-1]} if fixed else {"recompute_scale_factor": True}
    if not fixed:
        sides = shape_as_tensor(image)[-2:]
        scale = torch.min(shorter / sides.min().float(), longer / sides.max().float())
        options["scale_factor"] = scale * ABOVE_ROUNDING
    return interpolate(image[None], **options, mode="bilinear", align_corners=False)[0], target


def _share(written: ExportedDetector, expected: list[list[DetectedObject]]) -> float:
    """The mean agreement with torch over the test pictures, in f32."""
    compiled = compile_graph(read_graph(written), device="cpu", precision="f32")
    pipeline = DetectionPipeline(
        model_input=written.model_input,
        names=written.names,
        infer=OpenVinoRunner(compiled.model),
        name="exported-detector",
    )
    shares = [
        agreement(by_torch, pipeline.detect_now(picture, EVERYTHING))
        for picture, by_torch in zip(_test_pictures(), expected, strict=True)
    ]
    return float(np.mean(shares))


def _test_pictures() -> list[RasterImage]:
    """The golden picture, parts of it, and it turned: other shapes than the one that is traced."""
    whole = golden_picture()
    width, height = whole.width, whole.height
    parts = [
        whole.crop(BoundingBox(x_min=0, y_min=0, x_max=width * 0.75, y_max=height)),
        whole.crop(BoundingBox(x_min=width * 0.25, y_min=0, x_max=width, y_max=height * 0.6)),
    ]
    turned = np.ascontiguousarray(np.rot90(whole.pixels))
    return [whole, *parts, RasterImage(pixels=turned, width=height, height=width)]
