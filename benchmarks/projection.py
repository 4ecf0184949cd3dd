"""What projection and int8 gain or lose on your own photos: `python -m benchmarks.projection FOLDER`.

The packaged encoder beside the same model with its whole map pooled (GeM) and nothing behind it, in f32. The photos
stand in a folder for each kind, or are named `<kind>-<number>.jpg`; none may be among those that the projection was
fitted on. Needs the extra `torch`.
"""

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from adapters.encoders.exported_model import ExportedModel
from adapters.encoders.openvino_image_encoder import OpenVinoRunner
from adapters.inference.openvino_graph import read_graph
from adapters.toolchain.encoder_export import converted
from adapters.toolchain.photos import Photos
from adapters.toolchain.timm_model import load_timm_model
from domain.embeddings import Embeddings
from domain.raster import RasterImage

DEFAULT = "tf_efficientnet_lite1"
COPIES = ("crop", "rotation", "mirror", "jitter", "128 px JPEG 30", "screenshot")
NEIGHBOURS = 5
BOOTSTRAPS = 2_000
Measured = dict[str, NDArray[np.float64]]
"""A value for each photo."""


def main(folder: Path) -> None:
    """Print a table: each measure by pooling alone and by the encoder, and the difference with its 95 % interval."""
    photos = Photos.read(folder)
    # A photo that stands in no folder is its own subject, by its file name.
    kinds = np.array([subject.rsplit("-", 1)[0] if "." in subject else subject for subject in photos.subjects])
    random = np.random.default_rng(0)
    copies = [altered(raster, kind, random) for raster in photos.rasters for kind in COPIES]
    packaged = ExportedModel.find(DEFAULT)
    before, after = (
        measured(kinds, *(embed(packaged.preprocessing.prepared(rasters)) for rasters in (photos.rasters, copies)))
        for embed in (
            OpenVinoRunner(graph, device="cpu", precision="f32", threads=0)
            for graph in (converted(load_timm_model(DEFAULT).features), read_graph(packaged))
        )
    )
    print("| measure | pooling alone | packaged encoder | difference, 95 % |\n| --- | --- | --- | --- |")
    for name, values in before.items():
        drawn = random.integers(len(values), size=(BOOTSTRAPS, len(values)))
        low, high = np.quantile((after[name] - values)[drawn].mean(axis=1), (0.025, 0.975))
        print(f"| {name} | {values.mean():.3f} | {after[name].mean():.3f} | {low:+.3f} to {high:+.3f} |")


def measured(kinds: NDArray[Any], photos: Embeddings, copies: Embeddings) -> Measured:
    """P@5 by kind, leave-one-out, and whether each copy finds its photo first; `copies` has a photo's in a row."""
    cosines = photos @ photos.T
    np.fill_diagonal(cosines, -np.inf)
    nearest = np.argsort(-cosines, axis=1)[:, :NEIGHBOURS]
    found = (copies @ photos.T).argmax(axis=1).reshape(len(photos), len(COPIES)) == np.arange(len(photos))[
        :, np.newaxis
    ]
    by_kind = {f"recall@1 of copies: {name}": found[:, place].astype(float) for place, name in enumerate(COPIES)}
    return {
        f"P@{NEIGHBOURS} by kind": (kinds[nearest] == kinds[:, np.newaxis]).mean(axis=1),
        "recall@1 of copies": found.mean(axis=1),
    } | by_kind


def altered(raster: RasterImage, kind: str, random: np.random.Generator) -> RasterImage:
    """A copy of a photo, as people make them."""
    picture = Image.fromarray(raster.pixels)
    width, height = picture.size
    if kind == "crop":
        share = np.sqrt(random.uniform(0.5, 0.8))
        left, top = (random.uniform(0, 1 - share, 2) * (width, height)).astype(int)
        picture = picture.crop((left, top, left + int(width * share), top + int(height * share)))
    elif kind == "rotation":
        degrees = random.choice((-1, 1)) * random.uniform(8, 20)
        picture = picture.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor="white")
    elif kind == "mirror":
        picture = ImageOps.mirror(picture)
    elif kind == "jitter":
        for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            picture = enhance(picture).enhance(random.uniform(0.6, 1.5))
    elif kind == "screenshot":
        ground = Image.new("RGB", (int(width * 1.3), int(height * 1.5)), tuple(random.integers(0, 256, 3).tolist()))
        ground.paste(picture, ((ground.width - width) // 2, (ground.height - height) // 3))
        picture = ground
    else:
        picture.thumbnail((128, 128))
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=30)
        picture = Image.open(file).convert("RGB")
    return RasterImage(pixels=np.asarray(picture), width=picture.width, height=picture.height)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
