"""The service as users run it: a process of its own, watched from outside."""

import http.client
import os
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

PORT = 8765
READY_WITHIN = 60.0


class Service(AbstractContextManager["Service"]):
    """`lookalike serve` on the loopback with the embedded index in `data_dir`."""

    def __init__(self, data_dir: Path, **settings: str) -> None:
        self._environment = os.environ | {
            "LOOKALIKE_DATA_DIR": str(data_dir),
            "LOOKALIKE_HTTP__PORT": str(PORT),
            "LOOKALIKE_LOG__LEVEL": "warning",
            **settings,
        }
        self.seconds_to_ready = 0.0
        self.peak_mib = 0.0

    def __enter__(self) -> Self:
        started = time.perf_counter()
        command = [str(Path(sys.executable).with_name("lookalike")), "serve"]
        self._process = subprocess.Popen(command, env=self._environment, stdout=subprocess.DEVNULL)
        while not self._is_ready():
            if self._process.poll() is not None or time.perf_counter() - started > READY_WITHIN:
                raise RuntimeError(f"the service is not ready (exit code {self._process.poll()})")
            time.sleep(0.02)
        self.seconds_to_ready = time.perf_counter() - started
        self._watching = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watching.set()
        self._watcher.join()
        self._process.terminate()
        self._process.wait(timeout=60)

    def cpu_seconds(self) -> float:
        """CPU seconds of the service and its index process so far."""
        return sum(sum(process.cpu_times()[:2]) for process in self._tree())

    def memory_mib(self) -> float:
        """Proportional set size of the service and its index process."""
        return sum(process.memory_full_info().pss for process in self._tree()) / 2**20

    def _tree(self) -> list[psutil.Process]:
        service = psutil.Process(self._process.pid)
        return [service, *service.children(recursive=True)]

    def _watch(self) -> None:
        while not self._watching.wait(0.5):
            self.peak_mib = max(self.peak_mib, self.memory_mib())

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()
