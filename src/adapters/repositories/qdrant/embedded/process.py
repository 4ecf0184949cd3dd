"""Starts, asks, restarts and stops the process of the embedded engine."""

import asyncio
import logging
import os
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from adapters.processes.child import ChildProcess
from adapters.repositories.qdrant.embedded.manifest import ShardLayout, cannot_be_opened
from adapters.scheduling.slots import started_threads
from domain.callers import raise_if_over, seconds_left
from domain.errors import DeadlinePassedError, LookalikeError, RepositoryUnavailableError

REQUEST_ATTEMPTS = 8
START_ATTEMPTS = 3
"""How many processes may die over one request, and over their own start, before the caller gets an error."""

HANG_TIMEOUTS = 10
"""A process that does not answer for so many timeouts hangs. Far above what rebuilding all segments of a large index
takes, each some 20 s on busy cores: a process killed during that work would begin it again."""

PAUSE_SECONDS = 1.0
"""If processes die over their start, as on a full disk, or cannot be started, requests fail at once for so long instead
of queueing."""

EXIT_PATIENCE_SECONDS = 30.0

_log = logging.getLogger(__name__)


class EngineProcess:
    """One shard in a process of its own, and the thread that starts it, sends it requests and waits for the answers.

    Every request may be repeated without harm. When the process dies, the thread starts a successor and asks it again,
    before the caller gets an error. The thread lives as long as this does: on Linux the process is killed when
    the thread that started it ends.
    """

    def __init__(self, directory: Path, layout: ShardLayout, *, timeout_seconds: float) -> None:
        self._directory = directory
        self._layout = layout
        self._timeout_seconds = timeout_seconds
        try:
            self._thread = started_threads(1, name="index")
        except RuntimeError as error:
            raise _not_started(error) from error
        self._process: ChildProcess | None = None
        self._pipe: Connection | None = None
        """To a process that has the shard open; None while none has."""
        self._asking = 0
        self._stopped = False
        self._start_failed: tuple[float, LookalikeError] | None = None
        self.restarts = 0
        self.longest_wait_seconds = 0.0
        """The longest wait of a request for its answer: about as long as an optimization took, where there was one."""

    @property
    def pid(self) -> int | None:
        """The id of the process that is running, or was the last one."""
        return None if self._process is None else self._process.pid

    async def start(self, *, create: bool) -> None:
        """Open the shard, which replays its log and may take as long as it takes; or create it.

        Raises IndexInUseError, IndexDamagedError, RepositoryUnavailableError.
        """
        await asyncio.get_running_loop().run_in_executor(self._thread, self._start, create)

    async def ask(self, verb: str, *args: object, **kwargs: object) -> Any:  # noqa: ANN401 - what the engine answers
        """The answer, from a successor if the process dies over it; within the timeout and the caller's deadline.

        A caller that stops waiting before its turn has asked nothing. Raises RepositoryUnavailableError,
        DeadlinePassedError, and what the engine's process says of a failure.
        """
        raise_if_over()
        if self._stopped:
            raise _closed()
        left = seconds_left()
        bound = self._timeout_seconds if left is None else min(left, self._timeout_seconds)
        self._asking += 1
        began = time.monotonic()
        try:
            async with asyncio.timeout(bound):
                return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, verb, args, kwargs)
        except TimeoutError as error:
            if bound < self._timeout_seconds:
                raise DeadlinePassedError("The caller's deadline passed before the index answered.") from error
            raise RepositoryUnavailableError(f"The index did not answer within {self._timeout_seconds:g} s.") from error
        finally:
            self._asking -= 1
            self.longest_wait_seconds = max(self.longest_wait_seconds, time.monotonic() - began)

    async def stop(self) -> None:
        """Let the process finish what it was asked, make it durable and end. Nothing restarts it."""
        self._stopped = True
        if self._pipe is None and self._process is not None:
            self._process.kill()  # a successor that is starting
        closing = asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        await asyncio.wait([closing], timeout=EXIT_PATIENCE_SECONDS)
        if not closing.done() and self._process is not None:
            self._process.kill()
        await closing
        self._thread.shutdown(wait=False)

    # On the thread

    def _ask(self, verb: str, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        for _ in range(REQUEST_ATTEMPTS):
            pipe = self._pipe or self._restart()
            try:
                pipe.send((verb, args, kwargs, self._asking > 1))
                answer = pipe.recv()
            except (EOFError, OSError) as error:
                if isinstance(error, BlockingIOError):
                    _log.warning("The process of the index hangs, and is ended")
                self._kill()
                continue
            except BaseException:  # such as no memory for an answer, the rest of which would be taken for the next one
                self._kill()
                raise
            if isinstance(answer, LookalikeError):
                raise answer
            return answer
        raise RepositoryUnavailableError(f"The process of the index died {REQUEST_ATTEMPTS} times over one request.")

    def _restart(self) -> Connection:
        if self._stopped:
            raise _closed()
        if self._start_failed is not None and time.monotonic() < self._start_failed[0] + PAUSE_SECONDS:
            raise _not_opened_again(self._start_failed[1])
        for attempt in range(1, START_ATTEMPTS + 1):
            try:
                pipe = self._start(create=False)
            except LookalikeError as error:
                if self._stopped:
                    raise _closed() from error
                has_died = isinstance(error.__cause__, EOFError | OSError)
                if has_died and attempt < START_ATTEMPTS:
                    continue
                self._start_failed = (time.monotonic(), error) if has_died else None
                raise _not_opened_again(error) from error
            break
        self.restarts += 1
        return pipe

    def _start(self, create: bool) -> Connection:
        try:
            self._process = ChildProcess("adapters.repositories.qdrant.embedded.engine")
            pipe = Connection(os.dup(self._process.socket.fileno()))
        except OSError as error:
            self._kill()
            raise _not_started(error) from error
        try:
            pipe.send((self._directory, self._layout, create))
            failure = pipe.recv()
        except (EOFError, OSError) as error:
            pipe.close()
            failure = cannot_be_opened(self._directory, f"its process ended with status {self._process.end()}")
            failure.__cause__ = error
        self._pipe = pipe
        if failure is not None:
            self._kill()
            raise failure
        self._process.limit_waits(HANG_TIMEOUTS * self._timeout_seconds)
        return pipe

    def _close(self) -> None:
        """End the process, if there is one, when it has made everything durable."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._process is not None:
            self._process.end()

    def _kill(self) -> None:
        """End the process at once, if there is one. What it has acknowledged is durable."""
        if self._process is not None:
            self._process.kill()
        self._close()


def _not_started(error: Exception) -> RepositoryUnavailableError:
    reason = getattr(error, "strerror", None) or error
    return RepositoryUnavailableError(
        f"The process of the index cannot be started ({reason}). Usually the system, or a limit on this service, has "
        "no open files, processes or memory left for it."
    )


def _not_opened_again(error: LookalikeError) -> RepositoryUnavailableError:
    return RepositoryUnavailableError(f"The index cannot be opened again: {error}", remedy=error.remedy)


def _closed() -> RepositoryUnavailableError:
    return RepositoryUnavailableError("The index is closed.")
