"""What older releases have written, as they wrote it: `samples/` is of the last one before format 3 of the index.

It has indexed three pictures and backed them up: `data-format-2.tar.gz` is its data directory, and
`backup-version-1.tar.gz` its backup.
"""

import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.repositories.qdrant.layout import FORMAT
from adapters.stores.directory_backup_archive import DirectoryBackupArchive
from adapters.stores.file_system_image_store import FileSystemImageStore
from application.back_up import Restore
from application.shared_originals import SharedOriginals
from domain.errors import ConfigurationError
from domain.filters import AnyOf, Field, Filter, InRange
from domain.images import ImageRecord
from domain.ports.thumbnail_renderer import DEFAULT_THUMBNAIL_SIDE
from entrypoints.remedies import explained
from tests.builders import a_query
from tests.integration.cli.command import lookalike
from tests.repositories import embedded_repository

SAMPLES = Path(__file__).parents[2] / "samples"
METADATA = {"price": 19.99, "brand": "acme", "n": 3, "sale": True, "tags": ["a", "b"]}
LABELS = {"hat.jpg": "frisbee", "dress.jpg": "skateboard", "coffee.jpg": "cup"}


def extracted(name: str, directory: Path) -> Path:
    with tarfile.open(SAMPLES / f"{name}.tar.gz") as archive:
        archive.extractall(directory, filter="data")
    return directory / name.split("-", maxsplit=1)[0]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data directory, which nothing may change, beside the backup. It takes 259 MB: once is enough."""
    directory = tmp_path_factory.mktemp("older")
    extracted("backup-version-1", directory)
    yield extracted("data-format-2", directory)
    shutil.rmtree(directory)


def files_in(directory: Path) -> set[Path]:
    return {path for path in directory.rglob("*") if path.is_file()}


async def test_an_index_of_an_older_format_is_refused_with_the_way_out(data: Path) -> None:
    before = files_in(data)
    for space in (None, await DirectoryBackupArchive(data.parent / "backup").read_space()):
        repository = embedded_repository(data / "index")
        with pytest.raises(ConfigurationError) as refused:
            await repository.open(space)
        told = explained(refused.value)
        assert f"has format 2; this version reads format {FORMAT}" in told
        assert "lookalike backup" in told
        assert "lookalike restore" in told
        await repository.close()
    assert files_in(data) == before, "the release that wrote it can still read it"


@pytest.mark.parametrize("command", [("list",), ("backup", "new"), ("restore", "backup")])
def test_commands_refuse_it_with_the_way_out(data: Path, command: tuple[str, ...]) -> None:
    ended = lookalike(*command, data_dir=data, settings={"DETECTOR__RUNTIME": "none"})
    assert ended.returncode == 2
    assert "holds pictures in format 1" in ended.stderr
    assert "lookalike backup" in ended.stderr
    assert "lookalike restore" in ended.stderr
    assert ended.stderr.count("\n") == 1


async def test_its_backup_restores(tmp_path: Path) -> None:
    backup = extracted("backup-version-1", tmp_path)
    archive = DirectoryBackupArchive(backup)
    store = FileSystemImageStore(tmp_path / "images", reserve_bytes=0)
    await store.open()
    repository = embedded_repository(tmp_path / "index")
    await repository.open(await archive.read_space())
    originals = SharedOriginals(store=store, repository=repository)
    steps = [step async for step in Restore(repository=repository, originals=originals)(archive)]
    assert (steps[-1].done, steps[-1].total) == (3, 3)

    stored = {record.filename: record for record in (await repository.list(limit=10)).items}
    assert list(stored) == ["hat.jpg", "dress.jpg", "coffee.jpg"]
    lines = [json.loads(line) for line in (backup / "groups" / "000000.jsonl").read_text().splitlines()]
    vectors = np.load(backup / "groups" / "000000.npy")
    object_vectors = np.load(backup / "groups" / "000000.objects.npy")
    assert len(lines) == len(vectors) == len(object_vectors) == 3
    for line, vector, object_vector in zip(lines, vectors, object_vectors, strict=True):
        record = stored[line["filename"]]
        assert_as_written(record, line)
        [best] = await repository.nearest(a_query(vector, limit=1))
        assert (best.image, best.score) == (record, pytest.approx(1.0, abs=1e-5))
        [best] = await repository.nearest_objects(a_query(object_vector, limit=1))
        assert (best.image, best.region) == (record, record.objects[0])
        assert best.score == pytest.approx(1.0, abs=1e-5)
        original = (backup / "originals" / str(record.id)[:2] / str(record.id)).read_bytes()
        assert await store.original(record.sha256) == original
        assert await store.thumbnail(record.sha256, DEFAULT_THUMBNAIL_SIDE)
        assert (record.key, record.source, record.updated_at) == (None, None, record.created_at)
    price = Field("metadata.price")
    assert await repository.count(Filter(all=(AnyOf(price, (19.99,)), InRange(field=price, gte=19.99)))) == 3
    await repository.close()


@pytest.mark.timeout(300)
def test_its_backup_is_taken_over_by_the_commands_that_are_told(tmp_path: Path) -> None:
    """As its users do it: restored without their old encoder, which nobody has any more, and encoded anew."""
    backup, data = extracted("backup-version-1", tmp_path), tmp_path / "data"
    here: dict[str, Any] = {"data_dir": data, "settings": {"DETECTOR__RUNTIME": "none"}}
    restored = lookalike("restore", backup, **here)
    assert (restored.returncode, restored.stdout) == (0, "3 pictures restored\n"), restored.stderr
    original = next((backup / "originals").glob("*/*"))
    refused = lookalike("search", original, **here)
    assert refused.returncode == 2
    assert "`lookalike reindex --embeddings`" in refused.stderr
    reindexed = lookalike("reindex", "--embeddings", **here)
    assert (reindexed.returncode, reindexed.stdout) == (0, "3 pictures encoded with tf_efficientnet_lite1\n")
    found = json.loads(lookalike("search", original, "--json", **here).stdout)
    first, *others = found["matches"]
    assert (first["score"], first["band"], len(others)) == (1.0, "identical", 2)
    assert first["image"]["metadata"] == METADATA
    assert len(first["image"]["objects"]) == 1

    into_another = lookalike("restore", backup, **here)
    assert into_another.returncode == 2
    assert "into an empty LOOKALIKE_DATA_DIR" in into_another.stderr


def assert_as_written(record: ImageRecord, line: dict[str, object]) -> None:
    for name in ("filename", "media_type", "width", "height", "size_bytes", "sha256", "detection"):
        assert getattr(record, name) == line[name]
    assert str(record.id) == line["id"]
    assert record.created_at.isoformat() == line["created_at"]
    assert record.metadata == line["metadata"] == METADATA
    assert [type(value) for value in record.metadata.values()] == [float, str, int, bool, list]
    assert [
        {
            "label": found.label,
            "score": found.score,
            "box": {side: getattr(found.box, side) for side in ("x_min", "y_min", "x_max", "y_max")},
        }
        for found in record.objects
    ] == line["objects"]
    assert [found.label for found in record.objects] == [LABELS[record.filename]]
