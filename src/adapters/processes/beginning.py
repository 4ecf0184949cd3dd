"""What a process of our own does first."""

import ctypes
import signal
import sys

from adapters.inference.heaps import bound_heaps

PR_SET_PDEATHSIG = 1


def begin(*, end_with_parents_thread: bool = False) -> None:
    """Leave interrupts to the parent, and bound the heaps.

    An interrupt of the terminal or a stop of the service goes to the parent, which finishes its work and then closes
    the socket. With `end_with_parents_thread`, Linux kills the process with the thread that started it, even amid a
    call of a library.
    """
    bound_heaps()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if end_with_parents_thread and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
