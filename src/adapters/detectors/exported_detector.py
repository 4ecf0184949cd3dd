"""A directory that holds a detector for OpenVINO, and the manifest that says what is in it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openvino

from adapters.detectors import golden_picture
from adapters.detectors.postprocessing import LabelNames
from adapters.detectors.preprocessing import ModelInput
from adapters.inference.weight_files import sha256_of, verified_sha256
from domain.errors import ModelError
from domain.images import DetectedObject

MANIFEST = "manifest.json"
GRAPH = "openvino_model.xml"
WEIGHTS = "openvino_model.bin"
GOLDEN = "golden.json"
FILES = (GRAPH, WEIGHTS, GOLDEN)

FORMAT = 1
"""Of the manifest."""

PIXELS = "pixels"
"""The graph's input: uint8, shape (1, height, width, 3), RGB."""
OUTPUTS = ("boxes", "scores", "labels")
"""The graph's outputs, as in RawDetections: after non-maximum suppression, of confidences from SCORE_FLOOR up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedDetector:
    """What the manifest of an exported detector says. The files themselves are read by the methods."""

    directory: Path
    model: str
    weights_digest: str
    """SHA-256 (hex) of the checkpoint that it was exported from."""
    names: LabelNames
    model_input: ModelInput
    licence: str
    made_with: Mapping[str, str]
    """Versions of what exported it."""
    sha256: Mapping[str, str]
    """Of each of `FILES`, hex."""

    def verify(self) -> None:
        """Raise ModelError, naming the file, if one is missing or not what was exported."""
        for name in FILES:
            verified_sha256(self.directory / name, self.sha256[name])

    def graph(self) -> openvino.Model:
        """The graph, from `PIXELS` to `OUTPUTS`. Raises ModelError."""
        try:
            return openvino.Core().read_model(self.directory / GRAPH, self.directory / WEIGHTS)
        except RuntimeError as error:
            raise ModelError(f"OpenVINO cannot read the model in {self.directory}: {error}") from error

    def golden_objects(self) -> Sequence[DetectedObject]:
        """What the reference finds in the golden picture, best first. Raises ModelError."""
        return golden_picture.from_json(self.directory / GOLDEN)

    @classmethod
    def write(
        cls,
        directory: Path,
        *,
        graph: openvino.Model,
        golden: Sequence[DetectedObject],
        model: str,
        weights_digest: str,
        names: LabelNames,
        model_input: ModelInput,
        licence: str,
        made_with: Mapping[str, str],
    ) -> "ExportedDetector":
        """Write all files of a detector, weights in 16 bits, into `directory`, which exists."""
        openvino.save_model(graph, directory / GRAPH, compress_to_fp16=True)
        (directory / GOLDEN).write_text(golden_picture.as_json(golden), encoding="utf-8")
        content = {
            "format": FORMAT,
            "model": model,
            "weights_digest": weights_digest,
            "labels": list(names),
            "input": model_input.as_mapping(),
            "licence": licence,
            "made_with": dict(made_with),
            "sha256": {name: sha256_of(directory / name) for name in FILES},
        }
        (directory / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        return cls.read(directory)

    @classmethod
    def read(cls, directory: Path) -> "ExportedDetector":
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
                names=tuple(None if name is None else str(name) for name in stored["labels"]),
                model_input=ModelInput.from_mapping(stored["input"]),
                licence=str(stored["licence"]),
                made_with=dict(stored["made_with"]),
                sha256={name: str(stored["sha256"][name]) for name in FILES},
            )
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{path} is damaged ({error!r}): export the model again.") from error
