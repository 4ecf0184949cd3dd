"""The devices that torch has."""

import torch

from domain.errors import ModelError


def present_device(name: str) -> torch.device:
    """The device called `cpu`, `cuda` or `cuda:<n>`, which is there. Raises ModelError."""
    try:
        device = torch.device(name.lower())
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ModelError(f"There is no device {name!r} for torch: choose cpu, cuda or cuda:<n>.")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise ModelError(f"The device {name} is absent: torch sees {count} CUDA devices. Choose cpu, or mend it.")
        return torch.device("cuda", device.index or 0)
    return torch.device("cpu")
