"""`lookalike evaluate` with the packaged model: on the index here, and on a service that runs elsewhere."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from lookalike_client import Lookalike
from lookalike_client.commands.evaluation.twins import TWINS
from tests.integration.cli.command import Command, lookalike_here
from tests.leave_one_out import worth
from tests.pictures import PHOTOS
from tests.serving import Service, running

KINDS = ("hat", "shoes", "pants")
NAMES = [f"{kind}-{number:02}.jpg" for kind in KINDS for number in (1, 2, 3, 4)]
SETTINGS = {"STORAGE__RESERVE_BYTES": "0", "DETECTOR__RUNTIME": "none"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of three kinds, and one that gets none."""
    folder = tmp_path_factory.mktemp("folder") / "photos"
    folder.mkdir()
    for name in (*NAMES, "dress-01.jpg"):
        (folder / name).symlink_to(PHOTOS / name)
    return folder


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """The data directory of an index of them."""
    data_dir = tmp_path_factory.mktemp("here") / "data"
    arguments: list[tuple[str | Path, ...]] = [("index", photos)]
    arguments += [("patch", json.dumps({"kind": kind}), *keys_of(kind)) for kind in KINDS]
    for each in arguments:
        assert lookalike_here(*each, data_dir=data_dir, settings=SETTINGS).returncode == 0
    return data_dir


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Iterator[Service]:
    """A service that has them indexed."""
    with running(tmp_path_factory.mktemp("service"), SETTINGS | {"REPOSITORY__BACKEND": "memory"}) as service:
        with Lookalike(service.url) as client:
            for path in photos.iterdir():
                kind = path.name.rsplit("-", 1)[0]
                client.index(path, key=f"photos/{path.name}", metadata={"kind": kind} if kind in KINDS else None)
        yield service


@pytest.fixture(params=["here", "there"])
def command(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    command = Command(tmp_path, monkeypatch, capsys)
    monkeypatch.setenv("COLUMNS", "200")
    if request.param == "here":
        command.set(**SETTINGS, DATA_DIR=str(request.getfixturevalue("here")))
    else:
        command.more = ("--url", request.getfixturevalue("service").url)
    return command


def keys_of(kind: str) -> list[str]:
    return [f"photos/{name}" for name in NAMES if name.startswith(kind)]


def measured(command: Command, *arguments: str | Path) -> dict[str, Any]:
    code, output, errors = command("evaluate", *arguments, "--json")
    assert code == 0, errors
    report: dict[str, Any] = json.loads(output)
    return report


def test_the_numbers_are_those_of_the_vectors_that_the_service_gives(command: Command, service: Service) -> None:
    report = measured(command, "--by", "metadata.kind", "-k", "3", "--depth", "11")

    with Lookalike(service.url) as client:
        vectors = np.array([client.embed(PHOTOS / name).embedding for name in NAMES], dtype=np.float32)
    expected = worth(vectors, [name.rsplit("-", 1)[0] for name in NAMES], k=3, depth=11)
    measures = report["results"][0]["measures"]
    assert [measures[name]["value"] for name in ("P@3", "recall@3", "mAP")] == pytest.approx(expected)
    assert (report["queries"], report["pictures"], report["depth"]) == (12, 12, 11)
    assert report["notes"] == ["Without metadata.kind, left out as queries and as matches: 1."]
    assert {group["name"] for group in report["results"][0]["groups"]} == set(KINDS)
    assert report == measured(command, "--by", "metadata.kind", "-k", "3", "--depth", "11")


def test_pairs_twins_and_two_settings(command: Command, tmp_path: Path) -> None:
    first, second, *_ = keys_of("hat")
    (tmp_path / "pairs.jsonl").write_text(json.dumps({"a": first, "b": second}) + "\n")
    report = measured(command, "--pairs", tmp_path / "pairs.jsonl", "--against", "exact=true", "-k", "1")
    assert (report["queries"], report["pictures"], report["agreement"]) == (2, 13, {"1": 1.0, "20": 1.0})
    assert [result["setting"] for result in report["results"]] == ["default", "exact=true"]

    report = measured(command, "--twins", "--sample", "4", "--with", "exact=true")
    [result] = report["results"]
    assert (report["queries"], report["notes"]) == (4 * len(TWINS), ["A sample is searched with: 4 of 13."])
    assert {group["name"]: group["queries"] for group in result["groups"]} == dict.fromkeys(TWINS, 4)
    assert result["measures"]["recall@5"]["value"] > 0.9
    assert not [name for name in result["measures"] if name.startswith("P@")]
    assert result["cut_offs"]["score"]


def test_the_table_and_the_worst_queries_are_shown(command: Command, tmp_path: Path) -> None:
    sheet = tmp_path / "worst.png"
    code, output, errors = command(
        "evaluate", "--by", "metadata.kind", "--worst", sheet, "--at-least", "p@3=.05", "--at-least", "recall@2=1"
    )
    assert (code, errors.splitlines()[-1].startswith("lookalike: recall@2 is 0.")) == (1, True)
    assert len([line for line in errors.splitlines() if "less than" in line]) == 1
    lines = output.splitlines()
    assert lines[0] == "12 queries among 12 pictures, right by metadata.kind; 95 % intervals."
    assert [line.split()[0] for line in lines if line.startswith((" P@", " recall@", " mAP"))] == [
        *("P@1", "P@3", "P@5", "P@10"),
        *("recall@1", "recall@2", "recall@5", "recall@10"),
        "mAP",
    ]
    with Image.open(sheet) as picture:
        assert (picture.width > 6 * 220, picture.height > 12 * 220) == (True, True)
        frames = int(np.all(np.asarray(picture.convert("RGB")) == (214, 39, 40), axis=2).sum())
    assert frames > 1000, "wrong matches are framed in red"
    assert command("evaluate", "--by", "metadata.kind", "--at-least", "P@3=.05")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "say what is alike"),
        (("--by", "metadata.kind", "--twins"), "one of the three"),
        (("--by", "kind"), "metadata.kind"),
        (("--by", "metadata.colour"), "no two pictures share a value of metadata.colour"),
        (("--twins", "--against", "limit=5"), "color_weight=..., exact=..."),
        (("--twins", "--against", "diversity"), "color_weight=..., exact=..."),
        (("--twins", "--with", "diversity=7"), "diversity"),
        (("--twins", "--at-least", "P@5"), "P@5=.8"),
        (("--twins", "--at-least", "P@501=.1"), "500"),
        (("--twins", "--at-least", "P@5=80"), "between 0 and 1"),
        (("--twins", "--model", ".", "--against", "exact=true"), "one thing at a time"),
        (("--twins", "--worst", "worst.txt"), ".jpg or .png"),
    ],
)
def test_what_cannot_be_measured_is_told(command: Command, arguments: tuple[str, ...], told: str) -> None:
    code, output, errors = command("evaluate", *arguments)
    assert (code, output) == (2, "")
    assert told in " ".join(errors.replace("│", " ").split())


def test_two_models_are_compared_on_the_same_pictures(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = Command(tmp_path, monkeypatch, capsys)
    command.set(**SETTINGS, DATA_DIR=str(here))
    torch.manual_seed(3)
    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "vit.safetensors")
    exported = ("--checkpoint", tmp_path / "vit.safetensors", "--out", tmp_path / "vit")
    assert command("models", "export", "--model", "test_vit", *exported)[0] == 0
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    before = measured(command, "--by", "metadata.kind", "-k", "3")

    report = measured(command, "--by", "metadata.kind", "-k", "3", "--model", tmp_path / "vit")

    packaged, other = report["results"]
    assert (report["queries"], report["pictures"], other["setting"]) == (12, 12, "test_vit")
    assert packaged["measures"] == before["results"][0]["measures"], "the sample is all that there is"
    assert report["differences"]["P@3"]["value"] < 0, "its weights are random"
    assert measured(command, "--twins", "--sample", "2", "--model", tmp_path / "vit")["queries"] == 2 * len(TWINS)
    code, _, errors = command("evaluate", "--twins", "--model", tmp_path)
    assert (code, "manifest.json cannot be read" in errors) == (2, True)
    code, _, errors = command("evaluate", "--twins", "--model", tmp_path / "vit", "--url", "http://127.0.0.1:9")
    assert (code, "models run in this process" in errors) == (2, True)
    assert not list((tmp_path / "temporary").iterdir())
