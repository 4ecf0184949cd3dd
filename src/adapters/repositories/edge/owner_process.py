"""The parent's end of the pipe to a shard's owner: many callers share it, and it outlives the owner's death."""

import asyncio
import logging
import os
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

from adapters.inference.cores import ONE_THREAD
from adapters.repositories.edge.manifest import way_out
from adapters.repositories.edge.requests import (
    HEADER_BYTES,
    Close,
    Failure,
    FailureKind,
    Open,
    Request,
    Write,
    frame,
    unframed,
)
from adapters.repositories.payload import PayloadIndex
from domain.callers import seconds_left
from domain.errors import DeadlinePassedError, IndexDamagedError, LookalikeError, RepositoryUnavailableError

_LARGE_FRAME_BYTES = 64 * 1024
"""Frames above this are unpickled on a thread, so that a deep page does not hold up the event loop."""

_EXIT_PATIENCE_SECONDS = 30.0

_REQUEST_ATTEMPTS = 8
_START_ATTEMPTS = 3
"""So many owners may die over one request, and over their own start, before a caller hears of it."""

_HANG_TIMEOUTS = 10
"""An owner that owes replies and gives none for so many timeouts hangs. Far above what rebuilding all segments of a
large index takes, each some 20 s on busy cores: one that is killed amid it begins it again."""

_PAUSE_SECONDS = 1.0
"""Where owners die over their start, as on a full disk, requests fail at once for so long instead of queueing."""


_log = logging.getLogger(__name__)


class _OwnerDiedError(Exception):
    """The process ended before it answered."""


class OwnerProcess:
    """One shard, opened by a process of its own.

    Every request may be repeated without harm, so what is under way when the owner dies is asked again of its successor
    before anyone hears of it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        dimension: int,
        indexes: tuple[PayloadIndex, ...],
        reserve_bytes: int,
        timeout_seconds: float,
    ) -> None:
        self._directory = directory
        self._dimension = dimension
        self._indexes = indexes
        self._reserve_bytes = reserve_bytes
        self._timeout_seconds = timeout_seconds
        self._connection: _Connection | None = None
        self._restarting: asyncio.Task[_Connection] | None = None
        self._stopped = False
        self._start_died: tuple[float, str] | None = None
        """When owners last died over their start, and what there is to say about it."""
        self.restarts = 0
        self.longest_wait_seconds = 0.0
        """What a request has waited at most for its reply: where the engine optimized, about as long as that took."""

    @property
    def pid(self) -> int | None:
        """The owner's process id while one runs."""
        return None if self._connection is None else self._connection.pid

    async def start(self, *, create: bool = False) -> None:
        """Open the shard, or create it.

        Raises IndexInUseError, IndexDamagedError.
        """
        self._connection = await self._open(create=create)

    async def _open(self, *, create: bool) -> "_Connection":
        connection = await _Connection.spawn()
        request = Open(
            directory=self._directory,
            create=create,
            dimension=self._dimension,
            indexes=self._indexes,
            reserve_bytes=self._reserve_bytes,
        )
        try:
            # Opening replays the log, and may take as long as it takes.
            failure = await connection.ask(request)
            if isinstance(failure, Failure):
                await connection.end()
        except _OwnerDiedError as error:
            raise self._damaged(str(error)) from error
        except asyncio.CancelledError:
            await connection.kill()
            raise
        if isinstance(failure, Failure):
            if failure.kind is FailureKind.STORAGE_FULL:
                raise RepositoryUnavailableError(failure.message)  # whoever opens need not have come to store anything
            raise self._damaged(failure.message) if failure.kind is FailureKind.DAMAGED else failure.error()
        connection.patience_seconds = _HANG_TIMEOUTS * self._timeout_seconds
        return connection

    def _damaged(self, reason: str) -> IndexDamagedError:
        """The engine's reason in one line, and the ways out."""
        first_line, *_ = [*reason.strip().splitlines(), "no reason is known"]
        return IndexDamagedError(
            f"The index in {self._directory} cannot be opened: {first_line[:300]}. {way_out(self._directory.parent)}"
        )

    async def ask(self, request: Request) -> Any:  # noqa: ANN401 - each request says what it answers
        """The reply, from a successor if the owner dies over it; within the timeout and the caller's deadline.

        Raises RepositoryUnavailableError, DeadlinePassedError, and what the reply's `Failure` stands for.
        """
        left = seconds_left()
        bound = self._timeout_seconds if left is None else min(left, self._timeout_seconds)
        try:
            async with asyncio.timeout(bound):
                reply = await self._reply(request)
        except TimeoutError as error:
            if bound < self._timeout_seconds:
                raise DeadlinePassedError("The caller's deadline passed before the index answered.") from error
            raise RepositoryUnavailableError(f"The index did not answer within {self._timeout_seconds:g} s.") from error
        if isinstance(reply, Failure):
            raise reply.error()
        return reply

    async def _reply(self, request: Request) -> Any:  # noqa: ANN401
        for _ in range(_REQUEST_ATTEMPTS):
            connection = await self._alive()
            asked = time.monotonic()
            try:
                reply = await connection.ask(request)
            except _OwnerDiedError:
                continue
            self.longest_wait_seconds = max(self.longest_wait_seconds, time.monotonic() - asked)
            return reply
        raise RepositoryUnavailableError(
            f"The process that owns the index died {_REQUEST_ATTEMPTS} times over one request."
        )

    async def stop(self) -> None:
        """Let the owner finish what it was asked, make it durable and end. Nothing restarts it."""
        self._stopped = True
        if self._restarting is not None:
            self._restarting.cancel()  # which ends the successor, so that nothing is left behind
            await asyncio.wait([self._restarting])
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.end()

    async def _alive(self) -> "_Connection":
        """The connection; to a new owner if the last one has died. Raises RepositoryUnavailableError.

        Whoever stops waiting leaves the start of the new one to the others, and to the next one who asks: a large index
        takes longer to open than a health probe waits.
        """
        if self._connection is not None and not self._connection.died:
            return self._connection
        if self._stopped:
            raise self._closed()
        if self._restarting is None:
            self._restarting = asyncio.create_task(self._restart())
            self._restarting.add_done_callback(self._restarted)
        restarting = self._restarting
        await asyncio.wait([restarting])
        if restarting.cancelled():
            raise self._closed()
        return restarting.result()

    def _restarted(self, restarting: "asyncio.Task[_Connection]") -> None:
        self._restarting = None
        if not restarting.cancelled():
            restarting.exception()  # so that a failure that nobody waits for any more is not logged as never retrieved

    def _closed(self) -> RepositoryUnavailableError:
        return RepositoryUnavailableError("The index is closed.")

    async def _restart(self) -> "_Connection":
        """Start a successor. Raises RepositoryUnavailableError."""
        if self._start_died is not None and time.monotonic() < self._start_died[0] + _PAUSE_SECONDS:
            raise RepositoryUnavailableError(self._start_died[1])
        attempts = 0
        while True:
            attempts += 1
            try:
                self._connection = await self._open(create=False)
            except LookalikeError as error:
                message = f"The index cannot be opened again: {error}"
                if isinstance(error.__cause__, _OwnerDiedError):
                    if attempts < _START_ATTEMPTS:
                        continue
                    self._start_died = time.monotonic(), message
                raise RepositoryUnavailableError(message) from error
            self.restarts += 1
            return self._connection


class _Connection:
    """A running owner and the requests that it has yet to answer."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - both are pipes
        self._process = process
        self._requests = process.stdin
        self._replies = process.stdout
        self._numbers = count()
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self.patience_seconds: float | None = None
        """It is ended when it owes replies and gives none for so long: its successor answers."""
        self._owed = 0
        self._alarm: asyncio.TimerHandle | None = None
        self.died = False
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def spawn(cls) -> "_Connection":
        """A fresh interpreter that has inherited nothing of this one: neither locks, nor threads, nor `__main__`.

        It is started by the event loop's thread, since on Linux it is killed when the thread that started it ends;
        and in a session of its own, since a terminal's interrupts are for the parent to handle. `-P` keeps the working
        directory's modules from being taken for ours.
        """
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "adapters.repositories.edge.owner",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=os.environ | ONE_THREAD,
                start_new_session=True,
            )
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, request: Request) -> Any:  # noqa: ANN401
        """The reply, be it a `Failure`. Raises _OwnerDiedError."""
        number = next(self._numbers)
        large = isinstance(request, Write)
        data = await asyncio.to_thread(frame, number, request) if large else frame(number, request)
        if self.died:
            raise _OwnerDiedError
        reply = self._pending[number] = asyncio.get_running_loop().create_future()
        try:
            self._requests.write(data)
            self._owed += 1
            if self._owed == 1:
                self._watch()
            await self._requests.drain()
            return await reply
        except (ConnectionError, RuntimeError) as error:  # RuntimeError: uvloop's closed transport
            raise _OwnerDiedError(f"the pipe is closed ({error})") from error
        finally:
            del self._pending[number]

    async def end(self) -> None:
        """Ask it to close, and wait until it is gone."""
        try:
            async with asyncio.timeout(_EXIT_PATIENCE_SECONDS):
                await self.ask(Close())
                await self._gone()
        except _OwnerDiedError:
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
        try:
            while True:
                size = int.from_bytes(await self._replies.readexactly(HEADER_BYTES), "big")
                body = await self._replies.readexactly(size)
                self._owed -= 1
                self._watch()
                large = size > _LARGE_FRAME_BYTES
                number, reply = await asyncio.to_thread(unframed, body) if large else unframed(body)
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
            status = await self._process.wait()
            for waiting in self._pending.values():
                if not waiting.done():
                    waiting.set_exception(_OwnerDiedError(f"its process ended with status {status}"))
