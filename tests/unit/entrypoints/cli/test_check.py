from pathlib import Path

import pytest

from tests.pictures import a_picture
from tests.unit.entrypoints.cli.command import lookalike

SOUND = "originals, thumbnails, records, vectors and objects agree."


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with three pictures."""
    root = tmp_path_factory.mktemp("indexed")
    (root / "pictures").mkdir()
    for number in range(3):
        (root / "pictures" / f"{number}.png").write_bytes(a_picture(number))
    ended = lookalike("index", root / "pictures", data_dir=root / "data", settings={"DETECTOR__RUNTIME": "none"})
    assert ended.returncode == 0, ended.stderr
    return root / "data"


def test_what_is_wrong_is_told_mended_or_forgotten(indexed: Path) -> None:
    sound = lookalike("check", "--deep", data_dir=indexed)
    assert (sound.returncode, sound.stdout) == (0, f"3 pictures checked: {SOUND}\n")

    thumbnail, other, lost = sorted((indexed / "images/thumbnails").glob("??/*"))
    thumbnail.unlink()
    (indexed / "images/originals" / lost.parent.name / lost.name).unlink()
    told = lookalike("check", data_dir=indexed)
    assert told.returncode == 1
    assert f"{thumbnail.name}  thumbnail missing: the thumbnail of " in told.stdout
    assert f"{lost.name}  original missing: the original of " in told.stdout
    assert "lookalike restore" in told.stdout
    assert "3 pictures checked: 1 x original missing, 1 x thumbnail missing. 0 mended, 2 not." in told.stdout.replace(
        "1 x thumbnail missing, 1 x original missing", "1 x original missing, 1 x thumbnail missing"
    )

    mended = lookalike("check", "--repair", data_dir=indexed)
    assert mended.returncode == 1
    assert "1 mended, 1 not." in mended.stdout
    assert thumbnail.read_bytes()[:2] == b"\xff\xd8"

    forgotten = lookalike("check", "--repair", "--forget-lost", data_dir=indexed)
    assert forgotten.returncode == 0, forgotten.stdout
    assert not lost.exists()
    assert other.exists()
    assert lookalike("check", data_dir=indexed).stdout == f"2 pictures checked: {SOUND}\n"


def test_forgetting_is_a_way_of_repairing(tmp_path: Path) -> None:
    ended = lookalike("check", "--forget-lost", data_dir=tmp_path / "data")
    assert ended.returncode == 2
    assert "--repair" in ended.stderr


def test_without_an_index_there_is_nothing_to_check(tmp_path: Path) -> None:
    ended = lookalike("check", data_dir=tmp_path / "data")
    assert ended.returncode == 2
    assert "There is no index" in ended.stderr
