import json
from pathlib import Path

import pytest

from adapters.encoders.exported_model import PACKAGED, ExportedModel, packaged_names
from adapters.inference.model_directory import MANIFEST, new_directory
from domain.errors import ModelError


def test_it_appears_when_it_is_filled_and_replaces_what_was_there(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "model"
    for content in ("one", "two"):
        with new_directory(place) as new:
            (new / content).write_text(content)
            assert not (place / content).exists()
        assert [path.name for path in place.iterdir()] == [content]
    assert [path.name for path in place.parent.iterdir()] == ["model"]


def test_a_failure_leaves_things_as_they_were(tmp_path: Path) -> None:
    with new_directory(tmp_path / "model") as new:
        (new / "old").touch()

    def fail() -> None:
        with new_directory(tmp_path / "model") as new:
            (new / "new").touch()
            raise ModelError("not good enough")

    with pytest.raises(ModelError, match="not good enough"):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["old"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="cannot be written"), new_directory(tmp_path / "file" / "model"):
        pass


@pytest.mark.parametrize("field", ["projection", "int8", "likeness"])
def test_what_an_earlier_release_exported_is_told(tmp_path: Path, field: str) -> None:
    stored = json.loads((PACKAGED / packaged_names()[0] / MANIFEST).read_text())
    del stored[field]
    (tmp_path / MANIFEST).write_text(json.dumps(stored))
    with pytest.raises(
        ModelError, match=f"does not tell '{field}': an earlier release exported .* Export the model again"
    ):
        ExportedModel.read(tmp_path)
