"""Detecting, searching by objects and detecting anew, on the command line."""

import json
from pathlib import Path

import pytest
from PIL import Image

from adapters.detectors.bundled_detector import prepared_bundled_detector
from adapters.detectors.postprocessing import SCORE_FLOOR
from adapters.inference.openvino_graph import read_graph
from adapters.toolchain import bundled_conversion
from entrypoints.settings import Settings
from tests.hostile_pictures import heic
from tests.integration.cli.command import Command, lookalike_here
from tests.photos import SEEN, picture
from tests.pictures import encoded


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path, monkeypatch, capsys)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Files of a cat and of a cup."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("chelsea", "coffee"):
        (folder / f"{name}.jpg").write_bytes(encoded(picture(name), format_="JPEG", quality=92))
    return folder


def test_objects_are_listed_and_drawn(command: Command, photos: Path, tmp_path: Path) -> None:
    code, output, _ = command("detect", photos / "coffee.jpg", "--save", tmp_path / "annotated.png")

    assert code == 0
    first = next(line for line in output.splitlines() if line.lstrip().startswith("cup"))
    assert float(first.split()[1]) > 0.8
    box = [float(side) for side in first.split()[2].split(",")]
    assert box == pytest.approx([165, 15, 415, 250], abs=25)
    with Image.open(tmp_path / "annotated.png") as annotated:
        assert annotated.size == picture("coffee").size
        left, middle = round(box[0]), round((box[1] + box[3]) / 2)
        drawn = annotated.getpixel((left + 1, middle))
        assert drawn != picture("coffee").getpixel((left + 1, middle))
    assert not (tmp_path / "data").exists()  # neither index nor files are opened


@pytest.mark.parametrize("subcommand", ["detect", "search"])
def test_the_picture_is_drawn_as_the_decode_contract_has_it(command: Command, tmp_path: Path, subcommand: str) -> None:
    command.set(REPOSITORY__BACKEND="memory")
    (tmp_path / "veil.png").write_bytes(encoded(Image.new("RGBA", (300, 300), (0, 0, 0, 55))))

    code, _, errors = command(subcommand, tmp_path / "veil.png", "--save", tmp_path / "drawn.png")

    assert code == 0, errors
    with Image.open(tmp_path / "drawn.png") as drawn:
        assert drawn.getpixel((100, 100)) == (200, 200, 200)  # on white


def test_heic_is_drawn_on(command: Command, tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif")
    (tmp_path / "coffee.HEIC").write_bytes(heic(picture("coffee")))

    code, output, errors = command("detect", tmp_path / "coffee.HEIC", "--save", tmp_path / "annotated.png")

    assert (code, "cup" in output) == (0, True), errors
    with Image.open(tmp_path / "annotated.png") as annotated:
        assert annotated.size == picture("coffee").size


def test_the_least_confidence_that_counts_is_told(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    code, output, _ = command("detect", "--help")
    assert code == 0
    assert f"below {SCORE_FLOOR}".replace("0.", ".") in output


def test_the_answer_of_the_api_is_printed(command: Command, photos: Path) -> None:
    code, output, _ = command("detect", photos / "coffee.jpg", "--json", "--label", "cup", "--score-threshold", "0.2")
    found = json.loads(output)

    assert code == 0
    assert found["model"] == "ssd_mobilenet_v2_coco"
    assert found["image"] == {"width": 600, "height": 400}
    assert {each["label"] for each in found["detections"]} == {"cup"}
    assert found["detections"][0]["box"].keys() == {"x_min", "y_min", "x_max", "y_max"}


def test_nothing_found_is_said(command: Command, photos: Path) -> None:
    nothing = command("detect", photos / "coffee.jpg", "--label", "giraffe")
    assert nothing[:2] == (0, "No object is found.\n")


@pytest.mark.parametrize(("label", "told"), [("Girafe", "but giraffe"), ("xyz", "but airplane, apple, ")])
def test_a_label_that_the_detector_does_not_know_is_refused(
    command: Command, photos: Path, label: str, told: str
) -> None:
    code, output, errors = command("detect", photos / "coffee.jpg", "--label", label)
    assert (code, output) == (2, "")
    assert f"lookalike: The detector knows no '{label}', {told}" in errors


def test_without_a_detector_the_way_to_one_is_told(command: Command, photos: Path) -> None:
    command.set(DETECTOR__RUNTIME="none")
    code, _, errors = command("detect", photos / "coffee.jpg")
    assert code == 1
    assert errors.startswith("lookalike: This deployment runs no object detector")
    assert "LOOKALIKE_DETECTOR__RUNTIME" in errors


def test_a_place_that_cannot_be_written_is_told(command: Command, photos: Path, tmp_path: Path) -> None:
    code, _, errors = command("detect", photos / "coffee.jpg", "--save", tmp_path / "annotated.xyz")
    assert code == 2
    assert "--save" in errors


def test_the_packaged_detector_is_prepared_once(
    command: Command, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if made := prepared_bundled_detector(Settings().models_dir):
        # Converting takes ten seconds, and test_bundled_detector.py does it.
        monkeypatch.setattr(bundled_conversion, "convert_bundled_detector", lambda: read_graph(made))
    command.set(MODELS_DIR=str(tmp_path / "models"))

    code, output, _ = command("models", "prepare")

    place = tmp_path / "models" / "ssd_mobilenet_v2_coco"
    assert (code, output) == (0, f"The packaged detector is ready in {place}.\n")
    written = {path.name: path.stat().st_mtime_ns for path in place.iterdir()}
    assert command("models", "prepare")[:2] == (0, output)
    assert {path.name: path.stat().st_mtime_ns for path in place.iterdir()} == written
    assert "cat" in command("detect", photos / "chelsea.jpg")[1]


@pytest.mark.timeout(240)
def test_objects_are_detected_anew_and_searched_for(photos: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    indexed = lookalike_here("index", photos, data_dir=data_dir, settings={"OBJECTS__ENABLED": "false"})
    assert indexed.returncode == 0, indexed.stderr
    box = SEEN["coffee"][1]
    cup = tmp_path / "cup.png"
    cup.write_bytes(encoded(picture("coffee").crop((int(box.x_min), int(box.y_min), int(box.x_max), int(box.y_max)))))
    by_object = ("search", cup, "--target", "objects")

    before = lookalike_here(*by_object, data_dir=data_dir)
    anew = lookalike_here("reindex", "--objects", data_dir=data_dir)
    found = lookalike_here(*by_object, "--json", "--save", tmp_path / "found.png", data_dir=data_dir)

    assert (before.returncode, before.stdout) == (0, "Nothing indexed matches.\n"), before.stderr
    assert anew.returncode == 0, anew.stderr
    assert anew.stdout.startswith("2 pictures hold ")
    assert int(anew.stdout.split()[3]) >= 2
    result = json.loads(found.stdout)
    assert result["query"]["target"] == "objects"
    first = result["matches"][0]
    assert (first["image"]["filename"], first["region"]["label"]) == ("coffee.jpg", "cup")
    assert first["region"] in first["image"]["objects"]
    with Image.open(tmp_path / "found.png") as sheet:
        assert sheet.width > sheet.height

    for thumbnail in (data_dir / "images" / "thumbnails").rglob("*"):
        if thumbnail.is_file():
            thumbnail.write_text("damaged")
    damaged = lookalike_here(*by_object, "--save", tmp_path / "found.png", data_dir=data_dir)
    assert damaged.returncode == 1
    assert damaged.stderr.startswith("lookalike: The thumbnail of photos/coffee.jpg cannot be shown: ")


def test_several_regions_need_objects(command: Command, photos: Path) -> None:
    regions = ("--region", "0,0,50,50", "--region", "60,60,90,90")
    command.set(REPOSITORY__BACKEND="memory")
    code, _, errors = command("search", photos / "coffee.jpg", *regions)
    assert code == 2
    assert "target=objects" in errors
