"""Turning a timm model into what `OpenVinoImageEncoder` runs: one graph from pixels to embeddings. Needs torch."""

import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import openvino
import torch
from openvino import opset13 as operations
from torch.jit._trace import TracerWarning

from adapters.encoders.exported_model import GOLDEN, ExportedModel
from adapters.encoders.golden_pictures import golden_pictures, least_cosine
from adapters.encoders.image_features import ImageFeatures, TimmModel
from adapters.encoders.openvino_image_encoder import OpenVinoRunner
from adapters.encoders.preprocessing import Pixels
from adapters.inference.model_directory import GRAPH, WEIGHTS, new_directory
from adapters.inference.openvino_graph import Precision, available_precisions
from adapters.toolchain.photos import Photos
from adapters.toolchain.projection import Features, Projection, fit_projection
from domain.errors import ModelError
from domain.geometry import BoundingBox
from domain.raster import RasterImage

LEAST_COSINE: Mapping[str, float] = {"f32": 0.9999, "bf16": 0.98, "int8": 0.8}
"""To torch in f32, for every picture and crop. Small blurred crops lose most by 8 bits; the average is .97."""

CALIBRATION_PHOTOS = 300

NOTICE = "NOTICE"
CROPS_PER_PICTURE = 4
LIBRARIES = ("openvino", "timm", "torch")


def export_model(
    directory: Path,
    load: Callable[[], TimmModel],
    photos: Photos,
    *,
    projection: Projection | None = None,
    int8: bool = False,
) -> tuple[ExportedModel, Mapping[str, float]]:
    """Write `directory`: graph, weights, golden embeddings, manifest and notice. All of it, or nothing.

    Also the least cosine to torch in f32, for each precision that this machine computes in.

    The features' projection is fitted on `photos` unless it is given, and folded into the graph. `int8` quantises all
    before pooling to 8 bits, calibrated on the photos; such a graph computes in one way wherever it runs. Otherwise
    weights are rounded to 16 bits. With a projection and without `int8` no photo is used.

    Nothing is written unless OpenVINO's embeddings of the golden pictures, and of random crops of them, agree with
    torch's.

    Raises ModelError: as `load`; a model that cannot be converted or loses too much; a projection of another model;
    a directory that exists.
    """
    if directory.exists():
        raise ModelError(f"{directory} exists: remove it first, or choose another place.")
    timm_model = load()
    preprocessing = timm_model.preprocessing
    graph = converted(timm_model.features)
    fitted = projection or fit_projection(_runner(graph), preprocessing, photos)
    if fitted.matrix.shape[0] != timm_model.features.dimension:
        raise ModelError(
            f"The projection takes {fitted.matrix.shape[0]} features, and {timm_model.name} gives "
            f"{timm_model.features.dimension}: fit one to this model."
        )
    if int8:
        graph = _quantised(graph, preprocessing.prepared(photos.spread(CALIBRATION_PHOTOS)))
    with new_directory(directory) as new:
        openvino.save_model(_projected(graph, fitted), new / GRAPH, compress_to_fp16=True)
        written = openvino.Core().read_model(new / GRAPH, new / WEIGHTS)
        cosines = _cosines(written, timm_model, fitted, int8=int8)
        golden = preprocessing.prepared(golden_pictures())
        np.save(new / GOLDEN, _runner(written)(golden) if int8 else fitted(extract(timm_model.features, golden)))
        (new / NOTICE).write_text(_notice(timm_model, int8=int8), encoding="utf-8")
        ExportedModel.write_manifest(
            new,
            model=timm_model.name,
            weights_digest=timm_model.weights_digest,
            dimension=fitted.matrix.shape[1],
            preprocessing=preprocessing.as_mapping(),
            projection=fitted.digest,
            int8=int8,
            likeness=asdict(fitted.likeness),
            licence=timm_model.licence,
            made_with={name: version(name) for name in (*LIBRARIES, *(("nncf",) if int8 else ()))},
        )
    return ExportedModel.read(directory), cosines


def fit_model(load: Callable[[], TimmModel], photos: Photos) -> tuple[TimmModel, Projection]:
    """A model, and a projection of its features fitted on photos. Raises ModelError as `load`."""
    timm_model = load()
    extract_by_openvino = _runner(converted(timm_model.features))
    return timm_model, fit_projection(extract_by_openvino, timm_model.preprocessing, photos)


def _runner(graph: openvino.Model, precision: Precision = "f32") -> OpenVinoRunner:
    return OpenVinoRunner(graph, device="cpu", precision=precision, threads=0)


def _projected(graph: openvino.Model, projection: Projection) -> openvino.Model:
    """The graph with the projection behind it, in float."""
    # Saving a graph rounds its constants to 16 bits, but for those behind a power.
    matrix = operations.convert(operations.constant(projection.matrix.astype(np.float16)), "f32")
    product = operations.matmul(graph.get_results()[0].input_value(0), matrix, False, False)
    moved = operations.add(product, operations.constant(projection.offset[np.newaxis]))
    unit = operations.normalize_l2(moved, operations.constant([1]), 1e-12, "add")
    return openvino.Model([operations.result(unit)], graph.get_parameters(), graph.get_friendly_name())


def _quantised(graph: openvino.Model, pixels: Pixels) -> openvino.Model:
    """The graph with weights and activations of 8 bits up to the pooling. Raises ModelError."""
    try:
        import nncf  # noqa: PLC0415 - slow to import, and not needed for other exports
    except ImportError as error:
        raise ModelError(f"Quantising needs nncf ({error}): pip install '.[torch]' in the clone.") from error
    nncf.set_log_level(logging.ERROR)  # it names every operation that it leaves alone
    return nncf.quantize(
        graph,
        nncf.Dataset([picture[np.newaxis] for picture in pixels]),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(pixels),
        fast_bias_correction=True,
        ignored_scope=nncf.IgnoredScope(names=_pooling(graph), validate=False),
        # 7 bits where instructions without VNNI would overflow: one embedding space on all machines.
        advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE),
    )


def _pooling(graph: openvino.Model) -> list[str]:
    """Names of what follows the feature map: the first power, of generalised-mean pooling, and all that it leads to."""
    names: list[str] = []
    for operation in graph.get_ordered_ops():
        leads_on = any(source.get_node().get_friendly_name() in names for source in operation.input_values())
        if leads_on or (operation.get_type_name() == "Power" and not names):
            names.append(operation.get_friendly_name())
    return names


def extract(features: ImageFeatures, pixels: Pixels) -> Features:
    """Features by torch as the module stands, shape (n, wide)."""
    with torch.inference_mode():
        extracted: Features = features(torch.from_numpy(pixels)).cpu().numpy()
    return extracted


def converted(features: ImageFeatures) -> openvino.Model:
    """The graph from pixels to features for OpenVINO, of batch 1. Raises ModelError."""
    example = features.preprocessing.prepared(golden_pictures()[:1])
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            # OpenVINO traces; torch announces that tracing will go. Constants from shapes are fine: sizes are fixed.
            warnings.filterwarnings("ignore", message=r".*torch\.jit\..* is deprecated", category=FutureWarning)
            warnings.filterwarnings("ignore", message=r".*torch\.jit\..* is deprecated", category=DeprecationWarning)
            warnings.filterwarnings("ignore", category=TracerWarning)
            return openvino.convert_model(
                features,
                example_input=torch.from_numpy(example),
                input=[openvino.PartialShape(example.shape)],
            )
    except Exception as error:  # the converter's errors have no common type
        raise ModelError(f"The model cannot be converted for OpenVINO: {error}") from error


def _cosines(written: openvino.Model, timm_model: TimmModel, projection: Projection, *, int8: bool) -> dict[str, float]:
    """The least cosine to torch by precision. Raises ModelError where it is too small."""
    pixels = timm_model.preprocessing.prepared(_test_pictures())
    expected = projection(extract(timm_model.features, pixels))
    cosines: dict[str, float] = {}
    hints: Mapping[str, Precision] = {"int8": "f32"} if int8 else {name: name for name in available_precisions("cpu")}
    for precision, hint in hints.items():
        cosines[precision] = least_cosine(_runner(written, hint)(pixels), expected)
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


def _notice(timm_model: TimmModel, *, int8: bool) -> str:
    """A notice of the weights' origin and licence, and of what the conversion changed."""
    rounded = "weights and activations quantised to 8 bits" if int8 else "numbers rounded to 16 bits"
    return (
        f"{timm_model.name}, exported to OpenVINO by Lookalike.\n"
        f"Architecture: timm (PyTorch Image Models), copyright Ross Wightman, Apache-2.0.\n"
        f"Weights: licence {timm_model.licence}; {timm_model.origin}\n"
        f"SHA-256 of the checkpoint: {timm_model.weights_digest}\n"
        f"Changes: batch normalisation folded and {rounded} by the conversion; the classifier left out; normalisation "
        "of pixels, pooling, a linear projection fitted on photos, and L2 normalisation added.\n"
    )
