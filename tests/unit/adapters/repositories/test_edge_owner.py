"""When the owner of an embedded index optimizes: between requests or not at all, since nobody is answered meanwhile."""

import io
import os
import threading
from pathlib import Path

import pytest

from adapters.repositories.edge import owner
from adapters.repositories.edge.requests import Open, frame
from adapters.repositories.edge.shard import IDLE_CHANGES
from tests.eventually import until


class FakeShard:
    """Has so many changes to optimize."""

    def __init__(self, unoptimized: int) -> None:
        self.unoptimized = unoptimized

    def optimize(self) -> None:
        self.unoptimized = 0

    def close(self) -> None: ...


@pytest.mark.parametrize("patience", [0.0, 3600.0])
def test_an_owner_that_is_never_idle_optimizes_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    shard = FakeShard(IDLE_CHANGES)
    monkeypatch.setattr(owner.Shard, "load", lambda *_, **__: shard)
    monkeypatch.setattr(owner, "IDLE_SECONDS", 3600.0)
    monkeypatch.setattr(owner, "NEVER_IDLE_SECONDS", patience)
    incoming, outgoing = os.pipe()
    with os.fdopen(incoming, "rb", buffering=0) as requests, os.fdopen(outgoing, "wb", buffering=0) as parent:
        serving = threading.Thread(target=owner.Owner(requests, io.BytesIO()).serve)
        serving.start()
        parent.write(frame(0, Open(directory=tmp_path, create=False, dimension=4, indexes=(), reserve_bytes=0)))
        assert until(lambda: shard.unoptimized == 0, seconds=0.5 if patience else 30.0) == (not patience)
        # Not by `Close`, after which its thread would read on, from whichever file has the pipe's number next.
        parent.close()
        serving.join()
