"""What is exported from torch, and how OpenVINO runs it."""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch
from openvino import opset13

from adapters.detectors.detection_pipeline import DetectionPipeline
from adapters.detectors.exported_detector import ExportedDetector
from adapters.detectors.golden_picture import share_found
from adapters.detectors.openvino_object_detector import OpenVinoObjectDetector, OpenVinoRunner
from adapters.detectors.postprocessing import EVERYTHING
from adapters.detectors.torchvision_object_detector import TorchvisionObjectDetector, torch_pipeline
from adapters.inference.model_directory import MANIFEST, sha256_of
from adapters.inference.openvino_graph import compile_graph, read_graph
from adapters.toolchain import detector_export as export
from adapters.toolchain.bundled_conversion import convert_bundled_detector
from adapters.toolchain.detector_export import export_detector
from adapters.toolchain.torchvision_model import load_torchvision_model
from domain.errors import ModelError
from tests.contracts.object_detector import ObjectDetectorContract, detect
from tests.photos import photo
from tests.torchvision_checkpoints import save_torch

SSD = "ssdlite320_mobilenet_v3_large"
RCNN = "fasterrcnn_mobilenet_v3_large_320_fpn"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="module")
def ssd(place: Path) -> ExportedDetector:
    return export_detector(
        place / "ssd", partial(load_torchvision_model, SSD, checkpoint=save_torch(SSD, place / "ssd.pth"))
    )


@pytest.fixture(scope="module")
def rcnn(place: Path) -> ExportedDetector:
    return export_detector(
        place / "rcnn", partial(load_torchvision_model, RCNN, checkpoint=save_torch(RCNN, place / "rcnn.pth"))
    )


@pytest.fixture(scope="module")
def exported_detector(ssd: ExportedDetector) -> OpenVinoObjectDetector:
    return OpenVinoObjectDetector(convert=convert_bundled_detector, model=str(ssd.directory), precision="f32")


class TestExportedSsd(ObjectDetectorContract):
    HALF_SIZE_SHARE = 0.25  # random weights respond to single pixels; boxes of another scale would share nothing

    @pytest.fixture
    async def detector(self, exported_detector: OpenVinoObjectDetector) -> OpenVinoObjectDetector:
        await exported_detector.open()
        return exported_detector

    async def test_what_runs(self, detector: OpenVinoObjectDetector, place: Path) -> None:
        description = detector.description
        assert (description.model, description.runtime, description.precision) == (SSD, "openvino", "f32")
        assert description.weights_digest == sha256_of(place / "ssd.pth")
        assert (description.input_width, description.input_height) == (320, 320)
        assert len(detector.labels) == 80


@pytest.mark.parametrize("name", ["ssd", "rcnn"])
async def test_openvino_finds_what_torch_finds(
    ssd: ExportedDetector, rcnn: ExportedDetector, place: Path, name: str
) -> None:
    exported = {"ssd": ssd, "rcnn": rcnn}[name]
    by_openvino = OpenVinoObjectDetector(convert=convert_bundled_detector, model=str(place / name), precision="f32")
    by_torch = TorchvisionObjectDetector(
        partial(load_torchvision_model, exported.model, checkpoint=place / f"{name}.pth")
    )
    for detector in (by_openvino, by_torch):
        await detector.open()
    found = objects = 0.0
    for picture in ("chelsea", "coffee", "astronaut"):
        expected = [one for one in await detect(by_torch, photo(picture)) if one.score > 0.2]
        objects += len(expected)
        found += len(expected) * share_found(expected, await detect(by_openvino, photo(picture), max_detections=300))
    for detector in (by_openvino, by_torch):
        await detector.close()
    assert objects > 20
    assert found / objects >= 0.7  # weights of 16 bits move what random layers compute


def test_the_converted_graph_computes_what_torch_does(rcnn: ExportedDetector, place: Path) -> None:
    """In 32 bits throughout, and for pictures of other sizes than the one that was traced."""
    source = load_torchvision_model(rcnn.model, checkpoint=place / "rcnn.pth")
    by_torch = torch_pipeline(source, torch.device("cpu"))
    by_openvino = DetectionPipeline(
        model_input=source.model_input,
        names=source.names,
        infer=OpenVinoRunner(compile_graph(export.converted(source), device="cpu", precision="f32").model),
        name="converted",
    )
    found = 0
    for name in ("coffee", "astronaut", "motorcycle_left"):
        expected = by_torch.detect_now(photo(name), EVERYTHING)
        found += len(expected)
        same = by_openvino.detect_now(photo(name), EVERYTHING)
        assert share_found(expected[:50], same, least_iou=0.99, score_tolerance=0.005) >= 0.98
    assert found > 100


def test_a_picture_without_objects_gives_none_after_one_with_many(rcnn: ExportedDetector) -> None:
    """OpenVINO's branching gave one object of the previous picture's confidence."""
    compiled = compile_graph(read_graph(rcnn), device="cpu", precision="f32")
    infer = OpenVinoRunner(compiled.model)
    for _ in range(2):
        assert len(infer(photo("coffee").pixels).scores) > 10
        assert len(infer(np.zeros((240, 360, 3), dtype=np.uint8)).scores) == 0


async def test_in_auto_a_model_that_does_not_bear_rounding_runs_in_f32(
    rcnn: ExportedDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([False, True])
    monkeypatch.setattr("adapters.detectors.openvino_object_detector.agree", lambda *_: next(answers))
    monkeypatch.setattr("adapters.detectors.openvino_object_detector.available_precisions", lambda _: ("f32", "f32"))
    detector = OpenVinoObjectDetector(convert=convert_bundled_detector, model=str(rcnn.directory))
    await detector.open()
    assert detector.description.precision == "f32"
    assert next(answers, None) is None
    await detector.close()


def test_what_exists_is_kept(ssd: ExportedDetector, place: Path) -> None:
    before = (place / "ssd" / MANIFEST).read_bytes()
    with pytest.raises(ModelError, match="exists: remove it first"):
        export_detector(place / "ssd", partial(load_torchvision_model, SSD, checkpoint=place / "ssd.pth"))
    assert (place / "ssd" / MANIFEST).read_bytes() == before
    assert ssd.licence == "unknown"


def test_nothing_is_written_where_too_much_is_lost(
    ssd: ExportedDetector, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "converted", lambda _: _backwards(ssd))
    with pytest.raises(ModelError, match="Nothing is written"):
        export_detector(tmp_path / "ssd", partial(load_torchvision_model, SSD, checkpoint=place / "ssd.pth"))
    assert list(tmp_path.iterdir()) == []


def _backwards(exported: ExportedDetector) -> openvino.Model:
    """The exported graph, but with x and y of its boxes exchanged."""
    graph = read_graph(exported)
    boxes, scores, labels = (result.input_value(0) for result in graph.get_results())
    turned = opset13.gather(boxes, np.array([1, 0, 3, 2]), np.array(1))
    model = openvino.Model([opset13.result(one) for one in (turned.output(0), scores, labels)], graph.get_parameters())
    for output, name in zip(model.outputs, ("boxes", "scores", "labels"), strict=True):
        output.set_names({name})
    return model


@pytest.fixture
def copy(ssd: ExportedDetector, tmp_path: Path) -> Path:
    return Path(shutil.copytree(ssd.directory, tmp_path / "model"))


@pytest.mark.parametrize("name", ExportedDetector.FILES)
async def test_an_altered_file_is_named(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(ModelError, match=name):
        await OpenVinoObjectDetector(convert=convert_bundled_detector, model=str(copy)).open()


@pytest.mark.parametrize("name", [*ExportedDetector.FILES, MANIFEST])
async def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(ModelError, match=name):
        await OpenVinoObjectDetector(convert=convert_bundled_detector, model=str(copy)).open()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"format": 2}, "format 2, not 1"), ({"input": {"width": 320}}, "damaged"), ({"labels": 3}, "damaged")],
)
async def test_a_damaged_manifest_is_named(copy: Path, change: dict[str, object], message: str) -> None:
    manifest = json.loads((copy / MANIFEST).read_text())
    (copy / MANIFEST).write_text(json.dumps(manifest | change))
    with pytest.raises(ModelError, match=message):
        await OpenVinoObjectDetector(convert=convert_bundled_detector, model=str(copy)).open()
