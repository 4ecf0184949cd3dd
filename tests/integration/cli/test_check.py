import re
from collections.abc import Callable
from pathlib import Path

import pytest

from entrypoints.cli.main import main
from tests.integration.cli.command import lookalike
from tests.pictures import a_picture

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


Check = Callable[..., tuple[int, str, str]]


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """Run the command in this process, which takes less time; its code, and what it says."""
    monkeypatch.setenv("LOOKALIKE_STORAGE__RESERVE_BYTES", "0")

    def run(*arguments: str, data_dir: Path) -> tuple[int, str, str]:
        monkeypatch.setenv("LOOKALIKE_DATA_DIR", str(data_dir))
        with pytest.raises(SystemExit) as ended:
            main(["check", *arguments])
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return run


def test_what_is_wrong_is_told_mended_or_forgotten(indexed: Path, check: Check) -> None:
    sound = lookalike("check", "--deep", data_dir=indexed)
    assert (sound.returncode, sound.stdout) == (0, f"3 pictures checked: {SOUND}\n")

    thumbnail, other, lost = sorted((indexed / "images/thumbnails/384").glob("??/*"))
    thumbnail.unlink()
    (indexed / "images/originals" / lost.parent.name / lost.name).unlink()
    code, told, _ = check(data_dir=indexed)
    assert code == 1
    assert re.search(r"^[-0-9a-f]{36}  thumbnail missing: the thumbnail of [0-2]\.png is missing", told, re.MULTILINE)
    assert re.search(r"^[-0-9a-f]{36}  original missing: the original of [0-2]\.png is missing", told, re.MULTILINE)
    assert "lookalike restore" in told
    assert "3 pictures checked: 1 x original missing, 1 x thumbnail missing. 0 mended, 2 not." in told.replace(
        "1 x thumbnail missing, 1 x original missing", "1 x original missing, 1 x thumbnail missing"
    )

    code, told, _ = check("--repair", data_dir=indexed)
    assert code == 1
    assert "1 mended, 1 not." in told
    assert thumbnail.read_bytes()[:2] == b"\xff\xd8"

    code, told, _ = check("--repair", "--forget-lost", data_dir=indexed)
    assert code == 0, told
    assert not lost.exists()
    assert other.exists()
    assert check(data_dir=indexed)[:2] == (0, f"2 pictures checked: {SOUND}\n")


def test_forgetting_is_a_way_of_repairing(tmp_path: Path, check: Check) -> None:
    code, _, told = check("--forget-lost", data_dir=tmp_path / "data")
    assert code == 2
    assert "--repair" in told


def test_without_an_index_there_is_nothing_to_check(tmp_path: Path, check: Check) -> None:
    code, _, told = check(data_dir=tmp_path / "data")
    assert code == 2
    assert "There is no index" in told
