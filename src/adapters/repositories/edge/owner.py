"""The process that owns a shard: `python -m adapters.repositories.edge.owner`, requests on stdin, replies on stdout.

The engine holds the GIL in every call, seconds long when it optimizes, so it must not live where an event loop runs.
The process ends when its stdin closes, and on Linux is killed with its parent even amid an engine call, so that no
orphan keeps the shard's lock. A kill loses nothing that was acknowledged: every write is flushed first.
"""

import ctypes
import os
import queue
import shutil
import signal
import sys
import threading
import time
from io import FileIO
from typing import BinaryIO

from adapters.inference.heaps import bound_heaps
from adapters.repositories.edge.directory_lock import in_use
from adapters.repositories.edge.requests import (
    Close,
    Count,
    CountLabels,
    Describe,
    Failure,
    FailureKind,
    FindOrphans,
    Get,
    GetObjectVectors,
    GetVectors,
    Nearest,
    NearestObjects,
    Newest,
    Open,
    Request,
    SweepObjects,
    Write,
    frame,
    read_frame,
)
from adapters.repositories.edge.shard import IDLE_CHANGES, Shard, is_lock_error
from adapters.repositories.edge.shard_reads import MissingObjectsError

IDLE_SECONDS = 1.0
"""After so long without a request nobody is likely to wait for an optimization."""

BUSY_CHANGES = 4_000
"""So many changes are optimized between two requests of a burst, before searches slow down and the work piles up."""

NEVER_IDLE_SECONDS = 300.0
"""A service that is asked something every second has no idle moment: it optimizes so often between two requests."""

PR_SET_PDEATHSIG = 1


class Owner:
    """Answers requests one after the other, and optimizes when nobody asks."""

    def __init__(self, requests: FileIO, replies: BinaryIO) -> None:
        self._replies = replies
        self._inbox: queue.SimpleQueue[tuple[int, object] | None] = queue.SimpleQueue()
        self._shard: Shard | None = None
        self._optimized_at = time.monotonic()
        threading.Thread(target=self._receive, args=(requests,), daemon=True).start()

    def _receive(self, requests: FileIO) -> None:
        while (message := read_frame(requests)) is not None:
            self._inbox.put(message)
        self._inbox.put(None)

    def serve(self) -> None:
        """Until the parent closes the pipe, or asks to close."""
        while True:
            try:
                message = self._inbox.get(timeout=IDLE_SECONDS if self._due(IDLE_CHANGES) else None)
            except queue.Empty:
                self._optimize()
                continue
            if message is None:
                self._close()
                return
            number, request = message
            if not self._reply(frame(number, self._answer(request))):  # type: ignore[arg-type]
                self._close()
                return
            if isinstance(request, Close):
                return
            if self._is_time():
                self._optimize()

    def _reply(self, message: bytes) -> bool:
        """Whether anybody is there to read it."""
        try:
            self._replies.write(message)
            self._replies.flush()
        except BrokenPipeError:
            # What is buffered would be written once more when this process ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._replies.fileno())
            return False
        return True

    def _is_time(self) -> bool:
        """Whether to optimize between two requests."""
        if self._inbox.empty():
            waited = time.monotonic() - self._optimized_at
            return self._due(BUSY_CHANGES) or (waited > NEVER_IDLE_SECONDS and self._due(IDLE_CHANGES))
        return self._due(2 * BUSY_CHANGES)

    def _due(self, changes: int) -> bool:
        return self._shard is not None and self._shard.unoptimized >= changes

    def _optimize(self) -> None:
        assert self._shard is not None  # noqa: S101 - only a shard makes it due
        self._optimized_at = time.monotonic()
        try:
            self._shard.optimize()
        except Exception as error:  # the engine raises nothing more specific
            # The index stays whole and serves, slower; the next round of changes tries again.
            print(f"lookalike: the index could not be optimized: {error}", file=sys.stderr)  # noqa: T201

    def _answer(self, request: Request) -> object:
        try:
            if isinstance(request, Open):
                return self._open(request)
            if isinstance(request, Close):
                self._close()
                return None
            if self._shard is None:
                return Failure(FailureKind.ENGINE, "No index is open.")
            return _answered(self._shard, request)
        except MissingObjectsError as error:
            return Failure(FailureKind.DAMAGED, str(error))
        except Exception as error:  # the engine raises nothing more specific
            return Failure(FailureKind.ENGINE, f"The index failed: {error}")

    def _open(self, request: Open) -> Failure | None:
        try:
            begin = Shard.create if request.create else Shard.load
            self._shard = begin(
                request.directory, request.dimension, request.indexes, reserve_bytes=request.reserve_bytes
            )
        except BaseException as error:  # the engine raises nothing more specific, and its panics are no `Exception`s
            if is_lock_error(error):
                return Failure(FailureKind.IN_USE, in_use(request.directory))
            if shutil.disk_usage(request.directory.parent).free < request.reserve_bytes:
                return Failure(
                    FailureKind.STORAGE_FULL,
                    f"The index in {request.directory} cannot be opened while less than the reserve of "
                    f"{request.reserve_bytes / 1e6:.0f} MB is free: {error}. Make room.",
                )
            return Failure(FailureKind.DAMAGED, str(error))
        return None

    def _close(self) -> None:
        if self._shard is not None:
            self._shard.close()
            self._shard = None


def _answered(shard: Shard, request: Request) -> object:  # noqa: PLR0911, PLR0912 - one line for each kind of request
    match request:
        case Write(changes):
            return shard.write(changes)
        case Get(ids):
            return shard.reads.get(ids)
        case GetVectors(ids):
            return shard.reads.vectors(ids)
        case GetObjectVectors(ids):
            return shard.reads.object_vectors(ids)
        case Newest(where, limit):
            return shard.reads.newest(where, limit)
        case Nearest():
            return shard.reads.nearest(request)
        case NearestObjects(search):
            return shard.nearest_objects(search)
        case Count(where):
            return shard.reads.count(where)
        case CountLabels(where):
            return shard.reads.count_labels(where)
        case FindOrphans(after, limit):
            return shard.reads.orphans(after, limit)
        case SweepObjects(ids):
            return shard.sweep_objects(ids)
        case Describe():
            return shard.figures()
        case Open() | Close():
            raise AssertionError("answered before")


def main() -> None:
    """Serve stdin until it closes."""
    bound_heaps()
    # An interrupt of the terminal or a stop of the service goes to the parent, which finishes its work and then
    # closes the pipe.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # Replies have the pipe for themselves: whatever a library prints goes to stderr.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    Owner(FileIO(sys.stdin.fileno(), closefd=False), replies).serve()


if __name__ == "__main__":
    main()
