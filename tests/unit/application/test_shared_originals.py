import logging
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta

import pytest

from application import shared_originals
from application.shared_originals import DELETE_WITHIN_SECONDS, SWEEP_AFTER, SharedOriginals
from domain.errors import BusyError, RepositoryUnavailableError, StorageFullError
from domain.images import sha256_of
from tests.contracts.image_store import ImageStoreContract
from tests.fakes import FakeStore
from tests.unit.application.workshop import Workshop, an_upload, id_of

HAT, COAT = sha256_of(b"hat"), sha256_of(b"coat")


class TestFakeStore(ImageStoreContract):
    @pytest.fixture
    async def store(self) -> FakeStore:
        return FakeStore()


class Time:
    """It passes only while someone sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def originals(workshop: Workshop, time: Time) -> SharedOriginals:
    return SharedOriginals(
        store=workshop.store, repository=workshop.repository, seconds=lambda: time.seconds, sleep=time.sleep
    )


async def put(workshop: Workshop, content: bytes, *, age: timedelta = timedelta(0)) -> str:
    """A file without a record."""
    sha256 = sha256_of(content)
    await workshop.store.put(sha256, original=content, thumbnails={384: b"small"})
    workshop.store.written[sha256] -= age
    return sha256


# Confirming


async def test_what_is_there_is_confirmed(workshop: Workshop, originals: SharedOriginals) -> None:
    await workshop.index(b"hat", b"coat")
    assert list(await originals.confirm({HAT: b"hat", COAT: None})) == []


async def test_a_group_takes_two_looks(
    workshop: Workshop, originals: SharedOriginals, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def counting(name: str) -> Callable[..., Awaitable[object]]:
        method = getattr(workshop.store, name)

        def counted(*arguments: object, **kwargs: object) -> Awaitable[object]:
            asked.append(name)
            return method(*arguments, **kwargs)  # type: ignore[no-any-return]

        return counted

    for name in ("marked", "sizes", "put"):
        monkeypatch.setattr(workshop.store, name, counting(name))
    contents = {sha256_of(content): content for content in (b"%d" % number for number in range(16))}
    for sha256, content in contents.items():
        await workshop.store.put(sha256, original=content)
    asked.clear()
    await originals.confirm(contents)
    assert asked == ["marked", "sizes"]


@pytest.mark.parametrize("there", [None, b"ha"])
async def test_what_is_gone_or_of_another_size_is_put_again(
    workshop: Workshop, originals: SharedOriginals, there: bytes | None
) -> None:
    if there is not None:
        workshop.store.originals[HAT] = there
    assert list(await originals.confirm({HAT: b"hat"})) == []
    assert workshop.store.originals == {HAT: b"hat"}


async def test_what_is_gone_for_good_is_answered(workshop: Workshop, originals: SharedOriginals) -> None:
    await put(workshop, b"coat")
    assert list(await originals.confirm({HAT: None, COAT: None})) == [HAT]


async def test_a_writer_waits_for_a_purge(
    workshop: Workshop, originals: SharedOriginals, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(workshop, b"hat")
    await workshop.store.mark(HAT)

    async def end_the_purge(seconds: float) -> None:
        time.seconds += seconds
        if time.seconds > 1:
            await workshop.store.delete(HAT)
            await workshop.store.unmark(HAT)

    monkeypatch.setattr(time, "sleep", end_the_purge)
    originals = SharedOriginals(
        store=workshop.store, repository=workshop.repository, seconds=lambda: time.seconds, sleep=end_the_purge
    )
    await originals.confirm({HAT: b"hat", COAT: b"coat"})
    assert workshop.store.originals == {HAT: b"hat", COAT: b"coat"}


async def test_a_writer_does_not_wait_for_ever(workshop: Workshop, originals: SharedOriginals, time: Time) -> None:
    await workshop.store.mark(HAT)
    with pytest.raises(BusyError):
        await originals.confirm({HAT: b"hat"})
    assert 10 < time.seconds < 11
    await originals.confirm({COAT: b"coat"})


# Purging


async def test_what_no_record_names_goes_and_the_rest_stays(workshop: Workshop, originals: SharedOriginals) -> None:
    await workshop.index(b"hat", an_upload(b"hat", key="hats/1"), b"shoe")
    await put(workshop, b"coat")
    await workshop.repository.delete([id_of(b"hat")])
    await originals.purge([HAT, COAT])
    assert workshop.store.originals.keys() == {HAT, sha256_of(b"shoe")}
    assert workshop.store.thumbnails.keys() == {HAT, sha256_of(b"shoe")}
    assert workshop.store.doomed == {}


async def test_what_an_index_under_construction_names_stays(workshop: Workshop, originals: SharedOriginals) -> None:
    await workshop.index(b"hat")
    target = await workshop.repository.replacement(workshop.repository.space)
    await target.upsert([image for image in workshop.repository._images.values()])  # noqa: C416
    await workshop.repository.delete([id_of(b"hat")])
    await originals.purge([HAT])
    assert HAT in workshop.store.originals


async def test_what_another_has_marked_is_left_to_it(workshop: Workshop, originals: SharedOriginals) -> None:
    await put(workshop, b"hat")
    await workshop.store.mark(HAT)
    await originals.purge([HAT])
    assert (workshop.store.originals.keys(), workshop.store.doomed.keys()) == ({HAT}, {HAT})


async def test_an_owner_that_is_late_leaves_all_to_a_take_over(
    workshop: Workshop, originals: SharedOriginals, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(workshop, b"hat")
    named = workshop.repository.named

    async def slowly(sha256s: Collection[str]) -> Collection[str]:
        time.seconds += DELETE_WITHIN_SECONDS + 1
        return await named(sha256s)

    monkeypatch.setattr(workshop.repository, "named", slowly)
    await originals.purge([HAT])
    assert (workshop.store.originals.keys(), workshop.store.doomed.keys()) == ({HAT}, {HAT})


async def test_a_failure_is_logged_and_leaves_no_mark_for_which_writers_would_wait(
    workshop: Workshop, originals: SharedOriginals, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await put(workshop, b"hat")

    async def away(sha256s: Collection[str]) -> Collection[str]:
        raise RepositoryUnavailableError("away")

    monkeypatch.setattr(workshop.repository, "named", away)
    await originals.purge([HAT])
    assert "left to a later sweep" in caplog.text
    assert (workshop.store.originals.keys(), workshop.store.doomed) == ({HAT}, {})
    await workshop.store.mark(HAT)
    with pytest.raises(RepositoryUnavailableError):
        await originals.take_over(older_than=timedelta(0))
    assert (workshop.store.originals.keys(), workshop.store.doomed) == ({HAT}, {})


async def test_what_is_taken_over_and_named_stays(workshop: Workshop, originals: SharedOriginals) -> None:
    await workshop.index(b"hat")
    await workshop.store.mark(HAT)
    assert await originals.take_over(older_than=timedelta(0)) == 1
    assert (workshop.store.originals.keys(), workshop.store.doomed) == ({HAT}, {})


@pytest.mark.parametrize("room", [True, False])
async def test_a_thumbnail_makes_room_for_a_mark(
    workshop: Workshop, originals: SharedOriginals, monkeypatch: pytest.MonkeyPatch, room: bool
) -> None:
    await put(workshop, b"hat")
    mark = workshop.store.mark

    async def without_room(sha256: str) -> bool:
        if not room or workshop.store.thumbnails:
            raise StorageFullError("no room")
        return await mark(sha256)

    monkeypatch.setattr(workshop.store, "mark", without_room)
    await originals.purge([HAT])
    assert (HAT in workshop.store.originals) is not room


async def test_many_are_purged_in_groups(
    workshop: Workshop, originals: SharedOriginals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_originals, "GROUP_SIZE", 3)
    sha256s = [await put(workshop, b"%d" % number) for number in range(7)]
    await originals.purge(sha256s)
    assert workshop.store.originals == {}


# Sweeping


async def test_a_sweep_removes_what_is_old_and_unnamed(workshop: Workshop, originals: SharedOriginals) -> None:
    await workshop.index(b"shoe", b"bag", b"cap")
    await put(workshop, b"hat", age=SWEEP_AFTER + timedelta(seconds=1))
    await put(workshop, b"coat", age=SWEEP_AFTER - timedelta(minutes=1))
    assert await originals.sweep() == 1
    assert HAT not in workshop.store.originals
    assert len(workshop.store.originals) == 4


async def test_a_sweep_of_a_wrong_index_removes_nothing(
    workshop: Workshop, originals: SharedOriginals, caplog: pytest.LogCaptureFixture
) -> None:
    await workshop.index(b"shoe")
    for content in (b"hat", b"coat"):
        await put(workshop, content, age=2 * SWEEP_AFTER)
    with caplog.at_level(logging.WARNING):
        assert await originals.sweep() == 0
    assert "right index" in caplog.text
    assert len(workshop.store.originals) == 3
