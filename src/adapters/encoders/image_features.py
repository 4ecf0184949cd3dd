"""A timm model as a graph from pixels to embeddings. Needs torch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adapters.encoders.preprocessing import GEM_POWER, Pooling, Preprocessing
from domain.embeddings import EmbeddingSpace
from domain.errors import ModelError
from domain.ports.image_decoder import DECODE_VERSION

GEM_FLOOR = 1e-6
"""Features below this count as it, since a power of a negative number has no root."""


class Backbone(nn.Module):
    """What we use of a timm model, for the type checker: timm has no common class (and only some have `blocks`)."""

    pretrained_cfg: dict[str, Any]
    num_features: int
    blocks: Any
    forward_features: Callable[[Tensor], Tensor]
    forward_head: Callable[..., Tensor]


class ImageFeatures(nn.Module):
    """uint8 pixels, shape (n, size, size, 3), to L2-normalised embeddings, shape (n, dimension), float32."""

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.backbone = backbone
        self.preprocessing = preprocessing
        self._pooling: Pooling = preprocessing.pooling
        self._channels_last_features = False
        self.register_buffer("mean", 255 * torch.tensor(preprocessing.mean).view(1, 3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(preprocessing.std).view(1, 3, 1, 1))
        self.eval()
        with torch.inference_mode():
            size = preprocessing.size
            self._prepare_pooling(torch.zeros((1, size, size, 3), dtype=torch.uint8))

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalise, extract, pool, normalise."""
        features = self._features(pixels)
        if self._pooling == "model":
            return nn.functional.normalize(self.backbone.forward_head(features, pre_logits=True).flatten(1).float())
        channels_first = features.permute(0, 3, 1, 2) if self._channels_last_features else features
        powers = channels_first.float().clamp(min=GEM_FLOOR).pow(GEM_POWER)
        whole = nn.functional.normalize(powers.mean((2, 3)).pow(1 / GEM_POWER))
        if self._pooling == "gem":
            return whole
        quarters = nn.functional.adaptive_avg_pool2d(powers, 2).pow(1 / GEM_POWER)
        return nn.functional.normalize(torch.cat((whole, nn.functional.normalize(quarters.flatten(1))), dim=1))

    def _features(self, pixels: Tensor) -> Tensor:
        normalised = (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std
        return self.backbone.forward_features(normalised)

    def _prepare_pooling(self, pixels: Tensor) -> None:
        """Find out which axes of the feature map are the picture's, and how long an embedding is."""
        features = self._features(pixels)
        if self._pooling != "model":
            channels = self.backbone.num_features
            if features.ndim != 4 or channels not in (features.shape[1], features.shape[3]):
                raise ModelError(
                    f"Pooling {self._pooling} needs a model with a feature map (a convolutional one): choose `model`."
                )
            self._channels_last_features = features.shape[1] != channels
        self.dimension = int(self(pixels).shape[1])


@dataclass(frozen=True, kw_only=True)
class TimmModel:
    """A model with its weights, and what identifies its embeddings."""

    name: str
    features: ImageFeatures
    preprocessing: Preprocessing
    checkpoint: Path
    weights_digest: str
    """SHA-256 (hex) of the checkpoint."""
    licence: str
    """SPDX identifier as timm or the hub states it, in lower case; `unknown` where they don't."""
    origin: str
    """Where the weights were found, for people."""

    @property
    def space(self) -> EmbeddingSpace:
        """The space of its embeddings."""
        return EmbeddingSpace(
            model=self.name,
            weights_digest=self.weights_digest,
            dimension=self.features.dimension,
            preprocessing=str(self.preprocessing),
            decode_version=DECODE_VERSION,
        )
