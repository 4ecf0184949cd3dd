"""The models at hand: those that ship with Lookalike, those exported here, and those fetched from the hub.

Nothing here imports torch or timm but `pull_model`, when it is called.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.encoders.exported_model import PACKAGED, ExportedModel
from adapters.inference.model_directory import MANIFEST
from domain.errors import ModelError

if TYPE_CHECKING:
    from adapters.encoders.image_features import TimmModel


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnableModel:
    """A model that `OpenVinoImageEncoder` runs as it is."""

    name: str
    """What to give as the encoder's `model`: a packaged name, or a path."""
    packaged: bool
    exported: ExportedModel


def runnable_models(directory: Path | None = None) -> list[RunnableModel]:
    """The packaged models, then those exported into subdirectories of `directory`, each by name.

    Raises ModelError where a manifest is damaged. Files' digests are verified when a model loads, not here.
    """
    found = []
    for place, packaged in ((PACKAGED, True), (directory, False)):
        if place is None:
            continue
        for manifest in sorted(place.glob(f"*/{MANIFEST}")):
            home = manifest.parent
            found.append(
                RunnableModel(
                    name=home.name if packaged else str(home), packaged=packaged, exported=ExportedModel.read(home)
                )
            )
    return found


def pull_model(
    name: str, *, revision: str | None = None, sha256: str | None = None, cache: Path | None = None
) -> "tuple[TimmModel, str | None]":
    """Fetch a timm model's weights into the cache (None: the hub client's own), verify them, and load them once.

    Also the hub's commit, to pin the model by; None for weights that are not the hub's.

    From then on `TimmImageEncoder` and `export_model` find them without a network, given the same name and revision.
    `revision` is a commit, tag or branch; `sha256` the digest that the weights must have, or its beginning (8 digits).

    Raises ModelError: a digest that is none, before anything is fetched; torch or timm are not installed, an unknown
    model, a hub out of reach, weights that are others.
    """
    try:
        from adapters.toolchain.hub import commit_of  # noqa: PLC0415 - the extra [torch]
        from adapters.toolchain.timm_model import load_timm_model  # noqa: PLC0415
    except ImportError as error:
        raise ModelError(f"Pulling needs torch and timm ({error}): pip install '.[torch]' in the clone.") from error
    model = load_timm_model(name, revision=revision, checkpoint_sha256=sha256, cache=cache)
    return model, commit_of(model.checkpoint)
