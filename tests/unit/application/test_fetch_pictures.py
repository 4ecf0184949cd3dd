import asyncio

import pytest

from application.fetch_pictures import AHEAD, FetchPictures
from domain.callers import Deadline, within
from domain.errors import DeadlinePassedError, FetchFailedError, FetchingDisabledError
from tests.eventually import eventually
from tests.fakes import FakePictureSource

URLS = [f"http://shop.example/{number}" for number in range(12)]


@pytest.fixture
def source() -> FakePictureSource:
    return FakePictureSource({url: url.encode() for url in URLS})


async def test_pictures_are_read_in_order_and_the_next_are_fetched_ahead(source: FakePictureSource) -> None:
    async with FetchPictures(source=source).many(URLS) as reads:
        assert source.asked == []
        assert await reads[0]() == b"http://shop.example/0"
        assert source.asked == URLS[:AHEAD]
        assert [await read() for read in reads[1:]] == [url.encode() for url in URLS[1:]]
    assert source.asked == URLS


async def test_pictures_may_be_passed_over(source: FakePictureSource) -> None:
    async with FetchPictures(source=source).many(URLS) as reads:
        assert await reads[0]() == URLS[0].encode()
        assert await reads[2]() == URLS[2].encode()
        assert await reads[11]() == URLS[11].encode()


async def test_one_that_fails_stops_no_other(source: FakePictureSource) -> None:
    del source.pictures[URLS[1]]
    async with FetchPictures(source=source).many(URLS) as reads:
        await reads[0]()
        with pytest.raises(FetchFailedError):
            await reads[1]()
        assert await reads[2]() == URLS[2].encode()


async def test_what_was_begun_ends_with_the_block(source: FakePictureSource) -> None:
    begun, ended = list[str](), list[str]()

    async def hang(url: str) -> bytes:
        begun.append(url)
        try:
            await asyncio.Event().wait()
            raise AssertionError
        finally:
            ended.append(url)

    source.fetch = hang  # type: ignore[method-assign]
    async with FetchPictures(source=source).many(URLS) as reads:
        reading = asyncio.create_task(reads[0]())  # type: ignore[arg-type]
        await eventually(lambda: len(begun) == AHEAD)
        reading.cancel()
    assert sorted(ended) == sorted(URLS[:AHEAD])


async def test_nothing_begins_where_nothing_is_fetched(source: FakePictureSource) -> None:
    source.is_enabled = False
    with pytest.raises(FetchingDisabledError):
        async with FetchPictures(source=source).many(URLS):
            pass


async def test_the_callers_deadline_holds(source: FakePictureSource) -> None:
    async def hang(_: str) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError

    source.fetch = hang  # type: ignore[method-assign]
    now = asyncio.get_running_loop().time()
    with within(Deadline(now + 0.1)), pytest.raises(DeadlinePassedError, match="while the picture was fetched"):
        await FetchPictures(source=source).one(URLS[0])
    with within(Deadline(now - 1)), pytest.raises(DeadlinePassedError, match="before the work began"):
        await FetchPictures(source=source).one(URLS[0])
