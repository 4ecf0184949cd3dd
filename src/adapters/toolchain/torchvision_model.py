"""Building torchvision detectors with verified weights."""

import json
import pickle
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
import torchvision
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import WeightsEnum, detection

from adapters.detectors.coco_labels import COCO_LABELS
from adapters.detectors.postprocessing import SCORE_FLOOR, LabelNames
from adapters.detectors.preprocessing import ModelInput
from adapters.detectors.torchvision_object_detector import TorchvisionModel
from adapters.inference.model_directory import require_digest, verified_sha256
from domain.errors import ModelError

NO_LABEL = ("__background__", "no person", "N/A", "")
"""What torchvision's lists of categories, and a labels file, call a class number that is no label."""

MOST_DETECTIONS = 1000
"""A picture, before labels are chosen from; torchvision's own limits (100 to 300) would count unwanted ones too."""

TRAINED_WITHOUT_EPSILON = {
    ("fasterrcnn_resnet50_fpn", "COCO_V1"),
    ("keypointrcnn_resnet50_fpn", "COCO_V1"),
    ("maskrcnn_resnet50_fpn", "COCO_V1"),
    ("retinanet_resnet50_fpn", "COCO_V1"),
}
"""Published weights whose batch normalisation has no epsilon; torchvision's builders set it to 0 for them too."""

BESIDES_BOXES = ("mask_roi_pool", "mask_head", "mask_predictor", "keypoint_roi_pool", "keypoint_head")
"""Parts of a model that compute masks or keypoints for every box, which are not used here."""


def load_torchvision_model(
    name: str,
    *,
    weights: str = "DEFAULT",
    checkpoint: Path | None = None,
    checkpoint_sha256: str | None = None,
    labels_file: Path | None = None,
    cache: Path | None = None,
) -> TorchvisionModel:
    """Build a detector and load its weights, verified.

    `name` is that of a builder in `torchvision.models.detection`. The weights are those in `checkpoint` (safetensors,
    or a torch file of a state dict or of torchvision's own training); else torchvision's published ones called
    `weights`, kept in `cache` (None: torch's own), whose address says the beginning of their digest.
    `checkpoint_sha256` is verified too, before anything is loaded. `labels_file` names the classes, one a line by
    class number from 0; `__background__` and `N/A` are no labels. Without it the names are those in the metadata
    `labels` of a safetensors file (a JSON list), else those of the published weights, else COCO's.

    Raises ModelError: an unknown name, or a digest that is none, before anything is fetched; weights missing, altered,
    or not of this model; labels that cannot be read.
    """
    require_digest(checkpoint_sha256)
    published = _published_weights(name)
    licence = "unknown" if checkpoint else "bsd-3-clause"
    if checkpoint is None:
        checkpoint, prefix = _fetch(name, published, weights, cache)
        verified_sha256(checkpoint, prefix)
    digest = verified_sha256(checkpoint, checkpoint_sha256)
    known = next((member for member in published.values() if digest.startswith(_digest_prefix(member))), None)
    state, labels = _load(checkpoint)
    if labels_file is not None:
        labels = _labels_in(labels_file)
    if labels is None:
        labels = COCO_LABELS if known is None else _names(known.meta["categories"])
    module = untrained(name, classes=len(labels))
    _load_into(module, state, checkpoint, name=name, classes=len(labels))
    if known is not None and (name, known.name) in TRAINED_WITHOUT_EPSILON:
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eps = 0.0
    return TorchvisionModel(
        name=name,
        module=module.eval(),
        names=labels,
        model_input=_model_input(module),
        weights_digest=digest,
        licence=licence,
    )


def detector_names() -> list[str]:
    """The builders in `torchvision.models.detection`."""
    return list(torchvision.models.list_models(module=detection))


def _published_weights(name: str) -> Mapping[str, WeightsEnum]:
    """The members of a builder's weights enum. Raises ModelError: no such builder."""
    names = detector_names()
    if name not in names:
        near = get_close_matches(name, names, n=3) or names
        raise ModelError(f"torchvision has no detector {name!r}: choose {', '.join(near)}.")
    return dict(torchvision.models.get_model_weights(name).__members__)


def _digest_prefix(member: WeightsEnum) -> str:
    """The beginning of the SHA-256 that the address of published weights ends in. Raises ModelError."""
    found = re.search(r"-([0-9a-f]{8,})\.", Path(urlparse(member.url).path).name)
    if found is None:
        raise ModelError(f"torchvision states no digest for {member}: give a local checkpoint with its SHA-256.")
    return found.group(1)


def _fetch(name: str, published: Mapping[str, WeightsEnum], weights: str, cache: Path | None) -> tuple[Path, str]:
    """The local copy of published weights, downloaded unless the cache has it, and how its digest begins."""
    if weights not in published:
        raise ModelError(f"torchvision publishes no weights {weights!r} of {name}: choose {', '.join(published)}.")
    member = published[weights]
    prefix = _digest_prefix(member)
    directory = Path(torch.hub.get_dir()) / "checkpoints" if cache is None else cache
    path = directory / Path(urlparse(member.url).path).name
    if not path.is_file():
        try:
            directory.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(member.url, str(path), hash_prefix=prefix, progress=False)
        except (OSError, RuntimeError) as error:
            raise ModelError(
                f"The weights of {name} could not be fetched from {member.url} ({error}), and {directory} does not "
                "hold them. Run the same where there is a network and bring that directory here, or name a local "
                "checkpoint file."
            ) from error
    return path, prefix


def _load(path: Path) -> tuple[Mapping[str, Tensor], LabelNames | None]:
    """The weights in a checkpoint, and the label names in its metadata. Runs no code of the file's."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
            labels = _names(json.loads(metadata["labels"])) if "labels" in metadata else None
            return load_file(path), labels
        state = torch.load(path, map_location="cpu", weights_only=True)
        return state["model"] if isinstance(state.get("model"), Mapping) else state, None
    except (OSError, EOFError, RuntimeError, AttributeError, ValueError, SafetensorError) as error:
        raise ModelError(f"The checkpoint {path} cannot be read as weights: {error}") from error
    except pickle.UnpicklingError as error:
        raise ModelError(f"The checkpoint {path} holds something else than weights, and is not loaded.") from error


def _labels_in(path: Path) -> LabelNames:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"The labels file {path} cannot be read: {error}") from error
    names = _names(lines)
    if not any(names):
        raise ModelError(f"The labels file {path} names no label: write one a line, by class number from 0.")
    return names


def _names(categories: list[Any]) -> LabelNames:
    return tuple(None if str(name).strip() in NO_LABEL else str(name).strip() for name in categories)


def untrained(name: str, *, classes: int) -> nn.Module:
    """A detector with random weights, set to answer all that callers may select from."""
    module: nn.Module = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=classes)
    selecting: Any = getattr(module, "roi_heads", module)  # of the second stage, where there are two
    selecting.score_thresh = SCORE_FLOOR
    selecting.detections_per_img = MOST_DETECTIONS
    return module


def _load_into(module: nn.Module, state: Mapping[str, Tensor], path: Path, *, name: str, classes: int) -> None:
    try:
        # A dict without torch's own annotations: with them, batch counters that frozen layers lack would be missed.
        module.load_state_dict(dict(state))
    except (RuntimeError, TypeError) as error:
        first, *more = str(error).splitlines()
        raise ModelError(
            f"The checkpoint {path} does not fit {name} with {classes} classes: {(more or [first])[0].strip()} "
            "If it was trained on other labels than COCO's, give its labels file."
        ) from error
    if not all(torch.isfinite(value).all() for value in module.state_dict().values()):
        raise ModelError(f"The checkpoint {path} holds values that are not finite: it is damaged.")
    for part in BESIDES_BOXES:
        if hasattr(module, "roi_heads") and hasattr(module.roi_heads, part):
            setattr(module.roi_heads, part, None)


def _model_input(module: nn.Module) -> ModelInput:
    transform: Any = module.transform
    width, height = transform.fixed_size or (transform.min_size[-1],) * 2
    return ModelInput(width=int(width), height=int(height), fit="own")
