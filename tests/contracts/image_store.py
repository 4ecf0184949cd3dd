"""What the port ImageStore promises, as tests that every adapter passes. A subclass overrides the fixture `store`."""

import asyncio
import time

import pytest

from domain.callers import Deadline, within
from domain.errors import DeadlinePassedError, ImageNotFoundError
from domain.images import ImageId, id_of_content, sha256_of
from domain.ports.image_store import FileSizes, ImageStore


def an_id(seed: int = 1) -> ImageId:
    return id_of_content(sha256_of(seed.to_bytes(8, "big")))


class NotedChangesContract:
    """What an image store promises of changes, as far as nobody waits for anybody."""

    @pytest.fixture
    async def store(self) -> ImageStore:
        """An opened, empty store."""
        raise NotImplementedError

    async def test_what_is_cut_short_is_told_until_it_is_forgotten(self, store: ImageStore) -> None:
        async with store.changing([an_id(1), an_id(2)]):
            pass
        async with store.paused() as interrupted:
            assert list(interrupted) == []
        for ids in ([an_id(3), an_id(4)], [an_id(4)]):
            with pytest.raises(RuntimeError):
                async with store.changing(ids):
                    raise RuntimeError
        await store.open()
        for _ in range(2):
            async with store.paused() as interrupted:
                assert sorted(interrupted) == sorted([an_id(3), an_id(4)])
                assert set(await store.noted()) == {an_id(3), an_id(4)}
        async with store.paused():
            await store.forget_interrupted()
        async with store.paused() as interrupted:
            assert list(interrupted) == []
            assert set(await store.noted()) == set()

    async def test_nothing_begins_for_a_caller_who_waits_no_more(self, store: ImageStore) -> None:
        with within(Deadline(time.monotonic())), pytest.raises(DeadlinePassedError):
            async with store.changing([an_id()]):
                pytest.fail("it has begun")
        async with store.paused():
            assert set(await store.noted()) == set()

    async def test_changes_overlap(self, store: ImageStore) -> None:
        async with store.changing([an_id(1)]), store.changing([an_id(1)]), store.changing([an_id(2)]):
            pass


class ImageStoreContract(NotedChangesContract):
    async def test_gives_back_what_was_put(self, store: ImageStore) -> None:
        await store.put(an_id(1), original=b"one", thumbnail=b"small one")
        await store.put(an_id(2), original=bytes(range(256)) * 20_000, thumbnail=b"small two")
        assert await store.original(an_id(1)) == b"one"
        assert await store.thumbnail(an_id(1)) == b"small one"
        assert await store.original(an_id(2)) == bytes(range(256)) * 20_000
        assert await store.thumbnail(an_id(2)) == b"small two"

    async def test_there_is_room_for_a_little(self, store: ImageStore) -> None:
        await store.require_room(1)

    async def test_put_replaces(self, store: ImageStore) -> None:
        await store.put(an_id(), original=b"long original", thumbnail=b"long thumbnail")
        await store.put(an_id(), original=b"new", thumbnail=b"")
        assert await store.original(an_id()) == b"new"
        assert await store.thumbnail(an_id()) == b""

    async def test_unknown_ids_are_named(self, store: ImageStore) -> None:
        await store.put(an_id(1), original=b"one", thumbnail=b"small one")
        for read in (store.original, store.thumbnail):
            with pytest.raises(ImageNotFoundError, match=str(an_id(2))) as caught:
                await read(an_id(2))
            assert caught.value.ids == (an_id(2),)
        with pytest.raises(ImageNotFoundError, match=str(an_id(2))):
            async with store.opened_original(an_id(2)):
                pytest.fail("there is none")

    async def test_delete_removes_both_and_nothing_else(self, store: ImageStore) -> None:
        await store.put(an_id(1), original=b"one", thumbnail=b"small one")
        await store.put(an_id(2), original=b"two", thumbnail=b"small two")
        await store.delete(an_id(1))
        for read in (store.original, store.thumbnail):
            with pytest.raises(ImageNotFoundError):
                await read(an_id(1))
        assert await store.original(an_id(2)) == b"two"
        assert await store.thumbnail(an_id(2)) == b"small two"

    async def test_delete_twice_and_put_again(self, store: ImageStore) -> None:
        await store.delete(an_id())
        await store.put(an_id(), original=b"one", thumbnail=b"small one")
        await store.delete(an_id())
        await store.delete(an_id())
        await store.put(an_id(), original=b"two", thumbnail=b"small two")
        assert await store.original(an_id()) == b"two"

    async def test_open_again_keeps_everything(self, store: ImageStore) -> None:
        await store.put(an_id(), original=b"one", thumbnail=b"small one")
        await store.open()
        assert await store.original(an_id()) == b"one"
        assert await store.thumbnail(an_id()) == b"small one"

    async def test_readers_see_all_of_a_file_or_nothing(self, store: ImageStore) -> None:
        versions = [bytes([version]) * 300_000 for version in range(8)]
        await store.put(an_id(), original=versions[0], thumbnail=versions[0])

        async def write() -> None:
            for version in versions * 3:
                await store.put(an_id(), original=version, thumbnail=version)

        writing = [asyncio.create_task(write()) for _ in range(2)]
        while not all(task.done() for task in writing):
            assert await store.original(an_id()) in versions
            assert await store.thumbnail(an_id()) in versions
        await asyncio.gather(*writing)

    async def test_many_at_once(self, store: ImageStore) -> None:
        await asyncio.gather(*(store.put(an_id(n), original=b"%d" % n, thumbnail=b"small %d" % n) for n in range(100)))
        found = await asyncio.gather(*(store.original(an_id(n)) for n in range(100)))
        assert found == [b"%d" % n for n in range(100)]

    async def test_an_original_is_read_in_pieces(self, store: ImageStore) -> None:
        await store.put(an_id(), original=b"original", thumbnail=b"small")
        async with store.opened_original(an_id()) as original:
            assert original.size == 8
            assert [await original.read(3) for _ in range(4)] == [b"ori", b"gin", b"al", b""]

    @pytest.mark.parametrize("change", ["delete", "replace"])
    async def test_an_original_that_is_being_read_stays_whole(self, store: ImageStore, change: str) -> None:
        content = bytes(range(256)) * 4000
        await store.put(an_id(), original=content, thumbnail=b"small")
        async with store.opened_original(an_id()) as original:
            found = await original.read(1000)
            if change == "delete":
                await store.delete(an_id())
            else:
                await store.put(an_id(), original=b"another", thumbnail=b"small")
            while piece := await original.read(300_000):
                found += piece
        assert (original.size, found) == (len(content), content)

    async def test_a_thumbnail_alone_can_be_put_anew(self, store: ImageStore) -> None:
        await store.put(an_id(), original=b"one", thumbnail=b"small one")
        await store.put_thumbnail(an_id(), b"another")
        assert (await store.original(an_id()), await store.thumbnail(an_id())) == (b"one", b"another")

    async def test_ids_and_sizes_are_those_of_what_is_stored(self, store: ImageStore) -> None:
        assert [id_ async for ids in store.ids() for id_ in ids] == []
        for number in range(40):
            await store.put(an_id(number), original=b"o" * number, thumbnail=b"small")
        await store.delete(an_id(7))
        found = [id_ async for ids in store.ids() for id_ in ids]
        assert sorted(found) == sorted(an_id(number) for number in range(40) if number != 7)
        assert await store.sizes([an_id(7), an_id(39), an_id(77)]) == {
            an_id(7): FileSizes(original=None, thumbnail=None),
            an_id(39): FileSizes(original=39, thumbnail=5),
            an_id(77): FileSizes(original=None, thumbnail=None),
        }

    # Changes that wait

    async def test_a_pause_waits_for_changes_and_changes_for_a_pause(self, store: ImageStore) -> None:
        journal: list[str] = []
        begun, end = asyncio.Event(), asyncio.Event()

        async def change(name: str) -> None:
            async with store.changing([an_id()]):
                journal.append(f"{name} begins")
                begun.set()
                await end.wait()
                journal.append(f"{name} ends")

        async def pause() -> None:
            async with store.paused() as interrupted:
                journal.append(f"pause with {len(interrupted)}")
                await asyncio.sleep(0.05)
                journal.append("pause ends")

        first = asyncio.create_task(change("first"))
        await begun.wait()
        pausing = asyncio.create_task(pause())
        await asyncio.sleep(0.05)
        second = asyncio.create_task(change("second"))  # after a pause that waits: it does not overtake it
        await asyncio.sleep(0.05)
        assert journal == ["first begins"]
        end.set()
        await asyncio.gather(first, pausing, second)
        assert journal == [
            "first begins",
            "first ends",
            "pause with 0",
            "pause ends",
            "second begins",
            "second ends",
        ]
