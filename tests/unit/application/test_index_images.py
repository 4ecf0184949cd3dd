import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import pytest

from adapters.decoding.pillow_image_decoder import PillowImageDecoder
from application.index_images import GROUP_SIZE, GROUPS_AT_ONCE
from application.prepare_pictures import Upload
from domain.callers import Deadline, is_bulk, raise_if_over, set_deadline, within
from domain.embeddings import Embeddings
from domain.errors import (
    BodyTooLargeError,
    DeadlinePassedError,
    EncoderUnavailableError,
    ImageUnreadableError,
    InternalError,
    RepositoryUnavailableError,
    StorageFullError,
)
from domain.images import ImageId, ImageRecord, IndexedImage, sha256_of
from domain.ports.thumbnail_renderer import DEFAULT_THUMBNAIL_SIDE
from domain.raster import RasterImage
from tests.fakes import UNREADABLE, records_of
from tests.pictures import a_picture
from tests.unit.application.workshop import Workshop, an_upload, id_of


def statuses(outcomes: list) -> list[str]:
    return [outcome.status for outcome in outcomes]


async def test_the_record_is_written_after_the_files(workshop: Workshop) -> None:
    contents = [f"picture {number}".encode() for number in range(3)]
    await workshop.index(*contents)
    for content in contents:
        put, upsert = (
            workshop.journal.index(line) for line in (f"put {sha256_of(content)}", f"upsert {id_of(content)}")
        )
        assert put < upsert


async def test_the_next_pictures_are_encoded_while_a_group_is_stored(workshop: Workshop) -> None:
    encode, put = workshop.encoder.encode, workshop.store.put
    encoded_more = asyncio.Event()

    async def encode_and_note(images: Sequence[RasterImage]) -> Embeddings:
        if sum(line.startswith("encode") for line in workshop.journal) == GROUP_SIZE:
            encoded_more.set()
        return await encode(images)

    async def put_late(sha256: str, *, original: bytes, thumbnails: Mapping[int, bytes]) -> None:
        await asyncio.wait_for(encoded_more.wait(), 10)
        await put(sha256, original=original, thumbnails=thumbnails)

    workshop.encoder.encode = encode_and_note  # type: ignore[method-assign]
    workshop.store.put = put_late  # type: ignore[method-assign]
    contents = [f"picture {number}".encode() for number in range(2 * GROUP_SIZE)]
    outcomes = await workshop.index(*contents)
    assert statuses(outcomes) == ["created"] * len(contents)
    assert [outcome.image.id for outcome in outcomes if outcome.image] == [id_of(content) for content in contents]


async def test_only_many_together_are_bulk_work(workshop: Workshop) -> None:
    bulk: list[bool] = []
    encode = workshop.encoder.encode

    async def noted(images: Sequence[RasterImage]) -> Embeddings:
        bulk.append(is_bulk())
        return await encode(images)

    workshop.encoder.encode = noted  # type: ignore[method-assign]
    await workshop.index_images.one(an_upload(b"one"))
    await workshop.index(b"two", b"three")
    await workshop.index_images.one(an_upload(b"four"))
    assert bulk == [False, True, True, False]


async def test_the_listing_has_them_in_the_order_sent(workshop: Workshop) -> None:
    contents = [f"picture {number}".encode() for number in range(GROUPS_AT_ONCE * GROUP_SIZE + 1)]
    await workshop.index(*contents)
    listed = [record.id for record in await records_of(workshop.repository)]
    assert listed == [id_of(content) for content in reversed(contents)]


async def test_the_record_says_what_came(workshop: Workshop) -> None:
    [outcome] = await workshop.index(an_upload(b"hat", "hat.png", {"brand": "acme"}))
    record = outcome.image
    assert record is not None
    assert (record.id, record.filename, record.media_type) == (id_of(b"hat"), "hat.png", "image/png")
    assert (record.width, record.height, record.size_bytes) == (32, 24, 3)
    assert record.metadata == {"brand": "acme"}
    assert await records_of(workshop.repository) == [record]
    assert workshop.store.originals[record.sha256] == b"hat"


async def test_one_failure_leaves_the_others(workshop: Workshop) -> None:
    async def too_large() -> bytes:
        raise BodyTooLargeError("too large")

    outcomes = await workshop.index(b"one", UNREADABLE, Upload(filename="large.png", read=too_large), b"", b"two")
    assert statuses(outcomes) == ["created", "failed", "failed", "failed", "created"]
    assert [type(outcome.error).__name__ for outcome in outcomes[1:4]] == [
        "ImageUnreadableError",
        "BodyTooLargeError",
        "UnsupportedImageError",
    ]
    assert {record.id for record in await records_of(workshop.repository)} == {id_of(b"one"), id_of(b"two")}
    assert set(workshop.store.originals.values()) == {b"one", b"two"}


async def test_an_error_without_a_name_fails_its_group_and_leaves_the_others(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    contents = [f"picture {number}".encode() for number in range((GROUPS_AT_ONCE + 2) * GROUP_SIZE)]
    put = workshop.store.put

    async def put_all_but_one(sha256: str, *, original: bytes, thumbnails: Mapping[int, bytes]) -> None:
        if original == contents[GROUP_SIZE]:
            raise PermissionError("a secret of the house")
        await put(sha256, original=original, thumbnails=thumbnails)

    monkeypatch.setattr(workshop.store, "put", put_all_but_one)
    outcomes = await workshop.index(*contents)

    others = GROUPS_AT_ONCE * GROUP_SIZE
    assert statuses(outcomes) == ["created"] * GROUP_SIZE + ["failed"] * GROUP_SIZE + ["created"] * others
    assert {(type(outcome.error), str(outcome.error)) for outcome in outcomes if outcome.error} == {
        (InternalError, "Something failed that should not. The log tells more.")
    }
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], PermissionError)
    monkeypatch.undo()
    assert statuses(await workshop.index(*contents[GROUP_SIZE : 2 * GROUP_SIZE])) == ["created"] * GROUP_SIZE


async def test_one_raises_an_error_without_a_name_as_it_is(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    async def put(sha256: str, *, original: bytes, thumbnails: Mapping[int, bytes]) -> None:
        raise PermissionError

    monkeypatch.setattr(workshop.store, "put", put)
    with pytest.raises(PermissionError):
        await workshop.index_images.one(an_upload(b"hat"))


@pytest.mark.parametrize("failure", ["encoder away", "without a name", "cancelled"])
async def test_of_a_picture_that_fails_no_memory_counts_any_more(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    decoder = PillowImageDecoder(threads=1)
    index_images = replace(workshop.index_images, prepare=replace(workshop.index_images.prepare, decoder=decoder))
    counted: list[int] = []
    encode = workshop.encoder.encode

    async def fail(images: Sequence[RasterImage]) -> Embeddings:
        counted.append(decoder.budget.decoded.in_use)
        if failure == "without a name":
            raise PermissionError
        if failure == "cancelled":
            raise asyncio.CancelledError
        return await encode(images)

    monkeypatch.setattr(workshop.encoder, "encode", fail)
    workshop.encoder.failure = EncoderUnavailableError("away")
    with pytest.raises((EncoderUnavailableError, PermissionError, asyncio.CancelledError)):
        await index_images.one(an_upload(a_picture(1)))
    assert counted[0] > 0
    assert (decoder.budget.admitted, decoder.budget.decoded.in_use) == (0, 0)
    await decoder.close()


async def test_an_outcome_that_is_kept_keeps_no_picture(workshop: Workshop) -> None:
    workshop.encoder.failure = EncoderUnavailableError("away")
    [outcome] = await workshop.index(b"hat")
    assert outcome.error is not None
    assert outcome.error.__traceback__ is None, "its frames hold what was decoded"


async def test_pictures_that_others_change_are_waited_for_until_the_deadline(
    workshop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    async with workshop.index_images.locks.hold([id_of(b"hat")]):
        with within(Deadline(time.monotonic() + 0.05)):
            outcomes = await workshop.index(b"shoe", b"hat")
    assert [type(outcome.error) for outcome in outcomes] == [DeadlinePassedError] * 2
    assert caplog.records == []


async def test_twins_in_one_call_are_one_image(workshop: Workshop) -> None:
    outcomes = await workshop.index(
        an_upload(b"hat", "first.png", {"n": 1}), b"other", an_upload(b"hat", "second.png", {"n": 2}), b"hat"
    )
    assert statuses(outcomes) == ["created", "created", "exists", "exists"]
    assert [outcome.upload.filename for outcome in outcomes] == ["first.png", "a.png", "second.png", "a.png"]
    record = (await workshop.repository.get([id_of(b"hat")]))[id_of(b"hat")]
    assert (record.filename, record.metadata) == ("first.png", {"n": 2})
    assert workshop.journal.count(f"put {sha256_of(b'hat')}") == 1


async def test_what_is_there_is_not_encoded_again(workshop: Workshop) -> None:
    await workshop.index(an_upload(b"hat", metadata={"brand": "acme"}))
    workshop.journal.clear()
    workshop.encoder.failure = EncoderUnavailableError("away")
    [same] = await workshop.index(b"hat")
    assert (same.status, same.image.metadata if same.image else None) == ("exists", {"brand": "acme"})
    assert workshop.journal == []
    [equal] = await workshop.index(an_upload(b"hat", metadata={"brand": "acme"}))
    assert (equal.status, workshop.journal) == ("exists", [])
    [emptied] = await workshop.index(an_upload(b"hat", metadata={}))
    assert emptied.image is not None
    assert emptied.image.metadata == {}


@pytest.mark.parametrize("fault", ["store full", "encoder away", "repository away"])
async def test_what_cannot_be_committed_fails_and_is_not_searchable(workshop: Workshop, fault: str) -> None:
    workshop.store.full = fault == "store full"
    if fault == "encoder away":
        workshop.encoder.failure = EncoderUnavailableError("away")
    if fault == "repository away":
        workshop.repository.failure = RepositoryUnavailableError("away")

    outcomes = await workshop.index(b"one", b"two")

    assert statuses(outcomes) == ["failed", "failed"]
    assert await records_of(workshop.repository) == []
    if fault != "repository away":  # then the record may have arrived, and keeps its files
        assert workshop.store.originals == {}
    workshop.store.full, workshop.encoder.failure, workshop.repository.failure = False, None, None
    assert statuses(await workshop.index(b"one", b"two")) == ["created", "created"]


@pytest.mark.parametrize(("full", "said"), [(False, RepositoryUnavailableError), (True, StorageFullError)])
async def test_an_index_that_cannot_answer_for_want_of_room_says_that(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, full: bool, said: type[Exception]
) -> None:
    async def away(ids: Collection[ImageId]) -> Mapping[ImageId, ImageRecord]:
        raise RepositoryUnavailableError("away")

    monkeypatch.setattr(workshop.repository, "get", away)
    workshop.store.full = full
    with pytest.raises(said):
        await workshop.index_images.one(an_upload(b"hat"))


async def test_files_that_a_crash_left_are_taken_over(workshop: Workshop) -> None:
    await workshop.store.put(sha256_of(b"hat"), original=b"ha", thumbnails={DEFAULT_THUMBNAIL_SIDE: b"half"})
    [outcome] = await workshop.index(b"hat")
    assert outcome.status == "created"
    assert await workshop.store.original(sha256_of(b"hat")) == b"hat"
    assert await workshop.store.thumbnail(sha256_of(b"hat"), DEFAULT_THUMBNAIL_SIDE) != b"half"


async def test_one_raises_what_failed(workshop: Workshop) -> None:
    with pytest.raises(ImageUnreadableError):
        await workshop.index_images.one(an_upload(UNREADABLE))
    workshop.store.full = True
    with pytest.raises(StorageFullError):
        await workshop.index_images.one(an_upload(b"hat"))


async def test_a_passed_deadline_drops_the_work(workshop: Workshop) -> None:
    async def late() -> None:
        set_deadline(-1)
        with pytest.raises(DeadlinePassedError):
            await workshop.index_images.one(an_upload(b"hat"))

    await asyncio.create_task(late())
    assert workshop.store.originals == {}


async def test_who_goes_once_it_is_being_stored_leaves_it_whole(workshop: Workshop) -> None:
    deadline, put = Deadline(), workshop.store.put

    async def put_and_go(sha256: str, *, original: bytes, thumbnails: Mapping[int, bytes]) -> None:
        await put(sha256, original=original, thumbnails=thumbnails)
        deadline.gone = True

    workshop.store.put = put_and_go  # type: ignore[method-assign]
    with within(deadline):
        outcome = await workshop.index_images.one(an_upload(b"hat"))
    assert outcome.status == "created"
    assert [record.id for record in await records_of(workshop.repository)] == [id_of(b"hat")]


async def test_what_is_being_stored_is_stored_whole_though_its_caller_is_cancelled(workshop: Workshop) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()
    upsert = workshop.repository.upsert

    async def upsert_late(images: Sequence[IndexedImage]) -> None:
        begun.set()
        await may_end.wait()
        await upsert(images)

    workshop.repository.upsert = upsert_late  # type: ignore[method-assign]
    caller = asyncio.create_task(workshop.index_images.one(an_upload(b"hat")))
    await begun.wait()
    caller.cancel()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert [record.id for record in await records_of(workshop.repository)] == [id_of(b"hat")]


async def test_metadata_that_is_being_written_is_written_though_the_deadline_passes(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await workshop.index(b"hat")
    deadline, update = Deadline(), workshop.repository.update

    async def late(records: Sequence[ImageRecord]) -> Collection[ImageId]:
        deadline.at = 0.0
        raise_if_over()
        return await update(records)

    monkeypatch.setattr(workshop.repository, "update", late)
    with within(deadline):
        outcome = await workshop.index_images.one(an_upload(b"hat", metadata={"new": True}))
    assert outcome.image is not None
    assert outcome.image.metadata == {"new": True}


async def test_the_same_picture_from_many_at_once_is_created_once(workshop: Workshop) -> None:
    results = await asyncio.gather(*(workshop.index(an_upload(b"hat", f"{number}.png")) for number in range(10)))
    assert sorted(outcome.status for [outcome] in results) == ["created"] + ["exists"] * 9
    assert workshop.journal.count(f"upsert {id_of(b'hat')}") == 1


async def test_uploads_are_read_when_their_turn_comes(workshop: Workshop) -> None:
    read: list[int] = []

    def numbered(number: int) -> Upload:
        async def content() -> bytes:
            read.append(number)
            return f"picture {number}".encode()

        return Upload(filename=f"{number}.png", read=content)

    outcomes = workshop.index_images(numbered(number) for number in range(3 * GROUPS_AT_ONCE * GROUP_SIZE))
    await anext(outcomes)
    assert len(read) <= GROUPS_AT_ONCE * GROUP_SIZE + 1
    await outcomes.aclose()


async def test_no_uploads_make_no_outcomes(workshop: Workshop) -> None:
    assert await workshop.index() == []


@pytest.mark.parametrize("lost", ["all", "some bytes"])
async def test_sending_a_picture_again_puts_its_lost_original_back(workshop: Workshop, lost: str) -> None:
    await workshop.index(b"hat", b"coat")
    before, records = dict(workshop.store.originals), await records_of(workshop.repository)
    original = workshop.store.originals.pop(sha256_of(b"hat"))
    if lost == "some bytes":
        workshop.store.originals[sha256_of(b"hat")] = original[:-1]
    workshop.journal.clear()

    outcomes = await workshop.index(b"hat", b"coat")

    assert statuses(outcomes) == ["exists", "exists"]
    assert workshop.store.originals == before
    assert await records_of(workshop.repository) == records
    assert workshop.journal == [f"put {sha256_of(b'hat')}"], "what is there is not written again, nor encoded"


async def test_a_lost_file_that_cannot_be_put_back_is_a_failure(workshop: Workshop) -> None:
    await workshop.index(b"hat")
    workshop.store.originals.clear()
    workshop.store.full = True
    [outcome] = await workshop.index(an_upload(b"hat", metadata={"n": 1}))
    assert (outcome.status, type(outcome.error)) == ("failed", StorageFullError)
    assert [record.metadata for record in await records_of(workshop.repository)] == [{}]
