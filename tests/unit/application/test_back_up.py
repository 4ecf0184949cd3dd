from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.stores.directory_backup_archive import DirectoryBackupArchive
from application.back_up import GROUP_SIZE, BackUp, Restore
from domain.embeddings import Embeddings, EmbeddingSpace
from domain.errors import ConfigurationError, EmbeddingSpaceError, IndexDamagedError, Remedy
from domain.images import ImageId, sha256_of
from tests.builders import a_space, an_object, indexed, some_embeddings
from tests.fakes import records_of
from tests.unit.application.workshop import Workshop, an_upload, id_of


async def back_up(workshop: Workshop, directory: Path) -> list:
    run = BackUp(repository=workshop.repository, store=workshop.store)
    return [step async for step in run(DirectoryBackupArchive(directory))]


async def restore(workshop: Workshop, directory: Path) -> list:
    run = Restore(repository=workshop.repository, originals=workshop.originals)
    return [step async for step in run(DirectoryBackupArchive(directory))]


async def another(space: EmbeddingSpace | None = None) -> Workshop:
    return await Workshop(space).open()


async def test_everything_comes_back(workshop: Workshop, tmp_path: Path) -> None:
    workshop.detector.found = (an_object("dog"), an_object("cat"))
    await workshop.index(*(an_upload(f"picture {n}".encode(), f"{n}.png", {"n": n}) for n in range(2 * GROUP_SIZE + 1)))
    steps = await back_up(workshop, tmp_path / "backup")
    assert (steps[-1].done, steps[-1].total) == (2 * GROUP_SIZE + 1, 2 * GROUP_SIZE + 1)

    other = await another()
    steps = await restore(other, tmp_path / "backup")

    assert steps[-1].done == steps[-1].total == 2 * GROUP_SIZE + 1
    before = await records_of(workshop.repository)
    assert await records_of(other.repository) == before
    assert [record.appearance for record in await records_of(other.repository)] == [r.appearance for r in before]
    assert all(record.appearance for record in before)
    assert other.store.originals == workshop.store.originals
    assert other.store.thumbnails == workshop.store.thumbnails
    ids = [record.id for record in before]
    ours, theirs = await workshop.repository.embeddings(ids), await other.repository.embeddings(ids)
    assert all((ours[id_] == theirs[id_]).all() for id_ in ids)
    ours, theirs = await workshop.repository.object_embeddings(ids), await other.repository.object_embeddings(ids)
    assert all(ours[id_].shape == (2, 16) and (ours[id_] == theirs[id_]).all() for id_ in ids)
    await restore(other, tmp_path / "backup")
    assert await records_of(other.repository) == before
    await other.repository.close()


async def test_objects_that_are_detected_anew_meanwhile_keep_to_their_embeddings(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.detector.found = (an_object("dog"), an_object("cat"))
    await workshop.index(b"hat", b"coat", b"gone")
    read, times = workshop.repository.object_embeddings, 0

    async def amid_a_reindexing(ids: Collection[ImageId]) -> Mapping[ImageId, Embeddings]:
        nonlocal times
        times += 1
        if times == 1:
            hat = (await workshop.repository.get([id_of(b"hat")]))[id_of(b"hat")]
            objects = (an_object("cup"),)
            image = replace(hat, objects=objects)
            await workshop.repository.upsert([indexed(image, embedding=some_embeddings(1, seed=77)[0])])
            await workshop.delete.one(id_of(b"gone"))
        return await read(ids)

    monkeypatch.setattr(workshop.repository, "object_embeddings", amid_a_reindexing)
    await back_up(workshop, tmp_path / "backup")
    other = await another()
    await restore(other, tmp_path / "backup")

    assert times == 2
    assert await records_of(other.repository) == await records_of(workshop.repository)
    ids = [id_of(b"hat"), id_of(b"coat")]
    for name in ("embeddings", "object_embeddings"):
        ours, theirs = await getattr(workshop.repository, name)(ids), await getattr(other.repository, name)(ids)
        assert all((ours[id_] == theirs[id_]).all() for id_ in ids)
    await other.repository.close()


async def test_a_restore_writes_files_before_records_and_keeps_the_rest(workshop: Workshop, tmp_path: Path) -> None:
    await workshop.index(b"hat")
    await back_up(workshop, tmp_path / "backup")
    other = await another()
    await other.index(b"coat", an_upload(b"hat", metadata={"replaced": True}))
    other.journal.clear()
    await restore(other, tmp_path / "backup")
    assert other.journal == [f"put {sha256_of(b'hat')}", f"upsert {id_of(b'hat')}"]
    found = {record.id: record.metadata for record in await records_of(other.repository)}
    assert found == {id_of(b"hat"): {}, id_of(b"coat"): {}}
    await other.repository.close()


async def test_another_space_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    await workshop.index(b"hat")
    await back_up(workshop, tmp_path / "backup")
    other = await another(a_space(model="another-model"))
    with pytest.raises(EmbeddingSpaceError, match=r"model: .* \(backup\) / another-model \(index\)"):
        await restore(other, tmp_path / "backup")
    assert await records_of(other.repository) == []
    await other.repository.close()


async def test_a_missing_original_is_not_passed_over(workshop: Workshop, tmp_path: Path) -> None:
    await workshop.index(b"hat", b"coat")
    await workshop.store.delete(sha256_of(b"hat"))
    with pytest.raises(IndexDamagedError, match=f"stored original of {id_of(b'hat')} is missing") as caught:
        await back_up(workshop, tmp_path / "backup")
    assert caught.value.remedy is Remedy.RESTORE_OR_FORGET_THE_IMAGE
    with pytest.raises(ConfigurationError, match="incomplete"):
        await restore(workshop, tmp_path / "backup")


async def test_a_missing_thumbnail_is(workshop: Workshop, tmp_path: Path) -> None:
    await workshop.index(b"hat", b"coat")
    await workshop.store.delete_thumbnails(sha256_of(b"hat"))
    await back_up(workshop, tmp_path / "backup")
    other = await another()
    await restore(other, tmp_path / "backup")
    assert len(other.store.originals) == 2
    assert [sha256 for sha256, sides in other.store.thumbnails.items() if sides] == [sha256_of(b"coat")]
    await other.repository.close()


async def test_a_damaged_original_is_replaced(workshop: Workshop, tmp_path: Path) -> None:
    await workshop.index(b"hat")
    await back_up(workshop, tmp_path / "backup")
    workshop.store.originals[sha256_of(b"hat")] = b"hut"
    await restore(workshop, tmp_path / "backup")
    assert workshop.store.originals[sha256_of(b"hat")] == b"hat"


async def test_names_come_back_and_what_they_replace_goes(workshop: Workshop, tmp_path: Path) -> None:
    await workshop.index(*(an_upload(b"hat", key=key, source=f"/mnt/{key}") for key in ("hats/1", "hats/2")))
    await back_up(workshop, tmp_path / "backup")
    other = await another()
    await other.index(an_upload(b"another hat", key="hats/2"))
    await restore(other, tmp_path / "backup")
    assert await records_of(other.repository) == await records_of(workshop.repository)
    assert other.store.originals == {sha256_of(b"hat"): b"hat"}
    await other.repository.close()


async def test_an_image_that_has_lost_objects_is_not_passed_over(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await workshop.index(b"hat")

    async def object_embeddings(ids: Collection[ImageId]) -> Mapping[ImageId, None]:
        return dict.fromkeys(ids)

    monkeypatch.setattr(workshop.repository, "object_embeddings", object_embeddings)
    with pytest.raises(IndexDamagedError, match=f"Objects of image {id_of(b'hat')} are missing"):
        await back_up(workshop, tmp_path / "backup")


async def test_an_empty_index_can_be_backed_up(workshop: Workshop, tmp_path: Path) -> None:
    assert await back_up(workshop, tmp_path / "backup") == []
    assert await restore(workshop, tmp_path / "backup") == []


async def test_what_is_patched_while_a_page_is_copied_is_backed_up_as_it_is_by_then(
    workshop: Workshop, tmp_path: Path
) -> None:
    await workshop.index(b"patched", *(f"picture {n}".encode() for n in range(GROUP_SIZE)))  # newest first
    run = BackUp(repository=workshop.repository, store=workshop.store)
    steps = run(DirectoryBackupArchive(tmp_path / "backup"))
    await anext(steps)
    await workshop.edit(id_of(b"patched"), {"n": 1})
    _ = [step async for step in steps]

    other = await another()
    await restore(other, tmp_path / "backup")
    assert (await other.repository.get([id_of(b"patched")]))[id_of(b"patched")].metadata == {"n": 1}
    await other.repository.close()
