"""What the decode contract does not see: how much work and memory colours take."""

import tracemalloc

import numpy as np
import pytest
from PIL import Image, ImageCms

from adapters.decoding.colour import to_srgb
from tests.unit.adapters.decoding.pictures import nearly_srgb_profile, swapped_profile


@pytest.mark.parametrize("profile", [nearly_srgb_profile(), swapped_profile()], ids=["sRGB", "another"])
def test_a_profile_is_opened_once(profile: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.new("RGB", (8, 8), (200, 30, 30))
    image.info["icc_profile"] = profile
    first = to_srgb(image)

    def opens(_: object) -> None:
        pytest.fail("The profile is opened again.")

    monkeypatch.setattr(ImageCms, "ImageCmsProfile", opens)
    again = Image.new("RGB", (8, 8), (200, 30, 30))
    again.info["icc_profile"] = bytes(bytearray(profile))
    assert to_srgb(again).tobytes() == first.tobytes()


@pytest.mark.parametrize(("mode", "dtype"), [("F", np.float32), ("I", np.int32)])
def test_deep_grey_takes_little_more_than_it_is(mode: str, dtype: type[np.generic]) -> None:
    values = np.linspace(-1000, 1000, 1000 * 1000).reshape(1000, 1000).astype(dtype)
    image = Image.fromarray(values)
    assert image.mode == mode
    tracemalloc.start()
    try:
        grey = np.asarray(to_srgb(image))[..., 0]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * values.size
    assert (grey[0, 0], grey[-1, -1]) == (0, 255)
    assert (np.diff(grey.reshape(-1).astype(int)) >= 0).all()
