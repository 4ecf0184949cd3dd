"""A directory that holds an encoder for OpenVINO."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from typing_extensions import override

from adapters.encoders.preprocessing import Preprocessing
from adapters.inference.model_directory import MANIFEST, ModelDirectory
from domain.embeddings import Embeddings, EmbeddingSpace
from domain.errors import ModelError, Remedy
from domain.ports.image_decoder import DECODE_VERSION
from domain.scores import LikenessScale, LikenessScales

GOLDEN = "golden.npy"

PACKAGED = Path(__file__).parent / "models"
"""The models that ship with Lookalike, one directory each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedModel(ModelDirectory):
    """What the manifest of an exported encoder says. `model` is timm's name of it."""

    FILES: ClassVar = (*ModelDirectory.FILES, GOLDEN)

    dimension: int
    preprocessing: Preprocessing
    projection: str
    """SHA-256 (hex) of the layer that makes embeddings of features."""
    int8: bool
    """Whether weights and activations are of 8 bits; else weights of 16."""
    likeness: LikenessScales

    @staticmethod
    @override
    def _own_fields(stored: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "dimension": int(stored["dimension"]),
            "preprocessing": Preprocessing.from_mapping(stored["preprocessing"]),
            "projection": str(stored["projection"]),
            "int8": bool(stored["int8"]),
            "likeness": LikenessScales(**{of: LikenessScale(**scale) for of, scale in stored["likeness"].items()}),
        }

    @property
    def space(self) -> EmbeddingSpace:
        """The space of its embeddings, with pictures decoded as this version does."""
        return EmbeddingSpace(
            model=self.model,
            weights_digest=self.weights_digest,
            dimension=self.dimension,
            preprocessing=f"{self.preprocessing}, projected by {self.projection[:12]}{', int8' if self.int8 else ''}",
            decode_version=DECODE_VERSION,
        )

    def golden_embeddings(self) -> Embeddings:
        """The golden pictures' embeddings, shape (pictures, dimension): by torch in f32, or by an int8 graph itself.

        Raises ModelError.
        """
        try:
            stored: Embeddings = np.load(self.directory / GOLDEN, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ModelError(f"The golden embeddings {self.directory / GOLDEN} cannot be read: {error}") from error
        return stored

    @classmethod
    def find(cls, name: str) -> "ExportedModel":
        """The packaged model of this name, or the exported directory at this path.

        Raises ModelError: there is neither.
        """
        packaged = packaged_names()
        if name in packaged:
            return cls.read(PACKAGED / name)
        if (directory := Path(name).expanduser()).is_dir():
            return cls.read(directory)
        raise ModelError(
            f"There is no model {name!r} for OpenVINO: give {' or '.join(packaged)}, or the path of an exported "
            "model's directory.",
            remedy=Remedy.EXPORT_AN_ENCODER,
        )


def packaged_names() -> list[str]:
    """Names of the models that ship with Lookalike."""
    return sorted(path.parent.name for path in PACKAGED.glob(f"*/{MANIFEST}"))
