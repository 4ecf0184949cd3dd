"""When the process of the embedded engine optimizes: between requests, since none is answered meanwhile."""

import threading
import time
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from adapters.repositories.qdrant.embedded import engine as embedded
from adapters.repositories.qdrant.embedded.engine import BUSY_CHANGES, IDLE_CHANGES
from adapters.repositories.qdrant.embedded.manifest import ShardLayout

LAYOUT = ShardLayout(vectors=(), dimension=4, indexes={}, reserve_bytes=0)


class FakeEngine:
    """Has so many changes to optimize."""

    def __init__(self) -> None:
        self.unoptimized = 0
        self.optimized_at = time.monotonic()
        self.optimized = threading.Event()
        self.closed = False
        self.has_no_room = False

    def write(self, changes: int) -> str:
        self.unoptimized += changes
        return "written"

    def optimize(self) -> None:
        self.unoptimized = 0
        self.optimized.set()
        if self.has_no_room:
            raise OSError("no room")

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    engine = FakeEngine()
    monkeypatch.setattr(embedded.Engine, "load", lambda *_: engine)
    monkeypatch.setattr(embedded, "IDLE_SECONDS", 3600.0)
    return engine


@pytest.fixture
def parent(engine: FakeEngine, tmp_path: Path) -> Iterator[Connection]:
    """The parent's end of the pipe to a worker that has the engine open."""
    parent, theirs = Pipe()
    serving = threading.Thread(target=embedded.serve, args=[theirs])
    serving.start()
    parent.send((tmp_path, LAYOUT, False))
    assert parent.recv() is None
    yield parent
    parent.close()
    serving.join()
    theirs.close()
    assert engine.closed


def ask(parent: Connection, verb: str, *args: object, others_wait: bool = False) -> object:
    parent.send((verb, args, {}, others_wait))
    return parent.recv()


@pytest.mark.parametrize(
    ("changes", "others_wait", "patience", "optimizes"),
    [
        (IDLE_CHANGES, False, 3600.0, False),
        (IDLE_CHANGES, False, 0.0, True),
        (IDLE_CHANGES - 1, False, 0.0, False),
        (IDLE_CHANGES, True, 0.0, False),
        (BUSY_CHANGES - 1, False, 3600.0, False),
        (BUSY_CHANGES, False, 3600.0, True),
        (BUSY_CHANGES, True, 3600.0, False),
        (2 * BUSY_CHANGES, True, 3600.0, True),
    ],
)
def test_between_two_requests_it_optimizes_what_has_piled_up(  # noqa: PLR0917 - fixtures and parameters
    engine: FakeEngine,
    parent: Connection,
    monkeypatch: pytest.MonkeyPatch,
    changes: int,
    others_wait: bool,
    patience: float,
    optimizes: bool,
) -> None:
    """A service that is never idle has no better moment (`patience` is how long it waits for one)."""
    monkeypatch.setattr(embedded, "NEVER_IDLE_SECONDS", patience)
    assert ask(parent, "write", changes, others_wait=others_wait) == "written"
    assert ask(parent, "write", 0, others_wait=True) == "written"  # after what it did between the two
    assert engine.optimized.is_set() == optimizes


def test_it_optimizes_when_it_is_idle(engine: FakeEngine, parent: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "IDLE_SECONDS", 0.0)
    ask(parent, "write", IDLE_CHANGES - 1)
    ask(parent, "write", 0)
    assert not engine.optimized.is_set()
    ask(parent, "write", 1)
    assert engine.optimized.wait(30)


def test_an_optimization_that_fails_fails_no_request(
    engine: FakeEngine, parent: Connection, capfd: pytest.CaptureFixture[str]
) -> None:
    engine.has_no_room = True
    assert ask(parent, "write", BUSY_CHANGES) == "written"
    assert ask(parent, "write", 0) == "written"
    assert engine.optimized.is_set()
    assert "the index could not be optimized: no room" in capfd.readouterr().err
