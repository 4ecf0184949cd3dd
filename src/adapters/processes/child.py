"""The parent's end of a process of our own."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping

from adapters.inference.cores import ONE_THREAD


class ChildProcess:
    """A module of ours in a fresh interpreter, which has inherited nothing of this one: no lock, thread or `__main__`.

    The module is given the number of its socket as its first argument. It is in a session of its own, since a
    terminal's interrupts are for the parent to handle.
    """

    def __init__(self, module: str, *arguments: str, environment: Mapping[str, str] = os.environ) -> None:
        """Start it, without waiting for it. Raises OSError where the system has no room."""
        self.socket, theirs = socket.socketpair()
        """Our end. The module is to end when it closes."""
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 - our own module
                    # -P keeps the working directory's modules from being taken for ours
                    [sys.executable, "-P", "-m", module, str(theirs.fileno()), *arguments],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env={**environment, **ONE_THREAD},
                    start_new_session=True,
                )
        except OSError:
            self.socket.close()
            raise
        self.pid = self._process.pid

    def wait(self, seconds: float | None = None) -> int:
        """What it ended with: an exit code, or a signal's number, negative. After so many seconds it is killed."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End it at once, whatever it does; what it ended with."""
        self._process.kill()
        return self._process.wait()
