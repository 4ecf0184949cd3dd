"""Decoding in processes of its own: the same pictures, and nothing that a picture does reaches us."""

import asyncio
import os
import select
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from adapters.decoding import isolated_reader, reader_process
from adapters.decoding.picture_reader import HeaderLimits, PictureReader
from adapters.decoding.pillow_image_decoder import PillowImageDecoder
from adapters.decoding.reader_messages import receive_head, receive_into, send
from domain.errors import BusyError, ImageError, ImageUnreadableError, InvalidRegionError
from domain.geometry import BoundingBox
from domain.ports.image_decoder import DecodedImage
from tests.decoding import decode
from tests.eventually import eventually
from tests.hostile_pictures import tiff_of_strips
from tests.integration.decoding import crashing_reader
from tests.unit.adapters.decoding.pictures import encoded, header_only, textured
from tests.unit.adapters.decoding.test_exif import EVERYTHING, a_picture_with, an_exif
from tests.unit.adapters.decoding.tiffs import BYTE, DNG_VERSION, page, tiff_of

FULL = 10**6
SECRETS = ("LOOKALIKE_AUTH__KEYS", "OTEL_EXPORTER_OTLP_HEADERS", "HF_TOKEN")
OUTSIDE = BoundingBox(x_min=500, y_min=500, x_max=600, y_max=600)


@pytest.fixture
async def decoder(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PillowImageDecoder]:
    for name in SECRETS:
        monkeypatch.setenv(name, "secret")
    decoder = PillowImageDecoder(threads=2, isolated=True)
    await decoder.open()
    yield decoder
    await decoder.close()


async def test_it_is_the_same_picture(decoder: PillowImageDecoder) -> None:
    inside = PillowImageDecoder(threads=1)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"):
        content = encoded(textured(330, 210), kind)
        for sufficient_side in (FULL, 50):
            here = await decode(inside, content, sufficient_side=sufficient_side)
            there = await decode(decoder, content, sufficient_side=sufficient_side)
            assert there.media_type == here.media_type
            assert there.appearance == here.appearance
            assert (there.raster.width, there.raster.height) == (here.raster.width, here.raster.height)
            np.testing.assert_array_equal(there.raster.pixels, here.raster.pixels)
            assert there.raster.pixels.flags.c_contiguous
            assert there.raster.pixels.flags.writeable


async def test_exif_is_read_there_too(decoder: PillowImageDecoder) -> None:
    content = a_picture_with(an_exif())
    for _ in range(3):  # on both readers
        assert await decoder.exif(content) == pytest.approx(EVERYTHING)
        assert (await decode(decoder, content, sufficient_side=FULL)).media_type == "image/jpeg"
    for nothing in (b"", b"hello", header_only("PNG", 16_000, 16_000), content[:100]):
        assert await decoder.exif(nothing) == {}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\xff\xd8\xff",
        header_only("PNG", 16_000, 16_000),
        encoded(textured(330, 210), "PNG")[:-40],
        tiff_of(page(80, more={DNG_VERSION: (BYTE, bytes(4))})),
    ],
    ids=["empty", "text", "cut short", "too large", "truncated", "camera RAW"],
)
async def test_refusals_are_the_same(decoder: PillowImageDecoder, content: bytes) -> None:
    with pytest.raises(ImageError) as inside:
        await decode(PillowImageDecoder(threads=1), content, sufficient_side=FULL)
    with pytest.raises(type(inside.value)) as isolated:
        await decode(decoder, content, sufficient_side=FULL)
    assert str(isolated.value) == str(inside.value)


async def test_a_region_is_respected(decoder: PillowImageDecoder) -> None:
    content = encoded(textured(330, 210), "JPEG")
    with pytest.raises(InvalidRegionError):
        await decode(decoder, content, sufficient_side=1, region=OUTSIDE)
    corner = BoundingBox(x_min=0, y_min=0, x_max=40, y_max=40)
    found = await decode(decoder, content, sufficient_side=20, region=corner)
    assert found.raster.pixels.shape == (105, 165, 3)


async def test_a_picture_that_takes_too_long_ends_alone() -> None:
    decoder = PillowImageDecoder(threads=2, isolated=True, max_seconds=1.0)
    picture = encoded(textured(330, 210), "JPEG")
    endless = asyncio.create_task(decode(decoder, tiff_of_strips(1_000, 9_000), sufficient_side=FULL))
    while not endless.done():
        await asyncio.wait_for(decode(decoder, picture, sufficient_side=FULL), 10)
    with pytest.raises(ImageUnreadableError, match=r"TIFF.*takes too much processor time for its size"):
        await endless
    await decode(decoder, picture, sufficient_side=FULL)
    await decoder.close()


async def test_one_that_never_answers_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = PillowImageDecoder(threads=1, isolated=True, max_seconds=2.0)
    with monkeypatch.context() as patience:  # with the first process alone: the next may take its time to start
        patience.setattr(reader_process, "WALL_CLOCK_FACTOR", 0.5)
        await decoder.open()
    picture = encoded(textured(33, 21), "PNG")
    [process] = decoder._processes
    assert process.pid is not None
    assert process._process is not None
    connection = process._process.socket
    assert await eventually(lambda: bool(select.select([connection], [], [], 0)[0])), "it has begun"
    os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(ImageUnreadableError, match="takes too long"):
        await decode(decoder, picture, sufficient_side=FULL)
    await decode(decoder, picture, sufficient_side=FULL)
    await decoder.close()


@pytest.mark.parametrize("by", [signal.SIGSEGV, signal.SIGKILL])
async def test_a_process_that_died_between_pictures_is_replaced(
    decoder: PillowImageDecoder, by: signal.Signals
) -> None:
    picture = encoded(textured(33, 21), "PNG")
    await asyncio.gather(*(decode(decoder, picture, sufficient_side=FULL) for _ in range(4)))
    for process in decoder._processes:
        if process.pid is not None:
            os.kill(process.pid, by)
    await asyncio.gather(*(decode(decoder, picture, sufficient_side=FULL) for _ in range(4)))


@pytest.mark.parametrize("step", ["open", "read"])
async def test_a_picture_that_crashes_the_decoder_is_refused_and_no_other(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_process, "MODULE", crashing_reader.__name__.rpartition(".")[2])
    monkeypatch.setenv("PYTHONPATH", str(Path(crashing_reader.__file__).parent))
    decoder = PillowImageDecoder(threads=2, isolated=True)
    picture = encoded(textured(33, 21), "PNG")
    crashing = picture + crashing_reader.MARK + step.encode()
    answers = await asyncio.gather(
        *(
            decode(decoder, content, sufficient_side=FULL)
            for content in [picture, crashing, picture, crashing, picture]
        ),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers[::2]] == [DecodedImage] * 3
    for answer in answers[1::2]:
        assert isinstance(answer, ImageUnreadableError)
        assert "PNG, but decoding it ends the decoder (SIGSEGV)" in str(answer)
    await decoder.close()


async def test_a_process_that_cannot_start_is_no_fault_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_process, "MODULE", "no_such_module")
    decoder = PillowImageDecoder(threads=1, isolated=True)
    with pytest.raises(BusyError, match="did not start"):
        await decode(decoder, encoded(textured(33, 21), "PNG"), sufficient_side=FULL)
    await decoder.close()


async def test_processes_end_with_the_decoder_and_know_no_secret(decoder: PillowImageDecoder) -> None:
    assert len(decoder.pids) == 1  # the other one begins when there is work for it
    slow = asyncio.create_task(decode(decoder, encoded(textured(3000, 2000), "PNG"), sufficient_side=FULL))
    while not slow.done():
        await decode(decoder, encoded(textured(33, 21), "PNG"), sufficient_side=FULL)
    running = [psutil.Process(pid) for pid in decoder.pids]
    assert len(running) == 2
    assert not any(name in process.environ() for process in running for name in SECRETS)
    await decoder.close()
    assert not any(process.is_running() for process in running)


def test_the_processor_time_of_a_picture_ends_with_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    limits, given = HeaderLimits(max_pixels=330 * 210), []

    def record(kind: int, seconds: float) -> None:
        assert kind == signal.ITIMER_PROF
        given.append(seconds)

    monkeypatch.setattr(signal, "setitimer", record)
    reader = PictureReader(limits)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        opens = {"open": {"sufficient_side": FULL, "region": None}}
        for request, content in (
            (opens, encoded(textured(330, 210), "JPEG")),
            ({"read": True}, b""),
            (opens, encoded(textured(330, 210), "JPEG")),
            (opens, b"no picture"),
        ):
            send(ours, request, content)
            isolated_reader.answer(theirs, reader, max_pixels=limits.max_pixels, max_seconds=10.0)
            _, length = receive_head(ours)
            receive_into(ours, memoryview(bytearray(length)))
    # A header has the least, whatever was open before; the largest picture has all; and then nothing runs on.
    assert given == [2.0, 0, 10.0, 0, 2.0, 0, 2.0, 0]
