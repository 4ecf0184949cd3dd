"""The service, and its peers, as users run them: processes of their own, watched from outside, ended by their ids."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from benchmarks.http11 import call

READY_WITHIN = 120.0
STOPPED_WITHIN = 60.0
BIN = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Memory:
    """MiB. `anonymous` is what only ending the process gives back; the rest are mapped files, cache of the kernel's."""

    pss: float
    anonymous: float

    def most(self, other: "Memory") -> "Memory":
        """The larger of each."""
        return Memory(max(self.pss, other.pss), max(self.anonymous, other.anonymous))


class Server(AbstractContextManager["Server"]):
    """A server on the loopback. Entered, it is ready: `health` answers 200."""

    def __init__(
        self, command: list[str], *, port: int, health: str, environment: dict[str, str] | None = None
    ) -> None:
        self._command = command
        self._environment = os.environ | (environment or {})
        self._health = health
        self.port = port
        self.seconds_to_ready = 0.0
        self.peak = Memory(0, 0)

    def __enter__(self) -> Self:
        self.started = time.perf_counter()
        self._process = subprocess.Popen(self._command, env=self._environment, stdout=subprocess.DEVNULL)
        try:
            while not self._is_ready():
                if self._process.poll() is not None or time.perf_counter() - self.started > READY_WITHIN:
                    raise RuntimeError(f"{self._command} is not ready (exit code {self._process.poll()})")
                time.sleep(0.02)
        except BaseException:
            self._stop()
            raise
        self.seconds_to_ready = time.perf_counter() - self.started
        self._watching = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watching.set()
        self._watcher.join()
        self._stop()

    def cpu_seconds(self) -> float:
        """CPU seconds of the server and its children so far."""
        return sum(sum(process.cpu_times()[:2]) for process in self._tree())

    def memory(self) -> Memory:
        """Of the server and its children, now."""
        each = [memory_of(process.pid) for process in self._tree()]
        return Memory(sum(one.pss for one in each), sum(one.anonymous for one in each))

    def rss_mib(self) -> float:
        """Resident set size of the server and its children, now; what they share is counted for each."""
        return float(sum(process.memory_info().rss for process in self._tree()) / 2**20)

    def forget_peak(self) -> None:
        """Let `peak` begin anew."""
        self.peak = Memory(0, 0)

    def _tree(self) -> list[psutil.Process]:
        try:
            server = psutil.Process(self._process.pid)
            return [server, *server.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _watch(self) -> None:
        while not self._watching.wait(0.5):
            self.peak = self.peak.most(self.memory())

    def _stop(self) -> None:
        """End it; and its children, if it left any behind."""
        tree = self._tree()
        self._process.terminate()
        try:
            self._process.wait(timeout=STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        left = [process for process in tree[1:] if process.is_running()]
        psutil.wait_procs(left, timeout=1)
        for process in left:
            if process.is_running():
                process.kill()
        psutil.wait_procs(left, timeout=STOPPED_WITHIN)

    def _is_ready(self) -> bool:
        try:
            return call(self.port, "GET", self._health)[0] == 200
        except OSError:
            return False


class Service(Server):
    """`lookalike serve` with the embedded index in `data_dir`."""

    def __init__(self, data_dir: Path, **settings: str) -> None:
        port = free_port()
        super().__init__(
            [str(BIN / "lookalike"), "serve"],
            port=port,
            health="/health/ready",
            environment=environment(data_dir) | {"LOOKALIKE_HTTP__PORT": str(port)} | settings,
        )


class Peer(Server):
    """A module of `benchmarks.peers` that serves; `vectors` is a file of what its index holds from the start."""

    def __init__(self, module: str, *, vectors: Path | None = None) -> None:
        port = free_port()
        command = [sys.executable, "-m", f"benchmarks.peers.{module}", "--port", str(port)]
        super().__init__(command + (["--vectors", str(vectors)] if vectors else []), port=port, health="/health")


def output_of(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> str:
    """What a command prints. Raises RuntimeError with the end of its standard error if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | (environment or {}))
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)[:200]}: {done.stderr.strip()[-500:]}")
    return done.stdout


def free_port() -> int:
    """A port of the loopback that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def environment(data_dir: Path) -> dict[str, str]:
    """What lets `lookalike` work in `data_dir`."""
    return {"LOOKALIKE_DATA_DIR": str(data_dir), "LOOKALIKE_LOG__LEVEL": "warning"}


def memory_of(pid: int) -> Memory:
    """Proportional set size, and the anonymous part of it; nothing of a process that has gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except (FileNotFoundError, ProcessLookupError):
        return Memory(0, 0)
    kib = {name: int(value.split()[0]) for name, value in (line.split(":", 1) for line in lines)}
    return Memory(kib["Pss"] / 1024, kib.get("Pss_Anon", kib["Anonymous"]) / 1024)
