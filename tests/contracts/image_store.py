"""What the port ImageStore promises, as tests that every adapter passes. A subclass overrides the fixture `store`."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from domain.errors import ConfigurationError, ImageNotFoundError
from domain.images import sha256_of
from domain.ports.image_store import FileSizes, ImageStore

AT_ANY_AGE = timedelta(0)


def a_sha256(seed: int = 1) -> str:
    return sha256_of(seed.to_bytes(8, "big"))


class ImageStoreContract:
    @pytest.fixture
    async def store(self) -> ImageStore:
        """An opened, empty store."""
        raise NotImplementedError

    async def test_gives_back_what_was_put(self, store: ImageStore) -> None:
        await store.put(a_sha256(1), original=b"one", thumbnails={384: b"small one", 128: b"tiny one"})
        await store.put(a_sha256(2), original=bytes(range(256)) * 20_000)
        assert await store.original(a_sha256(1)) == b"one"
        assert await store.thumbnail(a_sha256(1), 384) == b"small one"
        assert await store.thumbnail(a_sha256(1), 128) == b"tiny one"
        assert await store.original(a_sha256(2)) == bytes(range(256)) * 20_000

    async def test_there_is_room_for_a_little(self, store: ImageStore) -> None:
        await store.require_room(1)

    async def test_what_is_there_stays_unless_its_size_differs(self, store: ImageStore) -> None:
        await store.put(a_sha256(), original=b"one", thumbnails={384: b"small"})
        await store.put(a_sha256(), original=b"two", thumbnails={384: b"SMALL", 128: b"tiny"})
        assert await store.original(a_sha256()) == b"one"
        assert await store.thumbnail(a_sha256(), 384) == b"small"
        assert await store.thumbnail(a_sha256(), 128) == b"tiny"
        await store.put(a_sha256(), original=b"three", thumbnails={384: b""})
        assert await store.original(a_sha256()) == b"three"
        assert await store.thumbnail(a_sha256(), 384) == b""

    async def test_what_is_there_can_be_replaced(self, store: ImageStore) -> None:
        await store.put(a_sha256(), original=b"one", thumbnails={384: b"small"})
        await store.put(a_sha256(), original=b"two", thumbnails={384: b"SMALL"}, replace=True)
        assert await store.original(a_sha256()) == b"two"
        assert await store.thumbnail(a_sha256(), 384) == b"SMALL"

    async def test_what_is_not_there_is_named(self, store: ImageStore) -> None:
        await store.put(a_sha256(1), original=b"one", thumbnails={384: b"small one"})
        for read in (store.original(a_sha256(2)), store.thumbnail(a_sha256(2), 384), store.thumbnail(a_sha256(1), 128)):
            with pytest.raises(ImageNotFoundError):
                await read
        with pytest.raises(ImageNotFoundError, match=a_sha256(2)):
            async with store.opened_original(a_sha256(2)):
                pytest.fail("there is none")

    async def test_delete_removes_all_and_nothing_else(self, store: ImageStore) -> None:
        for seed in (1, 2):
            await store.put(a_sha256(seed), original=b"one", thumbnails={384: b"small", 1024: b"large"})
        await store.delete(a_sha256(1))
        none, all_ = FileSizes(original=None), FileSizes(original=3, thumbnails={384: 5, 1024: 5})
        assert await store.sizes([a_sha256(1), a_sha256(2)]) == {a_sha256(1): none, a_sha256(2): all_}

    async def test_thumbnails_alone_can_be_deleted(self, store: ImageStore) -> None:
        await store.put(a_sha256(), original=b"one", thumbnails={384: b"small", 1024: b"large"})
        await store.delete_thumbnails(a_sha256())
        assert await store.sizes([a_sha256()]) == {a_sha256(): FileSizes(original=3)}
        await store.put(a_sha256(), thumbnails={384: b"another"})
        assert await store.thumbnail(a_sha256(), 384) == b"another"

    async def test_delete_twice_and_put_again(self, store: ImageStore) -> None:
        await store.delete(a_sha256())
        await store.put(a_sha256(), original=b"one", thumbnails={384: b"small one"})
        await store.delete(a_sha256())
        await store.delete(a_sha256())
        await store.put(a_sha256(), original=b"two")
        assert await store.original(a_sha256()) == b"two"

    async def test_open_again_keeps_everything(self, store: ImageStore) -> None:
        await store.put(a_sha256(), original=b"one", thumbnails={384: b"small one"})
        await store.mark(a_sha256())
        await store.open()
        assert await store.original(a_sha256()) == b"one"
        assert await store.thumbnail(a_sha256(), 384) == b"small one"
        assert set(await store.marked([a_sha256()])) == {a_sha256()}

    async def test_readers_see_all_of_a_file_or_nothing(self, store: ImageStore) -> None:
        content = bytes(range(256)) * 1200

        async def write() -> None:
            for _ in range(12):
                await store.put(a_sha256(), original=content, thumbnails={384: content}, replace=True)
                await store.delete(a_sha256())

        writing = [asyncio.create_task(write()) for _ in range(2)]
        while not all(task.done() for task in writing):
            for read in (store.original(a_sha256()), store.thumbnail(a_sha256(), 384)):
                try:
                    assert await read == content
                except ImageNotFoundError:
                    await asyncio.sleep(0)
        await asyncio.gather(*writing)

    async def test_many_at_once(self, store: ImageStore) -> None:
        await asyncio.gather(*(store.put(a_sha256(n), original=b"%d" % n, thumbnails={384: b"s"}) for n in range(100)))
        found = await asyncio.gather(*(store.original(a_sha256(n)) for n in range(100)))
        assert found == [b"%d" % n for n in range(100)]

    async def test_an_original_is_read_in_pieces(self, store: ImageStore) -> None:
        await store.put(a_sha256(), original=b"original")
        async with store.opened_original(a_sha256()) as original:
            assert original.size == 8
            assert [await original.read(3) for _ in range(4)] == [b"ori", b"gin", b"al", b""]

    async def test_an_original_that_is_being_read_stays_whole(self, store: ImageStore) -> None:
        content = bytes(range(256)) * 4000
        await store.put(a_sha256(), original=content)
        async with store.opened_original(a_sha256()) as original:
            found = await original.read(1000)
            await store.delete(a_sha256())
            while piece := await original.read(300_000):
                found += piece
        assert (original.size, found) == (len(content), content)

    async def test_what_is_stored_is_told_with_its_time(self, store: ImageStore) -> None:
        assert [sha256 async for some in store.stored() for sha256 in some] == []
        before = datetime.now(UTC) - timedelta(seconds=2)
        for number in range(40):
            await store.put(a_sha256(number), original=b"o" * number, thumbnails={384: b"small"})
        await store.put(a_sha256(77), thumbnails={1024: b"alone"})
        await store.delete(a_sha256(7))
        found = [item async for some in store.stored() for item in some.items()]
        assert sorted(sha256 for sha256, _ in found) == sorted(a_sha256(n) for n in (*range(40), 77) if n != 7)
        assert all(before < at < datetime.now(UTC) + timedelta(seconds=2) for _, at in found)

    # Which index it belongs to

    async def test_it_belongs_to_the_index_that_has_claimed_it_first(self, store: ImageStore) -> None:
        for _ in range(2):
            await store.claim(UUID(int=1))
        with pytest.raises(ConfigurationError, match="another index"):
            await store.claim(UUID(int=2))
        await store.claim(UUID(int=1))

    # Marks

    async def test_one_of_many_marks(self, store: ImageStore) -> None:
        marked = await asyncio.gather(*(store.mark(a_sha256()) for _ in range(20)))
        assert marked.count(True) == 1
        assert await store.mark(a_sha256(2))
        assert set(await store.marked([a_sha256(1), a_sha256(2), a_sha256(3)])) == {a_sha256(1), a_sha256(2)}
        assert set(await store.marks(older_than=AT_ANY_AGE)) == {a_sha256(1), a_sha256(2)}

    async def test_what_is_unmarked_can_be_marked_again(self, store: ImageStore) -> None:
        await store.unmark(a_sha256())
        for _ in range(2):
            assert await store.mark(a_sha256())
            await store.unmark(a_sha256())
        assert set(await store.marked([a_sha256()])) == set()
        assert await store.marks(older_than=AT_ANY_AGE) == {}

    async def test_young_marks_are_left_out(self, store: ImageStore) -> None:
        await store.mark(a_sha256())
        assert await store.marks(older_than=timedelta(minutes=15)) == {}

    async def test_one_of_many_takes_a_mark_over(self, store: ImageStore) -> None:
        assert not await store.remark(a_sha256(), datetime.now(UTC))
        await store.mark(a_sha256())
        for _ in range(3):
            await asyncio.sleep(0.02)
            [(_, at)] = (await store.marks(older_than=AT_ANY_AGE)).items()
            taken = await asyncio.gather(*(store.remark(a_sha256(), at) for _ in range(20)))
            assert taken.count(True) == 1
            assert not await store.remark(a_sha256(), at)
            assert set(await store.marked([a_sha256()])) == {a_sha256()}
        await store.unmark(a_sha256())
        assert set(await store.marked([a_sha256()])) == set()
        assert not await store.remark(a_sha256(), at)
