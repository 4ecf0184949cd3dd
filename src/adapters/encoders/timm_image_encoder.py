"""Encoding by torch: any timm model, on the CPU or CUDA."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from typing_extensions import override

from adapters.encoders.encoding_pipeline import EncodingPipeline
from adapters.encoders.exported_model import ExportedModel, packaged_names
from adapters.encoders.golden_pictures import check_parity, golden_pictures
from adapters.encoders.preprocessing import Pixels
from adapters.encoders.timm_model import ImageFeatures, PoolingChoice, TimmModel, load_timm_model
from adapters.inference.torch_device import present_device
from domain.embeddings import Embeddings, EmbeddingSpace
from domain.errors import EncoderUnavailableError, ModelError
from domain.models import ModelDescription
from domain.ports.image_encoder import ImageEncoder
from domain.raster import RasterImage

Precision = Literal["auto", "f32", "bf16"]

CPU_BATCH = 8
"""On the CPU, eager torch gains little above 8, and loses at 32, where every layer's memory goes back to the system."""

CUDA_BATCH = 32


class _Opened(NamedTuple):
    model: TimmModel
    runner: "TorchRunner"
    pipeline: EncodingPipeline


class TimmImageEncoder(ImageEncoder):
    """Runs a timm model in eager torch.

    `model`, `checkpoint`, `checkpoint_sha256`, `revision`, `input_size`, `pooling` and `cache` are those of
    `load_timm_model`. `device` is `cpu`, `cuda` or `cuda:<n>`. `precision` auto is f32. `threads` 0 leaves their
    number to torch; any other sets it for the whole process.
    """

    def __init__(
        self,
        *,
        model: str,
        checkpoint: Path | None = None,
        checkpoint_sha256: str | None = None,
        revision: str | None = None,
        device: str = "cpu",
        precision: Precision = "auto",
        input_size: int | None = None,
        pooling: PoolingChoice = "auto",
        threads: int = 0,
        cache: Path | None = None,
    ) -> None:
        if precision not in get_args(Precision):
            raise ModelError(f"torch takes precision {', '.join(get_args(Precision))}, not {precision!r}.")
        self._model = model
        self._checkpoint = checkpoint
        self._checkpoint_sha256 = checkpoint_sha256
        self._revision = revision
        self._device = device
        self._precision: Precision = precision
        self._input_size = input_size
        self._pooling: PoolingChoice = pooling
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
    def space(self) -> EmbeddingSpace:
        return self._ready().model.space

    @property
    @override
    def description(self) -> ModelDescription:
        model, runner, _ = self._ready()
        return ModelDescription(
            model=model.name,
            weights_digest=model.weights_digest,
            runtime="torch",
            device=str(runner.device),
            precision=runner.precision,
            input_width=model.preprocessing.size,
            input_height=model.preprocessing.size,
        )

    @override
    async def encode(self, images: Sequence[RasterImage]) -> Embeddings:
        return await self._ready().pipeline.encode(images)

    def _ready(self) -> _Opened:
        if self._opened is None:
            raise EncoderUnavailableError("The encoder is not open.")
        return self._opened

    def _load(self) -> _Opened:
        device = present_device(self._device)
        if self._threads:
            torch.set_num_threads(self._threads)
        model = load_timm_model(
            self._model,
            checkpoint=self._checkpoint,
            checkpoint_sha256=self._checkpoint_sha256,
            revision=self._revision,
            input_size=self._input_size,
            pooling=self._pooling,
            cache=self._cache,
        )
        pixels = model.preprocessing.prepared(golden_pictures())
        expected = _golden_embeddings(model, pixels)
        runner = TorchRunner(model.features, device=device, precision=self._precision)
        check_parity(runner(pixels), expected, runtime=f"torch on {device} in {runner.precision}")
        pipeline = EncodingPipeline(
            preprocessing=model.preprocessing,
            dimension=model.features.dimension,
            infer=runner,
            batch=CPU_BATCH if device.type == "cpu" else CUDA_BATCH,
            name="timm-encoder",
        )
        return _Opened(model, runner, pipeline)


class TorchRunner:
    """A model on a device, in a precision."""

    def __init__(self, features: ImageFeatures, *, device: torch.device, precision: Precision) -> None:
        self.device = device
        self.precision = "bf16" if precision == "bf16" else "f32"
        if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
            raise ModelError(f"The device {device} does not compute in bf16: choose precision f32.")
        self._features = features.to(device).to(memory_format=torch.channels_last)

    def __call__(self, pixels: Pixels) -> Embeddings:
        """L2-normalised vectors, shape (n, dimension), of pixels (n, size, size, 3)."""
        with torch.inference_mode(), self._arithmetic():
            embeddings: Embeddings = self._features(torch.from_numpy(pixels).to(self.device)).cpu().numpy()
        return embeddings

    def _arithmetic(self) -> AbstractContextManager[object]:
        if self.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()


def _golden_embeddings(model: TimmModel, pixels: Pixels) -> Embeddings:
    """What the golden pictures should give: as stored with a packaged model of this space, else computed in f32.

    Computed here and now they still tell whether another device or precision computes what the CPU does in f32.
    """
    for name in packaged_names():
        packaged = ExportedModel.find(name)
        if packaged.space == model.space:
            return packaged.golden_embeddings()
    expected = TorchRunner(model.features, device=torch.device("cpu"), precision="f32")(pixels)
    if not np.isfinite(expected).all():
        raise ModelError(f"The model {model.name} computes values that are not finite: its weights are damaged.")
    return expected
