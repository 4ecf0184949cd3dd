"""Encoding by torch: any timm model, on the CPU or CUDA."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, get_args

import numpy as np
import torch
from typing_extensions import override

from adapters.encoders.batch_size import torch_batch
from adapters.encoders.encoding_pipeline import EncodingPipeline, LoadedEncoder, PipelineImageEncoder
from adapters.encoders.golden_pictures import check_parity, golden_pictures
from adapters.encoders.image_features import ImageFeatures, TimmModel
from adapters.encoders.preprocessing import Pixels
from adapters.inference.torch_device import present_device
from domain.embeddings import Embeddings
from domain.errors import ModelError
from domain.models import ModelDescription

Precision = Literal["auto", "f32", "bf16"]


class TimmImageEncoder(PipelineImageEncoder):
    """Runs a timm model in eager torch.

    `load` gives the model on the CPU in f32, with verified weights, or raises ModelError. `device` is `cpu`, `cuda` or
    `cuda:<n>`. `precision` auto is f32. `threads` 0 leaves their number to torch; any other sets it for the whole
    process.
    """

    def __init__(
        self, load: Callable[[], TimmModel], *, device: str = "cpu", precision: Precision = "auto", threads: int = 0
    ) -> None:
        super().__init__()
        if precision not in get_args(Precision):
            raise ModelError(f"torch takes precision {', '.join(get_args(Precision))}, not {precision!r}.")
        self._load_model = load
        self._device = device
        self._precision: Precision = precision
        self._threads = threads

    @override
    def _load(self) -> LoadedEncoder:
        device = present_device(self._device)
        if self._threads:
            torch.set_num_threads(self._threads)
        model = self._load_model()
        pixels = model.preprocessing.prepared(golden_pictures())
        expected = _golden_features(model, pixels)
        runner = TorchRunner(model.features, device=device, precision=self._precision)
        check_parity(runner(pixels), expected, runtime=f"torch on {device} in {runner.precision}")
        pipeline = EncodingPipeline(
            preprocessing=model.preprocessing,
            dimension=model.features.dimension,
            infer=runner,
            batch=torch_batch(device.type),
            name="timm-encoder",
        )
        description = ModelDescription(
            model=model.name,
            weights_digest=model.weights_digest,
            runtime="torch",
            device=str(device),
            precision=runner.precision,
            input_width=model.preprocessing.size,
            input_height=model.preprocessing.size,
        )
        return LoadedEncoder(model.space, description, pipeline)


class TorchRunner:
    """A model on a device, in a precision."""

    def __init__(self, features: ImageFeatures, *, device: torch.device, precision: Precision) -> None:
        self._device = device
        self.precision = "bf16" if precision == "bf16" else "f32"
        if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
            raise ModelError(f"The device {device} does not compute in bf16: choose precision f32.")
        self._features = features.to(device).to(memory_format=torch.channels_last)

    def __call__(self, pixels: Pixels) -> Embeddings:
        """L2-normalised vectors, shape (n, dimension), of pixels (n, size, size, 3)."""
        with torch.inference_mode(), self._arithmetic():
            embeddings: Embeddings = self._features(torch.from_numpy(pixels).to(self._device)).cpu().numpy()
        return embeddings

    def _arithmetic(self) -> AbstractContextManager[object]:
        if self.precision == "bf16":
            return torch.autocast(self._device.type, dtype=torch.bfloat16)
        return nullcontext()


def _golden_features(model: TimmModel, pixels: Pixels) -> Embeddings:
    """What the golden pictures should give, computed in f32.

    Here and now, they still tell whether another device or precision computes what the CPU does in f32.
    """
    expected = TorchRunner(model.features, device=torch.device("cpu"), precision="f32")(pixels)
    if not np.isfinite(expected).all():
        raise ModelError(f"The model {model.name} computes values that are not finite: its weights are damaged.")
    return expected
