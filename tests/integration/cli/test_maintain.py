import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from entrypoints.cli.main import main
from tests.integration.cli.command import LOOKALIKE, WITHOUT_DETECTOR, environment, lookalike_here, start
from tests.pictures import a_picture

PICTURES = 8


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with some pictures, whose files are beside it."""
    root = tmp_path_factory.mktemp("indexed")
    (root / "pictures").mkdir()
    for number in range(PICTURES):
        (root / "pictures" / f"{number}.png").write_bytes(a_picture(number))
    arguments = ("index", root / "pictures", "--metadata", '{"tags": ["ä", "b"], "price": 1.5}')
    ended = lookalike_here(*arguments, data_dir=root / "data", settings=WITHOUT_DETECTOR)
    assert ended.returncode == 0, ended.stderr
    return root / "data"


@pytest.fixture(scope="module")
def backed_up(indexed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    backup = tmp_path_factory.mktemp("backups") / "one"
    ended = lookalike_here("backup", backup, data_dir=indexed)
    assert (ended.returncode, ended.stdout) == (0, f"{PICTURES} pictures in {backup}\n"), ended.stderr
    return backup


def restored(backup: Path, data_dir: Path) -> None:
    ended = lookalike_here("restore", backup, data_dir=data_dir)
    assert (ended.returncode, ended.stdout) == (0, f"{PICTURES} pictures restored\n"), ended.stderr


def search(picture: Path, data_dir: Path, **settings: str) -> dict[str, Any]:
    ended = lookalike_here("search", picture, "--json", data_dir=data_dir, settings=WITHOUT_DETECTOR | settings)
    assert ended.returncode == 0, ended.stderr
    result: dict[str, Any] = json.loads(ended.stdout)
    return result


def test_a_restored_backup_finds_the_same(indexed: Path, backed_up: Path, tmp_path: Path) -> None:
    restored(backed_up, tmp_path / "data")

    query = indexed.parent / "pictures" / "3.png"
    before, after = search(query, indexed), search(query, tmp_path / "data")
    assert before["matches"][0]["image"]["filename"] == "3.png"
    assert len(before["matches"]) == PICTURES
    assert before["query"] == after["query"]
    scores = {match["image"]["id"]: match["score"] for match in before["matches"]}
    assert {match["image"]["id"]: match["score"] for match in after["matches"]} == pytest.approx(scores, abs=1e-6)
    images = {match["image"]["id"]: match["image"] for match in before["matches"]}
    assert {match["image"]["id"]: match["image"] for match in after["matches"]} == images
    for match in before["matches"]:
        original = next((tmp_path / "data/images/originals").glob(f"*/{match['image']['sha256']}"))
        number = int(match["image"]["filename"].removesuffix(".png"))
        assert original.read_bytes() == a_picture(number)


def test_a_backup_is_not_written_over_another(indexed: Path, backed_up: Path) -> None:
    ended = lookalike_here("backup", backed_up, data_dir=indexed)

    assert ended.returncode == 2
    assert "complete backup already" in ended.stderr


def test_what_is_no_backup_is_not_restored(tmp_path: Path) -> None:
    ended = lookalike_here("restore", tmp_path, data_dir=tmp_path / "data")

    assert ended.returncode == 2
    assert "holds no backup" in ended.stderr
    assert not (tmp_path / "data").exists()


def test_images_are_deleted_by_id_and_by_filter(backed_up: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    restored(backed_up, data_dir)
    images = json.loads(lookalike_here("list", "--json", data_dir=data_dir).stdout)["items"]
    by_name = {image["filename"]: image["id"] for image in images}
    unknown = "00000000-0000-5000-8000-000000000000"

    by_id = lookalike_here("delete", by_name["0.png"], unknown, by_name["1.png"], data_dir=data_dir)
    names = '{"any": [{"field": "filename", "in": ["2.png", "3.png", "0.png"]}]}'
    by_filter = lookalike_here("delete", "--filter", names, "--yes", data_dir=data_dir)
    listed = lookalike_here("list", "--limit", "3", data_dir=data_dir)

    assert (by_id.returncode, by_id.stdout) == (1, "2 deleted\n")
    assert by_id.stderr == f"lookalike: No image is stored under {unknown}.\n"
    assert (by_filter.returncode, by_filter.stdout) == (0, "2 deleted\n")
    assert "3 of 4" in listed.stdout
    assert 'tags=["ä", "b"], price=1.5' in listed.stdout
    assert len(list((data_dir / "images/originals").glob("??/*"))) == 4


def test_in_a_terminal_deleting_by_a_filter_asks_first(indexed: Path) -> None:
    terminal, stdin = os.openpty()
    try:
        everything = '{"all": [{"field": "width", "gte": 1}]}'
        process = start("delete", "--filter", everything, data_dir=indexed, stdin=stdin)
        assert process.stdout is not None
        question = ""
        while not question.endswith("?"):
            question += process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        os.close(terminal)
        os.close(stdin)

    assert question == f"Delete {PICTURES} pictures?"
    assert process.returncode == 130
    assert f"1 of {PICTURES}" in lookalike_here("list", "--limit", "1", data_dir=indexed).stdout


@pytest.mark.parametrize(
    ("closed", "told"),
    [
        ("<&-", [f"1 of {PICTURES}", "0 deleted"]),
        (">&-", []),
        ("2>&-", [f"1 of {PICTURES}", "0 deleted"]),
        ("<&- >&- 2>&-", []),
    ],
)
def test_a_closed_standard_stream_is_no_fault_of_the_index(closed: str, told: list[str], indexed: Path) -> None:
    script = f'("$0" list --limit 1; "$0" delete --yes --filter "$1") {closed}'
    none = '{"any": [{"field": "filename", "eq": "none.png"}]}'
    ended = subprocess.run(
        ["/bin/sh", "-ec", script, LOOKALIKE, none],
        cwd=indexed.parent,
        env=environment(indexed),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-2:] == told


@pytest.mark.timeout(300)
def test_another_model_is_exported_refused_and_reindexed_to(
    backed_up: Path, indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch, timm = pytest.importorskip("torch"), pytest.importorskip("timm")
    data_dir = tmp_path / "data"
    restored(backed_up, data_dir)
    torch.manual_seed(0)
    weights = tmp_path / "small.pth"
    torch.save(timm.create_model("mobilenetv3_small_050", pretrained=False).state_dict(), weights)
    query = indexed.parent / "pictures" / "3.png"

    monkeypatch.setenv("LOOKALIKE_DATA_DIR", str(data_dir))
    name = "mobilenetv3_small_050"
    with pytest.raises(SystemExit) as exported:  # here, where torch is imported already
        main(["models", "export", "--model", name, "--checkpoint", str(weights), "--input-size", "64"])
    assert exported.value.code == 0
    place = data_dir / "models" / name
    assert capsys.readouterr().out.endswith(f"LOOKALIKE_ENCODER__MODEL={place}\n")
    with pytest.raises(SystemExit):
        main(["models", "list"])
    assert str(place) in capsys.readouterr().out

    other = {"ENCODER__MODEL": str(place)}
    refused = lookalike_here("search", query, data_dir=data_dir, settings=other)
    reindexed = lookalike_here("reindex", "--embeddings", data_dir=data_dir, settings=other)

    assert refused.returncode == 2
    assert "lookalike reindex --embeddings" in refused.stderr
    assert reindexed.returncode == 0, reindexed.stderr
    assert reindexed.stdout == f"{PICTURES} pictures encoded with {name}\n"
    found = search(query, data_dir, **other)
    assert found["matches"][0]["image"]["filename"] == "3.png"
    assert found["matches"][0]["image"]["metadata"] == {"tags": ["ä", "b"], "price": 1.5}
    assert len(found["matches"]) == PICTURES


def test_with_the_same_model_there_is_nothing_to_reindex(indexed: Path) -> None:
    ended = lookalike_here("reindex", "--embeddings", data_dir=indexed)

    assert (ended.returncode, ended.stdout[:13]) == (0, "Nothing to do")
