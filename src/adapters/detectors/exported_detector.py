"""A directory that holds a detector for OpenVINO."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import openvino
from typing_extensions import override

from adapters.detectors import golden_picture
from adapters.detectors.postprocessing import LabelNames
from adapters.detectors.preprocessing import ModelInput
from adapters.inference.model_directory import GRAPH, ModelDirectory
from domain.images import DetectedObject

GOLDEN = "golden.json"

PIXELS = "pixels"
"""The graph's input: uint8, shape (1, height, width, 3), RGB."""
OUTPUTS = ("boxes", "scores", "labels")
"""The graph's outputs, as in RawDetections: after non-maximum suppression, of confidences from SCORE_FLOOR up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedDetector(ModelDirectory):
    """What the manifest of an exported detector says. Its graph leads from `PIXELS` to `OUTPUTS`."""

    FILES: ClassVar = (*ModelDirectory.FILES, GOLDEN)

    names: LabelNames
    model_input: ModelInput

    @staticmethod
    @override
    def _own_fields(stored: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "names": tuple(None if name is None else str(name) for name in stored["labels"]),
            "model_input": ModelInput.from_mapping(stored["input"]),
        }

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
        names: LabelNames,
        model_input: ModelInput,
        model: str,
        weights_digest: str,
        licence: str,
        made_with: Mapping[str, str],
    ) -> "ExportedDetector":
        """Write all files of a detector, weights in 16 bits, into `directory`, which exists."""
        openvino.save_model(graph, directory / GRAPH, compress_to_fp16=True)
        (directory / GOLDEN).write_text(golden_picture.as_json(golden), encoding="utf-8")
        return cls.write_manifest(
            directory,
            model=model,
            weights_digest=weights_digest,
            licence=licence,
            made_with=made_with,
            labels=list(names),
            input=model_input.as_mapping(),
        )
