"""The process of the embedded engine: `python -m adapters.repositories.qdrant.embedded.worker FD`, a pipe's number.

The engine holds the GIL in every call, seconds long when it optimizes, so it must not live where an event loop runs.
The process ends when the pipe closes, and on Linux is killed with its parent even amid an engine call, so that no
orphan keeps the shard's lock. A kill loses nothing that was acknowledged: every write is flushed first.
"""

import shutil
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

from adapters.processes.beginning import begin
from adapters.repositories.qdrant.embedded.engine import IDLE_CHANGES, Engine, is_lock_error
from adapters.repositories.qdrant.embedded.manifest import ShardLayout, cannot_be_opened, in_use
from domain.errors import LookalikeError, RepositoryUnavailableError

IDLE_SECONDS = 1.0
"""After so long without a request no caller is likely to wait for an optimization."""

BUSY_CHANGES = 4_000
"""So many changes are optimized between two requests of a burst, before searches slow down and the work piles up."""

NEVER_IDLE_SECONDS = 300.0
"""A service that is asked something every second has no idle moment: it optimizes so often between two requests."""


def serve(pipe: Connection) -> None:
    """Open a shard and answer requests one after the other, until the parent closes the pipe or is gone.

    Optimizes when idle, and between two requests where changes pile up. The first message is what to open; each other
    names a method of the engine, what it takes, and whether more requests come right after. The answer is what it
    returns, or a LookalikeError.
    """
    engine: Engine | None = None
    try:
        engine, failure = _opened(*pipe.recv())
        pipe.send(failure)
        while engine is not None:
            if engine.unoptimized >= IDLE_CHANGES and not pipe.poll(IDLE_SECONDS):
                _optimize(engine)
            verb, args, kwargs, others_wait = pipe.recv()
            try:
                answer = getattr(engine, verb)(*args, **kwargs)
            except Exception as error:  # the engine raises nothing more specific
                answer = RepositoryUnavailableError(f"The index failed: {error}")
            pipe.send(answer)
            never_idle = time.monotonic() - engine.optimized_at > NEVER_IDLE_SECONDS
            enough = IDLE_CHANGES if never_idle else BUSY_CHANGES
            if engine.unoptimized >= (2 * BUSY_CHANGES if others_wait else enough):
                _optimize(engine)
    except (EOFError, OSError):
        pass
    if engine is not None:
        engine.close()


def _opened(directory: Path, layout: ShardLayout, create: bool) -> tuple[Engine | None, LookalikeError | None]:
    try:
        return (Engine.create if create else Engine.load)(directory, layout), None
    except BaseException as error:  # the engine raises nothing more specific, and its panics are no `Exception`s
        if is_lock_error(error):
            return None, in_use(directory.parent)
        if shutil.disk_usage(directory.parent).free < layout.reserve_bytes:  # opening may be for reading only
            return None, RepositoryUnavailableError(
                f"The index in {directory} cannot be opened while less than the reserve of "
                f"{layout.reserve_bytes / 1e6:.0f} MB is free: {error}. Make room."
            )
        return None, cannot_be_opened(directory, str(error))


def _optimize(engine: Engine) -> None:
    try:
        engine.optimize()
    except Exception as error:  # the engine raises nothing more specific
        # The index stays whole and serves, slower; the next round of changes tries again.
        print(f"lookalike: the index could not be optimized: {error}", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    begin(end_with_parents_thread=True)
    serve(Connection(int(sys.argv[1])))
