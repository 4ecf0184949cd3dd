"""The peers' model: what a tutorial makes of timm, PIL and the weights that Lookalike uses too."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from adapters.toolchain import efficientnet_lite_weights

SIZE = 320
DIMENSION = 1280
BATCH = 4
"""The best of 1, 2, 4, 8, 16 and 32 for eager torch with channels last, on two cores: see `choices.py`."""


class Features:
    """Eager torch in f32, without gradients."""

    def __init__(self, *, memory_format: torch.memory_format = torch.channels_last) -> None:
        model: Any = timm.create_model(efficientnet_lite_weights.MODEL, num_classes=0)
        published = torch.load(efficientnet_lite_weights.packaged_checkpoint(), weights_only=True)
        weights = efficientnet_lite_weights.renamed_for_timm(published, [len(stage) for stage in model.blocks])
        model.load_state_dict({name: value for name, value in weights.items() if not name.startswith("classifier.")})
        self._model = model.eval().to(memory_format=memory_format)
        self._memory_format = memory_format
        self([torch.zeros(3, SIZE, SIZE, dtype=torch.uint8)])  # the first call is slow

    def __call__(self, pictures: Sequence[Tensor]) -> NDArray[np.float32]:
        """L2-normalised vectors, shape (n, 1280), of preprocessed pictures."""
        with torch.inference_mode():
            batch = torch.stack(list(pictures)).to(memory_format=self._memory_format)
            features = self._model.forward_features((batch.float() - 127.5) / 127.5)
            pooled = features.clamp(min=1e-6).pow(3).mean((2, 3)).pow(1 / 3)  # GeM
            vectors: NDArray[np.float32] = torch.nn.functional.normalize(pooled).numpy()
        return vectors


def preprocess(content: bytes) -> Tensor:
    """A picture's bytes to uint8 of shape (3, 320, 320): upright, in RGB, the whole of it centred on white."""
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    pixels: Tensor = pil_to_tensor(ImageOps.pad(picture, (SIZE, SIZE), Image.Resampling.BICUBIC, color="white"))
    return pixels
