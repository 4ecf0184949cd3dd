import asyncio
import threading
import time

import pytest

from adapters.telemetry import tracing
from adapters.telemetry.tracing import Tracing


def test_a_collector_that_takes_nothing_holds_up_no_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracing, "MOST_SECONDS", 0.05)
    taken = threading.Event()
    began = time.monotonic()
    asyncio.run(Tracing(shut_down=lambda: taken.wait(60) and None).close())  # the loop's end too: it waits for threads
    assert time.monotonic() - began < 30
    assert "took no spans for 0.05 s" in caplog.text
    taken.set()
