"""The parent's end of a process of our own."""

import os
import socket
import struct
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

    def limit_waits(self, seconds: float) -> None:
        """Let sending and receiving raise BlockingIOError if the process takes or gives nothing for so long.

        Sending may wait too: a socket holds less than a large message.
        """
        timeval = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
        for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            self.socket.setsockopt(socket.SOL_SOCKET, option, timeval)

    def end(self, *, patience: float | None = None) -> int:
        """Close our end, and kill the process where it does not end within so many seconds.

        What it ended with: an exit code, or a signal's number, negative.
        """
        self.socket.close()
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._process.wait()

    def kill(self) -> None:
        """Let it end at once, whatever it does."""
        self._process.kill()
