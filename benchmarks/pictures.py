"""As many different photos as a benchmark needs, from the examples."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

EXAMPLES = Path(__file__).parents[1] / "examples" / "photos"


def example_photos() -> dict[str, bytes]:
    """The example photos by name."""
    return {path.name: path.read_bytes() for path in sorted(EXAMPLES.glob("*.jpg"))}


def altered_photos(count: int, *, seed: int = 0) -> list[bytes]:
    """`count` JPEGs of the examples' size: each an example cropped, mirrored and recoloured at random."""
    generator = np.random.default_rng(seed)
    sources = [Image.open(io.BytesIO(photo)).convert("RGB") for photo in example_photos().values()]
    return [_altered(sources, generator) for _ in range(count)]


def _altered(sources: Sequence[Image.Image], generator: np.random.Generator) -> bytes:
    source = sources[generator.integers(len(sources))]
    width, height = source.size
    left, top = (generator.random(2) * 0.3 * (width, height)).astype(int)
    right, bottom = ((1 - generator.random(2) * 0.3) * (width, height)).astype(int)
    picture = source.resize(source.size, Image.Resampling.BILINEAR, box=(int(left), int(top), int(right), int(bottom)))
    if generator.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    picture = ImageEnhance.Color(picture).enhance(float(generator.uniform(0.2, 1.8)))
    target = io.BytesIO()
    picture.save(target, "JPEG", quality=85)
    return target.getvalue()
