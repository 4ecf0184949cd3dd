"""What is known of the models and the repository that really run."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDescription:
    """A model as it runs here, for `GET /v1/models`: what really runs, not what was asked for."""

    model: str
    weights_digest: str
    """SHA-256 (hex) of the checkpoint that the weights come from."""
    runtime: str
    """`openvino` or `torch`."""
    device: str
    """`cpu`, `cuda:0`, ..."""
    precision: str
    """The arithmetic's type: `f32`, `bf16`, `int8`."""
    input_width: int
    """Pixels."""
    input_height: int
    """Pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryStatus:
    """A repository as it stands. `details` are the backend's own figures (segments, indexed vectors, ...)."""

    backend: str
    """`edge`, `qdrant` or `memory`."""
    images: int
    objects: int
    details: Mapping[str, str | int | float | bool] = field(default_factory=dict)


SUFFICIENT_SCALE = 2
"""A scaled-down decode keeps this many times a model's input side, so that resizing still averages real pixels."""


def sufficient_side(*models: ModelDescription | None) -> int:
    """How many pixels of a picture's shorter side the models that are there can make use of.

    Every use case that makes embeddings names encoder and detector, so that a picture always gives the same one.
    """
    return SUFFICIENT_SCALE * max(max(model.input_width, model.input_height) for model in models if model is not None)
