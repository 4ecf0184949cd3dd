import asyncio
import gc

import numpy as np
import pytest

from adapters.decoding.byte_budget import ByteBudget
from adapters.decoding.pillow_image_decoder import PillowImageDecoder
from domain.callers import begin_bulk
from domain.errors import BusyError, ImageUnreadableError
from domain.geometry import BoundingBox
from domain.raster import RasterImage
from tests.pictures import a_picture

MEBIBYTE = 1024 * 1024


def a_raster() -> RasterImage:
    return RasterImage(pixels=np.zeros((8, 8, 3), dtype=np.uint8), width=8, height=8)


def test_more_than_the_budget_is_refused_until_something_is_given_back() -> None:
    budget = ByteBudget(100)
    budget.take(60)
    with pytest.raises(BusyError):
        budget.take(41)
    budget.take(40)
    budget.give_back(60)
    budget.take(60)
    assert budget.in_use == 100


def test_what_is_larger_than_all_of_it_is_let_in_alone() -> None:
    budget = ByteBudget(100)
    budget.take(500)
    with pytest.raises(BusyError):
        budget.take(1)
    budget.give_back(500)
    assert budget.in_use == 0


def test_a_raster_counts_as_long_as_a_crop_of_it_lives() -> None:
    budget, raster = ByteBudget(100), a_raster()
    budget.take(50)
    budget.give_back_with(raster, 50)
    crop = raster.crop(BoundingBox(x_min=0, y_min=0, x_max=4, y_max=4))
    del raster
    gc.collect()
    assert budget.in_use == 50
    del crop
    gc.collect()
    assert budget.in_use == 0


class TestDecoding:
    picture = a_picture(1, width=512, height=512)
    cost = 3 * 512 * 512 + len(picture)

    async def test_pictures_that_are_held_leave_no_room_for_more(self) -> None:
        decoder = PillowImageDecoder(threads=2, max_bytes_in_flight=2 * self.cost)
        held = [await decoder.decode(self.picture, sufficient_side=1) for _ in range(2)]
        with pytest.raises(BusyError):
            await decoder.decode(self.picture, sufficient_side=1)
        held.pop()
        await decoder.decode(self.picture, sufficient_side=1)
        await decoder.close()

    async def test_bulk_work_waits_for_room(self) -> None:
        decoder = PillowImageDecoder(threads=2, max_bytes_in_flight=self.cost)
        held = [await decoder.decode(self.picture, sufficient_side=1)]

        async def in_bulk() -> int:
            begin_bulk()
            return (await decoder.decode(self.picture, sufficient_side=1)).raster.width

        waiting = [asyncio.create_task(in_bulk()) for _ in range(3)]
        await asyncio.sleep(0.1)
        assert not any(task.done() for task in waiting)
        held.clear()
        assert await asyncio.wait_for(asyncio.gather(*waiting), 10) == [512] * 3
        await decoder.close()

    async def test_a_picture_that_cannot_be_decoded_takes_nothing(self) -> None:
        decoder = PillowImageDecoder(threads=1, max_bytes_in_flight=self.cost)
        for _ in range(3):
            with pytest.raises(ImageUnreadableError):
                await decoder.decode(self.picture[:-40], sufficient_side=1)
        await decoder.decode(self.picture, sufficient_side=1)
        await decoder.close()
