"""As many different photos as a benchmark needs, from the examples."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

EXAMPLES = Path(__file__).parents[1] / "examples" / "photos"

DRAWN = 1000
"""So many are drawn anew; beyond, their bytes are altered: another image for the index, the same work for everybody."""


def example_photos() -> dict[str, bytes]:
    """The example photos by name."""
    return {path.name: path.read_bytes() for path in sorted(EXAMPLES.glob("*.jpg"))}


def write_photos(directory: Path, count: int, *, seed: int = 0) -> Path:
    """Fill a new directory with `count` different JPEGs."""
    directory.mkdir(parents=True)
    for number, photo in enumerate(different_photos(count, seed=seed)):
        (directory / f"{number:06}.jpg").write_bytes(photo)
    return directory


def different_photos(count: int, *, seed: int = 0) -> Iterator[bytes]:
    """`count` JPEGs of the examples' size, no two with the same bytes."""
    drawn = altered_photos(min(count, DRAWN), seed=seed)
    yield from drawn
    for number in range(len(drawn), count):
        yield with_comment(drawn[number % len(drawn)], f"{seed}-{number}")


def with_comment(photo: bytes, comment: str) -> bytes:
    """The same picture in other bytes: a JPEG comment right after its start."""
    text = comment.encode()
    return photo[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2) + text + photo[2:]


def altered_photos(count: int, *, seed: int = 0) -> list[bytes]:
    """`count` JPEGs of the examples' size: each an example cropped, mirrored and recoloured at random."""
    generator = np.random.default_rng(seed)
    sources = [Image.open(io.BytesIO(photo)).convert("RGB") for photo in example_photos().values()]
    return [_altered(sources, generator) for _ in range(count)]


def _altered(sources: Sequence[Image.Image], generator: np.random.Generator) -> bytes:
    source = sources[int(generator.integers(len(sources)))]
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
