"""How many pictures an encoder runs together at most."""

LEAST_ON_OPENVINO = 8
"""Larger batches gained nothing: 229 pictures a second at 4, 231 at 8, 240 at 32 (two cores, bf16)."""

ON_CPU_IN_TORCH = 8
"""Eager torch gains little above 8, and loses at 32, where every layer's memory goes back to the system."""

ON_CUDA = 32


def openvino_batch(streams: int) -> int:
    """On OpenVINO: enough to keep all of the device's streams busy."""
    return max(LEAST_ON_OPENVINO, 2 * streams)


def torch_batch(device_type: str) -> int:
    """In torch, on a device of this type."""
    return ON_CPU_IN_TORCH if device_type == "cpu" else ON_CUDA
