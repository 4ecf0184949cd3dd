"""A directory that holds a model for OpenVINO, and the manifest that says what is in it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adapters.encoders.preprocessing import Preprocessing
from adapters.inference.weight_files import sha256_of, verified_sha256
from domain.embeddings import Embeddings, EmbeddingSpace
from domain.errors import ModelError
from domain.ports.image_decoder import DECODE_VERSION

MANIFEST = "manifest.json"
GRAPH = "openvino_model.xml"
WEIGHTS = "openvino_model.bin"
GOLDEN = "golden.npy"
FILES = (GRAPH, WEIGHTS, GOLDEN)

FORMAT = 1
"""Of the manifest."""

PACKAGED = Path(__file__).parent / "models"
"""The models that ship with Lookalike, one directory each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedModel:
    """What the manifest of an exported model says. The files themselves are read by the methods."""

    directory: Path
    model: str
    """timm's name of it."""
    weights_digest: str
    """SHA-256 (hex) of the checkpoint that it was exported from."""
    dimension: int
    preprocessing: Preprocessing
    licence: str
    made_with: Mapping[str, str]
    """Versions of the libraries that exported it."""
    sha256: Mapping[str, str]
    """Of each of `FILES`, hex."""

    @property
    def space(self) -> EmbeddingSpace:
        """The space of its embeddings, with pictures decoded as this version does."""
        return EmbeddingSpace(
            model=self.model,
            weights_digest=self.weights_digest,
            dimension=self.dimension,
            preprocessing=str(self.preprocessing),
            decode_version=DECODE_VERSION,
        )

    @property
    def size_bytes(self) -> int:
        """Of all files on disk."""
        return sum(path.stat().st_size for path in self.directory.iterdir() if path.is_file())

    def verify(self) -> None:
        """Raise ModelError, naming the file, if one is missing or not what was exported."""
        for name in FILES:
            verified_sha256(self.directory / name, self.sha256[name])

    def golden_embeddings(self) -> Embeddings:
        """The golden pictures' embeddings by torch in f32, shape (pictures, dimension). Raises ModelError."""
        try:
            stored: Embeddings = np.load(self.directory / GOLDEN, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ModelError(f"The golden embeddings {self.directory / GOLDEN} cannot be read: {error}") from error
        return stored

    @classmethod
    def write(
        cls,
        directory: Path,
        *,
        model: str,
        weights_digest: str,
        dimension: int,
        preprocessing: Preprocessing,
        licence: str,
        made_with: Mapping[str, str],
    ) -> "ExportedModel":
        """Write the manifest of the files that are in `directory`, with their digests."""
        content = {
            "format": FORMAT,
            "model": model,
            "weights_digest": weights_digest,
            "dimension": dimension,
            "preprocessing": preprocessing.as_mapping(),
            "licence": licence,
            "made_with": dict(made_with),
            "sha256": {name: sha256_of(directory / name) for name in FILES},
        }
        (directory / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        return cls.read(directory)

    @classmethod
    def read(cls, directory: Path) -> "ExportedModel":
        """What the manifest in `directory` says. Raises ModelError; does not read the other files."""
        path = directory / MANIFEST
        try:
            stored: Any = json.loads(path.read_text(encoding="utf-8"))
            if stored["format"] != FORMAT:
                raise ModelError(f"{path} has format {stored['format']}, not {FORMAT}: export the model again.")
            return cls(
                directory=directory,
                model=str(stored["model"]),
                weights_digest=str(stored["weights_digest"]),
                dimension=int(stored["dimension"]),
                preprocessing=Preprocessing.from_mapping(stored["preprocessing"]),
                licence=str(stored["licence"]),
                made_with=dict(stored["made_with"]),
                sha256={name: str(stored["sha256"][name]) for name in FILES},
            )
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{path} is damaged ({error!r}): export the model again.") from error

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
            f"There is no model {name!r} for OpenVINO: give {' or '.join(packaged)}, or the path of a directory that "
            "`lookalike models export` wrote."
        )


def packaged_names() -> list[str]:
    """Names of the models that ship with Lookalike."""
    return sorted(path.parent.name for path in PACKAGED.glob(f"*/{MANIFEST}"))
