import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.stores.directory_backup_archive import DirectoryBackupArchive
from domain.errors import ConfigurationError
from domain.images import id_of_content, sha256_of
from domain.metadata import MAX_INTEGER
from domain.names import id_of_key
from domain.ports.backup_archive import BackedUpImage
from tests.builders import a_space, an_image, an_object


def backed_up(number: int = 0, *, original: bytes | None = None, **changes: object) -> BackedUpImage:
    content = f"picture {number}".encode() if original is None else original
    sha256 = sha256_of(content)
    fields: dict[str, Any] = {"id": id_of_content(sha256), "sha256": sha256, "size_bytes": len(content), **changes}
    image = an_image(number, **fields)
    return BackedUpImage(image=image, original=content, thumbnail=f"thumbnail {number}".encode())


A_GROUP = {"images": 1, "records_sha256": "", "embeddings_sha256": "", "object_embeddings_sha256": ""}


async def write(root: Path, *groups: Sequence[BackedUpImage]) -> None:
    archive = DirectoryBackupArchive(root)
    await archive.begin(a_space())
    for group in groups:
        await archive.append(group)
    await archive.finish()


async def read(root: Path) -> list[BackedUpImage]:
    return [item async for group in DirectoryBackupArchive(root).images() for item in group]


EXTREMES = {
    "no metadata, no objects": {},
    "every kind of metadata": {
        "metadata": {
            "text": 'line\nbreak, "quotes", \u2028 and \x85',
            "empty": "",
            "largest": MAX_INTEGER,
            "float": 0.1 + 0.2,
            "integral float": 1.0,
            "yes": True,
            "tags": ["ä", "", "日本"],
            "no tags": [],
            "a.b[0]": -1e-300,
        }
    },
    "filename beyond ASCII": {"filename": "Größe 大 🧥 \u2028.jpg"},
    "filename that is no path": {"filename": "../../etc/passwd\x00"},
    "filename of undecodable bytes": {"filename": "caf\udce9.jpg"},
    "objects": {"objects": (an_object("dog", score=1 / 3), an_object("traffic light", x=0.1 + 0.2))},
    "objects that some detector found": {"objects": (an_object(),), "detection": "0123456789abcdef"},
    "first instant": {"created_at": datetime.fromisoformat("0001-01-01T00:00:00.000001+00:00")},
    "no bytes": {"original": b""},
    "bytes of every value": {"original": bytes(range(256)) * 1000},
}


@pytest.mark.parametrize("changes", EXTREMES.values(), ids=EXTREMES.keys())
async def test_extremes_come_back_as_they_went(tmp_path: Path, changes: dict[str, object]) -> None:
    item = backed_up(7, **changes)  # type: ignore[arg-type]

    await write(tmp_path / "backup", [item])

    [found] = await read(tmp_path / "backup")
    assert found.image.record == item.image.record
    assert [type(v) for v in found.image.record.metadata.values()] == [
        type(v) for v in item.image.record.metadata.values()
    ]
    np.testing.assert_array_equal(found.image.embedding, item.image.embedding)
    assert found.image.embedding.dtype == np.float32
    np.testing.assert_array_equal(found.image.object_embeddings, item.image.object_embeddings)
    assert found.image.object_embeddings.shape == (len(item.image.record.objects), 16)
    assert found.image.object_embeddings.dtype == np.float32
    assert (found.original, found.thumbnail) == (item.original, item.thumbnail)


async def test_names_and_times_come_back(tmp_path: Path) -> None:
    key = "hats/1"
    later = datetime.fromisoformat("2026-02-01T00:00:00+00:00")
    item = backed_up(1, id=id_of_key(key), key=key, source="/mnt/hats/1.png", updated_at=later)
    await write(tmp_path / "backup", [item])
    [found] = await read(tmp_path / "backup")
    assert found.image.record == item.image.record


async def test_images_of_the_same_bytes_share_their_files(tmp_path: Path) -> None:
    items = [backed_up(1, id=id_of_key(key), key=key) for key in ("hats/1", "hats/2")]
    await write(tmp_path / "backup", items[:1], [replace(items[1], thumbnail=b"rendered otherwise")])
    assert len(list((tmp_path / "backup" / "originals").glob("*/*"))) == 1
    assert [(item.original, item.thumbnail) for item in await read(tmp_path / "backup")] == [
        (b"picture 1", b"thumbnail 1")
    ] * 2


async def test_an_image_may_lack_its_thumbnail(tmp_path: Path) -> None:
    await write(tmp_path / "backup", [replace(backed_up(1), thumbnail=None), backed_up(2)])
    assert [item.thumbnail for item in await read(tmp_path / "backup")] == [None, b"thumbnail 2"]


async def test_a_backup_of_version_1_is_read() -> None:
    sample = Path(__file__).parent / "backup-1"
    assert await DirectoryBackupArchive(sample).read_space() == a_space()
    expected = [
        backed_up(
            1,
            metadata={"colour": "red", "tags": ["a", "b"]},
            objects=(an_object(),),
            detection="0123456789abcdef",
        ),
        backed_up(2),
    ]
    found = await read(sample)
    assert [item.image.record for item in found] == [item.image.record for item in expected]
    for item, other in zip(found, expected, strict=True):
        assert (item.original, item.thumbnail) == (other.original, other.thumbnail)
        np.testing.assert_array_equal(item.image.embedding, other.image.embedding)
        assert item.image.object_embeddings.shape == other.image.object_embeddings.shape


@pytest.mark.parametrize(("damage", "said"), [({"key": "hats/2"}, "its key"), ({"key": None}, "its content")])
async def test_an_id_that_does_not_follow_is_damage(tmp_path: Path, damage: dict[str, object], said: str) -> None:
    key = "hats/1"
    root = tmp_path / "backup"
    await write(root, [backed_up(1, id=id_of_key(key), key=key)])
    [records] = root.glob("groups/*.jsonl")
    records.write_text(json.dumps(json.loads(records.read_text()) | damage) + "\n")
    manifest = json.loads((root / "manifest.json").read_text())
    manifest["groups"][0]["records_sha256"] = sha256_of(records.read_bytes())
    (root / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ConfigurationError, match=f"is not the id of {said}"):
        await read(root)


async def test_groups_come_back_in_order_with_their_space_and_count(tmp_path: Path) -> None:
    items = [backed_up(number, objects=(an_object(),) * (number % 3)) for number in range(5)]

    await write(tmp_path / "backup", items[:2], [], items[2:])

    archive = DirectoryBackupArchive(tmp_path / "backup")
    assert await archive.read_space() == a_space()
    assert await archive.count() == 5
    found = await read(tmp_path / "backup")
    assert [item.image.record for item in found] == [item.image.record for item in items]
    for item, expected in zip(found, items, strict=True):
        np.testing.assert_array_equal(item.image.object_embeddings, expected.image.object_embeddings)


async def test_large_originals_are_not_held_all_at_once(tmp_path: Path) -> None:
    items = [backed_up(number, original=bytes([number]) * 40 * 1024 * 1024) for number in range(3)]
    await write(tmp_path / "backup", items)

    sizes = [len(group) async for group in DirectoryBackupArchive(tmp_path / "backup").images()]

    assert sizes == [2, 1]


async def test_an_empty_index_makes_a_complete_backup(tmp_path: Path) -> None:
    await write(tmp_path / "backup")

    assert await DirectoryBackupArchive(tmp_path / "backup").count() == 0
    assert await read(tmp_path / "backup") == []


async def test_an_existing_empty_directory_will_do(tmp_path: Path) -> None:
    await write(tmp_path, [backed_up()])

    assert len(await read(tmp_path)) == 1


async def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")

    with pytest.raises(ConfigurationError, match="not empty"):
        await DirectoryBackupArchive(tmp_path).begin(a_space())
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


async def test_a_complete_backup_is_never_overwritten(tmp_path: Path) -> None:
    await write(tmp_path, [backed_up(1)])

    with pytest.raises(ConfigurationError, match="complete backup already"):
        await DirectoryBackupArchive(tmp_path).begin(a_space())
    assert len(await read(tmp_path)) == 1


async def test_an_interrupted_backup_cannot_be_read_and_can_be_made_again(tmp_path: Path) -> None:
    interrupted = DirectoryBackupArchive(tmp_path)
    await interrupted.begin(a_space())
    await interrupted.append([backed_up(1)])

    with pytest.raises(ConfigurationError, match="incomplete"):
        await DirectoryBackupArchive(tmp_path).read_space()

    await write(tmp_path, [backed_up(2)])
    assert [item.image.record.id for item in await read(tmp_path)] == [backed_up(2).image.record.id]
    assert len([path for path in (tmp_path / "originals").rglob("*") if path.is_file()]) == 1


@pytest.mark.parametrize(
    ("step", "done_before"),
    [("replace", 0), ("mkdir", 1), ("mkdir", 4), ("mkdir", 300)],
    ids=["its manifest", "no folder", "all kinds of folders", "half the folders"],
)
@pytest.mark.parametrize("interrupted_before", [False, True])
async def test_a_backup_killed_while_it_begins_can_be_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, done_before: int, interrupted_before: bool
) -> None:
    if interrupted_before:
        await DirectoryBackupArchive(tmp_path).begin(a_space())
    really, done = getattr(Path, step), count()

    def until_killed(*args: Any, **kwargs: Any) -> object:
        if next(done) == done_before:
            raise RuntimeError("killed")
        return really(*args, **kwargs)

    with monkeypatch.context() as killing:
        killing.setattr(Path, step, until_killed)
        with pytest.raises(RuntimeError, match="killed"):
            await DirectoryBackupArchive(tmp_path).begin(a_space())
    with pytest.raises(ConfigurationError, match=r"incomplete|holds no backup"):
        await DirectoryBackupArchive(tmp_path).read_space()

    await write(tmp_path, [backed_up()])
    assert len(await read(tmp_path)) == 1


async def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    await write(tmp_path, [backed_up()])
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"version": 3}))

    with pytest.raises(ConfigurationError, match="format version 3; this release reads up to 2"):
        await DirectoryBackupArchive(tmp_path).read_space()


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"format": "other"}'])
async def test_what_is_no_backup_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)

    with pytest.raises(ConfigurationError, match=r"holds no backup|is damaged"):
        await DirectoryBackupArchive(tmp_path).count()


@pytest.mark.parametrize(
    "pattern", ["originals/*/*", "thumbnails/*/*", "groups/*.jsonl", "groups/000000.npy", "groups/*.objects.npy"]
)
@pytest.mark.parametrize("damage", ["alter", "remove"])
async def test_damage_is_found_and_named(tmp_path: Path, pattern: str, damage: str) -> None:
    await write(tmp_path, [backed_up(objects=(an_object(),))])
    [victim] = tmp_path.glob(pattern)
    if damage == "remove":
        victim.unlink()
    else:
        content = bytearray(victim.read_bytes())
        content[-2] ^= 1
        victim.write_bytes(content)

    with pytest.raises(ConfigurationError, match="damaged") as caught:
        await read(tmp_path)
    assert str(victim.relative_to(tmp_path)) in str(caught.value)


async def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigurationError, match="cannot be written"):
        await DirectoryBackupArchive(tmp_path / "file" / "backup").begin(a_space())


@pytest.mark.parametrize(
    "damage",
    [
        {"groups": {}},
        {"groups": [[]]},
        *({"groups": [{key: value for key, value in A_GROUP.items() if key != missing}]} for missing in A_GROUP),
        {"groups": [A_GROUP | {"images": "1"}]},
        {"groups": [A_GROUP | {"records_sha256": None}]},
        {"space": []},
        {"space": {}},
    ],
    ids=str,
)
async def test_a_damaged_manifest_is_named(tmp_path: Path, damage: dict[str, object]) -> None:
    await write(tmp_path, [backed_up()])
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | damage))

    archive = DirectoryBackupArchive(tmp_path)
    for reading in (archive.read_space, archive.count) if "groups" in damage else (archive.read_space,):
        with pytest.raises(ConfigurationError, match=r"is damaged \(manifest.json"):
            await reading()
