"""The owner of a shard as its parent has it: many callers share it, and it outlives the death of the process."""

import asyncio
import time
from pathlib import Path
from typing import Any

from adapters.repositories.edge.manifest import way_out
from adapters.repositories.edge.owner_connection import OwnerConnection, OwnerDiedError
from adapters.repositories.edge.requests import Failure, FailureKind, Open, Request
from adapters.repositories.payload import PayloadIndex
from domain.callers import seconds_left
from domain.errors import DeadlinePassedError, IndexDamagedError, LookalikeError, RepositoryUnavailableError

_REQUEST_ATTEMPTS = 8
_START_ATTEMPTS = 3
"""So many owners may die over one request, and over their own start, before a caller hears of it."""

_HANG_TIMEOUTS = 10
"""An owner that owes replies and gives none for so many timeouts hangs. Far above what rebuilding all segments of a
large index takes, each some 20 s on busy cores: one that is killed amid it begins it again."""

_PAUSE_SECONDS = 1.0
"""Where owners die over their start, as on a full disk, or cannot be started, requests fail at once for so long instead
of queueing."""


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
        self._connection: OwnerConnection | None = None
        self._restarting: asyncio.Task[OwnerConnection] | None = None
        self._stopped = False
        self._start_failed: tuple[float, str] | None = None
        """When owners last died over their start or could not be started, and what there is to say about it."""
        self.restarts = 0
        self.longest_wait_seconds = 0.0
        """What a request has waited at most for its reply: where the engine optimized, about as long as that took."""

    @property
    def pid(self) -> int | None:
        """The owner's process id while one runs."""
        return None if self._connection is None else self._connection.pid

    async def start(self, *, create: bool = False) -> None:
        """Open the shard, or create it.

        Raises IndexInUseError, IndexDamagedError, RepositoryUnavailableError.
        """
        self._connection = await self._open(create=create)

    async def _open(self, *, create: bool) -> OwnerConnection:
        try:
            connection = await OwnerConnection.spawn()
        except (OSError, RuntimeError) as error:  # whatever its number: uvloop has none for open files that run out
            raise self._not_started(error) from error
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
        except OwnerDiedError as error:
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

    def _not_started(self, error: Exception) -> RepositoryUnavailableError:
        reason = getattr(error, "strerror", None) or error
        return RepositoryUnavailableError(
            f"The process that owns the index cannot be started ({reason}). Usually the system, or a limit on this "
            "service, has no open files, processes or memory left for it."
        )

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
            except OwnerDiedError:
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

    async def _alive(self) -> OwnerConnection:
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

    def _restarted(self, restarting: asyncio.Task[OwnerConnection]) -> None:
        self._restarting = None
        if not restarting.cancelled():
            restarting.exception()  # so that a failure that nobody waits for any more is not logged as never retrieved

    def _closed(self) -> RepositoryUnavailableError:
        return RepositoryUnavailableError("The index is closed.")

    async def _restart(self) -> OwnerConnection:
        """Start a successor. Raises RepositoryUnavailableError."""
        if self._start_failed is not None and time.monotonic() < self._start_failed[0] + _PAUSE_SECONDS:
            raise RepositoryUnavailableError(self._start_failed[1])
        attempts = 0
        while True:
            attempts += 1
            try:
                self._connection = await self._open(create=False)
            except LookalikeError as error:
                message = f"The index cannot be opened again: {error}"
                if isinstance(error.__cause__, OwnerDiedError) and attempts < _START_ATTEMPTS:
                    continue
                if isinstance(error.__cause__, OwnerDiedError | OSError | RuntimeError):
                    self._start_failed = time.monotonic(), message
                raise RepositoryUnavailableError(message) from error
            self.restarts += 1
            return self._connection
