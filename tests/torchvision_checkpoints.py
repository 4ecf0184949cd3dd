"""Checkpoints of real architectures with seeded random weights, scaled so that they see a few things clearly."""

from pathlib import Path

import torch
from torch import Tensor, nn

from adapters.toolchain.torchvision_model import untrained
from tests.photos import photo

SPREAD = 4.0
"""Standard deviation of the class logits."""

CLEAR = 0.98
"""The part of the candidates that are background."""


def seeded_detector(name: str, *, classes: int = 91, seed: int = 7) -> nn.Module:
    torch.manual_seed(seed)
    module = untrained(name, classes=classes).eval()
    layers = [layer for path, layer in module.named_modules() if _gives_class_logits(path, layer)]
    assert layers
    logits: dict[nn.Module, Tensor] = {}
    for layer in layers:
        layer.register_forward_hook(lambda layer, _, output: logits.__setitem__(layer, output))
    pictures = [torch.tensor(photo(name).pixels).permute(2, 0, 1).float() / 255 for name in ("coffee", "chelsea")]
    with torch.inference_mode():
        _normalise_activations(module, pictures)
        module(pictures[:1])
        rows = {layer: _by_class(output, classes) for layer, output in logits.items()}
        for layer in layers:
            # Centred: random layers mostly add the same to every place.
            centre, spread = rows[layer].mean(0), rows[layer].std(0)
            scale = SPREAD / spread
            repeats = layer.bias.numel() // classes
            layer.weight.mul_(scale.repeat(repeats).view(-1, *[1] * (layer.weight.ndim - 1)))
            layer.bias.copy_(((layer.bias.view(-1, classes) - centre) * scale).flatten())
            best = ((rows[layer] - centre) * scale)[:, 1:].max(1).values
            layer.bias.view(-1, classes)[:, 0] += best.quantile(CLEAR)
            layer._forward_hooks.clear()
    return module


def save_torch(name: str, path: Path, *, classes: int = 91) -> Path:
    torch.save(seeded_detector(name, classes=classes).state_dict(), path)
    return path


def _normalise_activations(module: nn.Module, pictures: list[Tensor]) -> None:
    """Let batch normalisation learn what to normalise; through random layers without it, pictures fade away."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in layers:
        layer.momentum = 1.0
        layer.train()
    module(pictures)
    for layer in layers:
        layer.eval()


def _gives_class_logits(path: str, layer: nn.Module) -> bool:
    last = path.endswith("cls_score") or ("classification_head.module_list" in path and isinstance(layer, nn.Conv2d))
    return last and getattr(layer, "bias", None) is not None


def _by_class(output: Tensor, classes: int) -> Tensor:
    """Logits as (candidates, classes)."""
    if output.ndim == 4:
        output = output.permute(0, 2, 3, 1)
    return output.reshape(-1, classes)
