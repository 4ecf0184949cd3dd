"""Whether a service keeps what it should let go."""

import threading
import time
from types import TracebackType
from typing import Self

import psutil

SAMPLE_SECONDS = 0.25
MEBIBYTE = 1024 * 1024
ALLOWED_GROWTH = 64 * MEBIBYTE
"""Between the first third and the last tenth, with allocators that keep a little of all they had."""


class MemoryWatch:
    """Resident memory of a process and its children while the block runs, and what becomes of it."""

    def __init__(self, process: int) -> None:
        self._process = psutil.Process(process)
        self._samples: list[int] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def growth(self) -> int:
        """Bytes that it has at the end beyond what it had in the first third. Peaks do not count: they come and go."""
        third, tenth = len(self._samples) // 3, max(len(self._samples) // 10, 1)
        return min(self._samples[-tenth:]) - min(self._samples[third // 2 : third + 1])

    def complaint(self) -> str | None:
        """What is wrong with it."""
        if self.growth <= ALLOWED_GROWTH:
            return None
        return f"memory grew by {self.growth / MEBIBYTE:.0f} MiB"

    def _watch(self) -> None:
        while not self._ended.is_set():
            self._samples.append(self._resident())
            time.sleep(SAMPLE_SECONDS)

    def _resident(self) -> int:
        total = 0
        for process in (self._process, *self._process.children(recursive=True)):
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return total
