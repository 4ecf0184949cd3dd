import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

import numpy as np
import pytest

from adapters.decoding.decode_budget import DecodeBudget
from adapters.decoding.pillow_image_decoder import PillowImageDecoder
from domain.callers import begin_bulk
from domain.errors import BusyError, ImageUnreadableError
from domain.geometry import BoundingBox
from domain.raster import RasterImage
from tests.eventually import eventually
from tests.pictures import a_picture

T = TypeVar("T")


async def in_bulk(work: Coroutine[Any, Any, T]) -> T:
    async def bulk() -> T:
        begin_bulk()
        return await work

    return await asyncio.create_task(bulk(), context=Context())


class TestBudget:
    async def test_more_than_is_admitted_is_refused_until_something_is_gone(self) -> None:
        budget = DecodeBudget(admitted=100, at_once=1000)
        claims = [budget.claim(60), budget.claim(40)]
        with pytest.raises(BusyError, match="would take 1 more"):
            budget.claim(1)
        claims.pop()
        claims.append(budget.claim(30))
        assert budget.admitted == 90
        claims.clear()
        assert budget.admitted == 0

    async def test_what_is_larger_than_all_of_it_is_let_in_alone(self) -> None:
        budget = DecodeBudget(admitted=100, at_once=50)
        large = budget.claim(500)
        assert budget.take_now(large)
        with pytest.raises(BusyError):
            budget.claim(1)
        del large
        assert (budget.admitted, budget.in_use) == (0, 0)
        budget.claim(1)

    @pytest.mark.parametrize("is_view", [False, True], ids=["memory of its own", "a view"])
    async def test_a_claim_lasts_as_long_as_a_crop_of_the_raster(self, is_view: bool) -> None:
        budget = DecodeBudget(admitted=100, at_once=100)
        shape = (8, 8, 3)
        pixels = np.zeros(8 * 8 * 3, dtype=np.uint8).reshape(shape) if is_view else np.zeros(shape, dtype=np.uint8)
        raster = RasterImage(pixels=pixels, width=8, height=8)
        del pixels
        claim = budget.claim(50)
        assert budget.take_now(claim)
        claim.last_as_long_as(raster)
        del claim
        crop = raster.crop(BoundingBox(x_min=0, y_min=0, x_max=4, y_max=4))
        del raster
        assert (budget.admitted, budget.in_use) == (50, 50)
        del crop
        assert (budget.admitted, budget.in_use) == (0, 0)

    async def test_who_waits_gets_the_room_and_a_cancelled_one_leaves_it(self) -> None:
        budget = DecodeBudget(admitted=1000, at_once=10)
        first = budget.claim(10)
        assert budget.take_now(first)
        assert not budget.take_now(budget.claim(10))

        async def take() -> int:
            claim = budget.claim(10)
            with claim.given_up_on_failure():
                await budget.take(claim)
            return budget.in_use

        cancelled, second = asyncio.create_task(take()), asyncio.create_task(take())
        await asyncio.sleep(0.02)
        del first
        asyncio.get_running_loop().call_soon(cancelled.cancel)  # right after its turn has come
        assert await asyncio.wait_for(second, 10) == 10
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert (budget.admitted, budget.in_use) == (0, 0)


class TestDecoding:
    picture = a_picture(1, width=512, height=512)
    cost = 3 * 512 * 512 + len(picture)

    async def test_pictures_that_are_held_leave_no_room_for_more(self) -> None:
        decoder = PillowImageDecoder(threads=2, max_bytes_in_flight=2 * self.cost)
        held = [await decoder.decode(self.picture, sufficient_side=1) for _ in range(2)]
        with pytest.raises(BusyError):
            await decoder.decode(self.picture, sufficient_side=1)
        held.pop()
        assert await eventually(lambda: decoder._budget.admitted == self.cost)
        await decoder.decode(self.picture, sufficient_side=1)
        await decoder.close()

    async def test_callers_and_bulk_work_wait_for_room_callers_first(self) -> None:
        decoder = PillowImageDecoder(threads=2, max_bytes_at_once=self.cost)
        held = [await decoder.decode(self.picture, sufficient_side=1)]
        order: list[str] = []

        async def decoded(name: str) -> None:
            await decoder.decode(self.picture, sufficient_side=1)
            order.append(name)

        waiting = [asyncio.create_task(in_bulk(decoded("bulk"))), asyncio.create_task(decoded("caller"))]
        assert await eventually(lambda: len(decoder.budget._line) == 2)
        assert order == []
        held.clear()
        await asyncio.wait_for(asyncio.gather(*waiting), 30)
        assert order == ["caller", "bulk"]
        await decoder.close()

    async def test_nobody_overtakes_those_who_wait(self) -> None:
        budget = DecodeBudget(admitted=1000, at_once=10)
        first = budget.claim(10)
        assert budget.take_now(first)
        waiting = budget.claim(10)
        taking = asyncio.create_task(budget.take(waiting))
        await asyncio.sleep(0)
        del first  # there is room, and its turn has not come yet
        assert not budget.take_now(budget.claim(10))
        await asyncio.wait_for(taking, 10)
        assert waiting.taken

    async def test_closing_drops_who_waits(self) -> None:
        decoder = PillowImageDecoder(threads=1, max_bytes_at_once=self.cost)
        held = await decoder.decode(self.picture, sufficient_side=1)
        waiting = asyncio.create_task(decoder.decode(self.picture, sufficient_side=1))
        assert await eventually(lambda: len(decoder.budget._line) == 1)
        await decoder.close()
        with pytest.raises(BusyError):
            await waiting
        assert held.raster.width == 512

    async def test_bulk_work_is_not_refused(self) -> None:
        decoder = PillowImageDecoder(threads=2, max_bytes_in_flight=self.cost)
        held = await decoder.decode(self.picture, sufficient_side=1)
        assert (await in_bulk(decoder.decode(self.picture, sufficient_side=1))).raster.width == held.raster.width
        await decoder.close()

    async def test_a_picture_that_cannot_be_decoded_takes_nothing(self) -> None:
        decoder = PillowImageDecoder(threads=1, max_bytes_in_flight=self.cost)
        middle = len(self.picture) // 2
        damaged = self.picture[:middle] + bytes(40) + self.picture[middle + 40 :]
        kept = []
        for _ in range(3):
            with pytest.raises(ImageUnreadableError) as failure:
                await decoder.decode(damaged, sufficient_side=1)
            kept.append(failure)
        await decoder.decode(self.picture, sufficient_side=1)
        await decoder.close()
