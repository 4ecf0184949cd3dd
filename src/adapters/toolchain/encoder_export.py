"""Turning a timm model into what `OpenVinoImageEncoder` runs. Needs torch."""

import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
import openvino
import torch
from torch.jit._trace import TracerWarning

from adapters.encoders.exported_model import GOLDEN, ExportedModel
from adapters.encoders.golden_pictures import golden_pictures, least_cosine
from adapters.encoders.image_features import ImageFeatures, TimmModel
from adapters.encoders.openvino_image_encoder import OpenVinoRunner
from adapters.encoders.preprocessing import Pixels
from adapters.inference.model_directory import GRAPH, new_directory
from adapters.inference.openvino_graph import available_precisions
from domain.embeddings import Embeddings
from domain.errors import ModelError
from domain.geometry import BoundingBox
from domain.raster import RasterImage

LEAST_COSINE: Mapping[str, float] = {"f32": 0.9999, "bf16": 0.99}
"""To torch in f32, for every picture and crop."""

NOTICE = "NOTICE"
CROPS_PER_PICTURE = 4
LIBRARIES = ("openvino", "timm", "torch")


def export_model(directory: Path, load: Callable[[], TimmModel]) -> tuple[ExportedModel, Mapping[str, float]]:
    """Write `directory`: graph, weights (fp16), golden embeddings, manifest and notice. All of it, or nothing.

    Also the least cosine to torch in f32, for each precision that this machine computes in.

    Nothing is written unless OpenVINO's embeddings of the golden pictures, and of random crops of them, agree with
    torch's.

    Raises ModelError: as `load`; a model that cannot be converted or loses too much; a directory that exists.
    """
    if directory.exists():
        raise ModelError(f"{directory} exists: remove it first, or choose another place.")
    timm_model = load()
    with new_directory(directory) as new:
        golden = timm_model.preprocessing.prepared(golden_pictures())
        np.save(new / GOLDEN, embed(timm_model.features, golden))
        openvino.save_model(_converted(timm_model.features, golden), new / GRAPH, compress_to_fp16=True)
        (new / NOTICE).write_text(_notice(timm_model), encoding="utf-8")
        written = ExportedModel.write_manifest(
            new,
            model=timm_model.name,
            weights_digest=timm_model.weights_digest,
            dimension=timm_model.features.dimension,
            preprocessing=timm_model.preprocessing.as_mapping(),
            licence=timm_model.licence,
            made_with={name: version(name) for name in LIBRARIES},
        )
        cosines = _cosines(written, timm_model)
    return ExportedModel.read(directory), cosines


def embed(features: ImageFeatures, pixels: Pixels) -> Embeddings:
    """Embeddings by torch as the module stands, shape (n, dimension)."""
    with torch.inference_mode():
        embeddings: Embeddings = features(torch.from_numpy(pixels)).cpu().numpy()
    return embeddings


def _converted(features: ImageFeatures, example: Pixels) -> openvino.Model:
    """The graph for OpenVINO, its batch dynamic. Raises ModelError."""
    size = features.preprocessing.size
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            # OpenVINO traces; torch announces that tracing will go. Constants from shapes are fine: sizes are fixed.
            warnings.filterwarnings("ignore", message=r".*torch\.jit\..* is deprecated", category=FutureWarning)
            warnings.filterwarnings("ignore", message=r".*torch\.jit\..* is deprecated", category=DeprecationWarning)
            warnings.filterwarnings("ignore", category=TracerWarning)
            return openvino.convert_model(
                features,
                example_input=torch.from_numpy(example[:1]),
                input=[openvino.PartialShape([-1, size, size, 3])],
            )
    except Exception as error:  # the converter's errors have no common type
        raise ModelError(f"The model cannot be converted for OpenVINO: {error}") from error


def _cosines(written: ExportedModel, timm_model: TimmModel) -> dict[str, float]:
    """The least cosine to torch by precision. Raises ModelError where it is too small."""
    pixels = timm_model.preprocessing.prepared(_test_pictures())
    expected = embed(timm_model.features, pixels)
    cosines: dict[str, float] = {}
    for precision in available_precisions("cpu"):
        runner = OpenVinoRunner(written, device="cpu", precision=precision, threads=0)
        cosines[precision] = least_cosine(runner(pixels), expected)
        if cosines[precision] < LEAST_COSINE[precision]:
            raise ModelError(
                f"Nothing is written: in {precision} the exported model's embeddings have a cosine of "
                f"{cosines[precision]:.5f} to torch's, and must have {LEAST_COSINE[precision]}."
            )
    return cosines


def _test_pictures() -> list[RasterImage]:
    """The golden pictures and seeded random crops of them."""
    random = np.random.default_rng(20)
    pictures = golden_pictures()
    crops = []
    for picture in pictures * CROPS_PER_PICTURE:
        left, top = random.uniform(0, 0.5, 2)
        width, height = random.uniform(0.2, 0.5, 2)
        box = BoundingBox(
            x_min=left * picture.width,
            y_min=top * picture.height,
            x_max=(left + width) * picture.width,
            y_max=(top + height) * picture.height,
        )
        crops.append(picture.crop(box))
    return pictures + crops


def _notice(timm_model: TimmModel) -> str:
    """A notice of the weights' origin and licence, and of what the conversion changed."""
    return (
        f"{timm_model.name}, exported to OpenVINO by Lookalike.\n"
        f"Architecture: timm (PyTorch Image Models), copyright Ross Wightman, Apache-2.0.\n"
        f"Weights: licence {timm_model.licence}; {timm_model.origin}\n"
        f"SHA-256 of the checkpoint: {timm_model.weights_digest}\n"
        "Changes: batch normalisation folded and numbers rounded to 16 bits by the conversion; the classifier left "
        "out; normalisation of pixels, pooling and L2 normalisation added.\n"
    )
