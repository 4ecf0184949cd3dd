"""A running owner of a shard: the process, the pipe to it, and the requests that it has yet to answer."""

import asyncio
import logging
import os
import sys
from concurrent.futures import Executor
from contextlib import suppress
from itertools import count
from typing import Any

from adapters.inference.cores import ONE_THREAD
from adapters.inference.slots import started_threads
from adapters.repositories.edge.requests import HEADER_BYTES, Close, Request, Write, frame, unframed

_LARGE_FRAME_BYTES = 64 * 1024
"""Frames above this are unpickled on the thread, so that a deep page does not hold up the event loop."""

_EXIT_PATIENCE_SECONDS = 30.0

_log = logging.getLogger(__name__)


class OwnerDiedError(Exception):
    """The process ended before it answered."""


class OwnerConnection:
    """Many callers ask at once; the owner answers one after the other."""

    def __init__(self, process: asyncio.subprocess.Process, thread: Executor) -> None:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - both are pipes
        self._process = process
        self._requests = process.stdin
        self._replies = process.stdout
        self._numbers = count()
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self.patience_seconds: float | None = None
        """It is ended when it owes replies and gives none for so long: its successor answers."""
        # Of its own: all replies wait for the one that is read, and those of `to_thread` may all wait for a slow disk.
        # One: a large write is packed in 10 to 40 ms and hardly lets go of the GIL: a second would read no sooner.
        self._thread = thread
        self._owed = 0
        self._alarm: asyncio.TimerHandle | None = None
        self.died = False
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def spawn(cls) -> "OwnerConnection":
        """A fresh interpreter that has inherited nothing of this one: neither locks, nor threads, nor `__main__`.

        It is started by the event loop's thread, since on Linux it is killed when the thread that started it ends;
        and in a session of its own, since a terminal's interrupts are for the parent to handle. `-P` keeps the working
        directory's modules from being taken for ours.

        Raises OSError, and RuntimeError where no thread can be started.
        """
        thread = started_threads(1, name="index-frames")
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "adapters.repositories.edge.owner",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=os.environ | ONE_THREAD,
                start_new_session=True,
            )
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(process, thread)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    async def ask(self, request: Request) -> Any:  # noqa: ANN401
        """The reply, be it a `Failure`. Raises OwnerDiedError."""
        if self.died:  # and its thread with it
            raise OwnerDiedError
        loop = asyncio.get_running_loop()
        number = next(self._numbers)
        large = isinstance(request, Write)
        data = await loop.run_in_executor(self._thread, frame, number, request) if large else frame(number, request)
        if self.died:
            raise OwnerDiedError
        reply = self._pending[number] = loop.create_future()
        try:
            self._owed += 1
            if self._owed == 1:
                self._watch()
            # Where the pipe is closed the process is about to be gone, which `_read` tells: not before its last replies
            # are read, and until then whoever asked again would ask this connection. RuntimeError is uvloop's.
            with suppress(ConnectionError, RuntimeError):
                self._requests.write(data)
                await self._requests.drain()
            return await reply
        finally:
            del self._pending[number]

    async def end(self) -> None:
        """Ask it to close, and wait until it is gone."""
        try:
            async with asyncio.timeout(_EXIT_PATIENCE_SECONDS):
                await self.ask(Close())
                await self._gone()
        except OwnerDiedError:
            await self._gone()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """End it at once; what it has acknowledged is durable."""
        if self._process.returncode is None:
            self._process.kill()
        await self._gone()

    async def _gone(self) -> None:
        """Wait without being able to cancel the reading."""
        await asyncio.wait([self._reading])

    def _watch(self) -> None:
        """Begin to wait for the next reply, if any is owed."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._owed and self.patience_seconds is not None:
            self._alarm = asyncio.get_running_loop().call_later(self.patience_seconds, self._end_hung)

    def _end_hung(self) -> None:
        if self._process.returncode is None:
            _log.warning("The process that owns the index has hung for %g s, and is ended", self.patience_seconds)
            self._process.kill()

    async def _read(self) -> None:
        """Hand replies to their callers until the owner is gone, then tell those who still wait."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                size = int.from_bytes(await self._replies.readexactly(HEADER_BYTES), "big")
                body = await self._replies.readexactly(size)
                self._owed -= 1
                self._watch()
                large = size > _LARGE_FRAME_BYTES
                number, reply = await loop.run_in_executor(self._thread, unframed, body) if large else unframed(body)
                waiting = self._pending.get(number)
                if waiting is not None and not waiting.done():  # its caller may have gone
                    waiting.set_result(reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.died = True
            self._owed = 0
            self._watch()
            self._requests.close()
            self._thread.shutdown(wait=False)  # it ends by itself, after a write that it may be packing
            status = await self._process.wait()
            for waiting in self._pending.values():
                if not waiting.done():
                    waiting.set_exception(OwnerDiedError(f"its process ended with status {status}"))
