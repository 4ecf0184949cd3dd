import pytest

from application.browse_images import BrowseImages
from domain.errors import ImageNotFoundError, StorageFullError
from domain.images import sha256_of
from tests.fakes import FakeThumbnails, records_of
from tests.unit.application.workshop import TYPES, Workshop, id_of

HAT = sha256_of(b"hat")


@pytest.fixture
def browse(workshop: Workshop) -> BrowseImages:
    return BrowseImages(
        repository=workshop.repository,
        store=workshop.store,
        decoder=workshop.decoder,
        thumbnails=FakeThumbnails(),
        types=TYPES,
    )


async def test_a_stored_thumbnail_is_not_rendered_again(
    workshop: Workshop, browse: BrowseImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    await workshop.index(b"hat")
    monkeypatch.setattr(workshop.store, "original", None)
    [record] = await records_of(workshop.repository)
    assert await browse.thumbnail(record) == workshop.store.thumbnails[HAT][384]


@pytest.mark.parametrize("side", [128, 1024])
async def test_a_missing_thumbnail_is_rendered_once_and_kept(
    workshop: Workshop, browse: BrowseImages, monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    await workshop.index(b"hat")
    [record] = await records_of(workshop.repository)
    thumbnail = await browse.thumbnail(record, side)
    assert thumbnail.startswith(b"thumbnail of %d" % side)
    assert workshop.store.thumbnails[HAT].keys() == {384, side}
    monkeypatch.setattr(workshop.store, "original", None)
    assert await browse.thumbnail(record, side) == thumbnail


async def test_without_room_a_thumbnail_is_answered_all_the_same(
    workshop: Workshop, browse: BrowseImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    await workshop.index(b"hat")
    [record] = await records_of(workshop.repository)
    workshop.store.full = True
    with pytest.raises(StorageFullError):
        await workshop.store.put(HAT, thumbnails={128: b"small"})
    assert await browse.thumbnail(record, 128)
    assert workshop.store.thumbnails[HAT].keys() == {384}


async def test_an_image_that_was_deleted_meanwhile_has_no_thumbnail(workshop: Workshop, browse: BrowseImages) -> None:
    await workshop.index(b"hat")
    [record] = await records_of(workshop.repository)
    await workshop.delete.one(id_of(b"hat"))
    for side in (128, 384):
        with pytest.raises(ImageNotFoundError):
            await browse.thumbnail(record, side)
    assert workshop.store.written == {}
