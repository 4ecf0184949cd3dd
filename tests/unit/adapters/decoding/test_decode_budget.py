import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from contextvars import Context
from typing import Any, TypeVar

import pytest

from adapters.decoding.decode_budget import DecodeBudget
from adapters.decoding.pillow_image_decoder import PillowImageDecoder
from domain.callers import begin_bulk
from domain.errors import BusyError, ImageUnreadableError
from domain.ports.image_decoder import DecodedImage
from tests.decoding import decode
from tests.eventually import eventually
from tests.pictures import a_picture

T = TypeVar("T")


async def in_bulk(work: Coroutine[Any, Any, T]) -> T:
    async def bulk() -> T:
        begin_bulk()
        return await work

    return await asyncio.create_task(bulk(), context=Context())


def in_hand(decoder: PillowImageDecoder) -> tuple[int, int]:
    """Bytes of pictures that are admitted, and of those that are decoded."""
    return decoder.budget.admitted, decoder.budget.decoded.in_use


def test_more_than_is_admitted_is_refused_until_something_is_gone() -> None:
    budget = DecodeBudget(admitted=100, at_once=1000)
    with budget.admission(60):
        with budget.admission(40), pytest.raises(BusyError, match="would take 1 more"), budget.admission(1):
            pass
        with budget.admission(30):
            assert budget.admitted == 90
    assert budget.admitted == 0


def test_what_is_larger_than_all_of_it_is_let_in_alone() -> None:
    budget = DecodeBudget(admitted=100, at_once=50)
    with budget.admission(500), pytest.raises(BusyError), budget.admission(1):
        pass
    with budget.admission(1):
        assert budget.admitted == 1


class TestDecoding:
    picture = a_picture(1, width=512, height=512)
    cost = 3 * 512 * 512 + len(picture)

    async def test_pictures_in_blocks_leave_no_room_for_more(self) -> None:
        decoder = PillowImageDecoder(threads=2, max_bytes_in_flight=2 * self.cost)
        async with decoder.decoded(self.picture, sufficient_side=1):
            async with decoder.decoded(self.picture, sufficient_side=1):
                assert in_hand(decoder) == (2 * self.cost, 2 * self.cost)
                with pytest.raises(BusyError):
                    await decode(decoder, self.picture, sufficient_side=1)
            assert in_hand(decoder) == (self.cost, self.cost)
            await decode(decoder, self.picture, sufficient_side=1)
        assert in_hand(decoder) == (0, 0)
        await decoder.close()

    @pytest.mark.parametrize("failure", [ValueError, asyncio.CancelledError])
    async def test_a_block_that_fails_takes_nothing_any_more(self, failure: type[BaseException]) -> None:
        decoder = PillowImageDecoder(threads=1)
        kept: list[DecodedImage] = []

        async def fail() -> None:
            async with decoder.decoded(self.picture, sufficient_side=1) as picture:
                kept.append(picture)
                raise failure

        with pytest.raises(failure):
            await fail()
        assert in_hand(decoder) == (0, 0), "however long the picture is kept"
        await decoder.close()

    @pytest.mark.parametrize("is_free", [True, False], ids=["while it is decoded", "while it waits for room"])
    async def test_a_caller_that_is_cancelled_takes_nothing_any_more(self, is_free: bool) -> None:
        decoder = PillowImageDecoder(threads=1, max_bytes_at_once=self.cost)
        async with AsyncExitStack() as others:
            if not is_free:
                await others.enter_async_context(decoder.decoded(self.picture, sufficient_side=1))
            before = in_hand(decoder)
            cancelled = asyncio.create_task(decode(decoder, self.picture, sufficient_side=1))
            assert await eventually(lambda: decoder.budget.admitted == before[0] + self.cost)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            assert in_hand(decoder) == before
        await decode(decoder, self.picture, sufficient_side=1)
        await decoder.close()

    async def test_callers_and_bulk_work_wait_for_room_callers_first(self) -> None:
        decoder = PillowImageDecoder(threads=2, max_bytes_at_once=self.cost)
        order: list[str] = []

        async def decoded(name: str) -> None:
            async with decoder.decoded(self.picture, sufficient_side=1):
                order.append(name)

        async with decoder.decoded(self.picture, sufficient_side=1):
            waiting = [asyncio.create_task(in_bulk(decoded("bulk"))), asyncio.create_task(decoded("caller"))]
            assert await eventually(lambda: len(decoder.budget.decoded._line) == 2)
            assert order == []
        await asyncio.wait_for(asyncio.gather(*waiting), 30)
        assert order == ["caller", "bulk"]
        await decoder.close()

    async def test_closing_drops_who_waits(self) -> None:
        decoder = PillowImageDecoder(threads=1, max_bytes_at_once=self.cost)
        async with decoder.decoded(self.picture, sufficient_side=1) as held:
            waiting = asyncio.create_task(decode(decoder, self.picture, sufficient_side=1))
            assert await eventually(lambda: len(decoder.budget.decoded._line) == 1)
            await decoder.close()
            with pytest.raises(BusyError):
                await waiting
            assert held.raster.width == 512
        with pytest.raises(BusyError):
            await decode(decoder, self.picture, sufficient_side=1)

    async def test_closing_between_a_header_and_its_pixels_drops_the_picture(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        decoder = PillowImageDecoder(threads=1)
        open_ = decoder._open

        async def open_and_close(*arguments: Any) -> int:
            cost = await open_(*arguments)
            await decoder.close()
            return cost

        monkeypatch.setattr(decoder, "_open", open_and_close)
        with pytest.raises(BusyError, match="closed"):
            await decode(decoder, self.picture, sufficient_side=1)
        assert in_hand(decoder) == (0, 0)

    async def test_bulk_work_is_not_refused(self) -> None:
        decoder = PillowImageDecoder(threads=2, max_bytes_in_flight=self.cost)
        async with decoder.decoded(self.picture, sufficient_side=1) as held:
            found = await in_bulk(decode(decoder, self.picture, sufficient_side=1))
            assert found.raster.width == held.raster.width
        await decoder.close()

    async def test_a_picture_that_cannot_be_decoded_takes_nothing(self) -> None:
        decoder = PillowImageDecoder(threads=1, max_bytes_in_flight=self.cost)
        middle = len(self.picture) // 2
        damaged = self.picture[:middle] + bytes(40) + self.picture[middle + 40 :]
        kept = []
        for _ in range(3):
            with pytest.raises(ImageUnreadableError) as failure:
                await decode(decoder, damaged, sufficient_side=1)
            kept.append(failure)
        assert in_hand(decoder) == (0, 0)
        await decode(decoder, self.picture, sufficient_side=1)
        await decoder.close()
