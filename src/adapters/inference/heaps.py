"""What a process that lives long, or works hard, asks of its C library."""

import ctypes
import sys

M_ARENA_MAX = -8
"""From glibc's malloc.h."""

ARENAS = 2
"""glibc gives nearly every thread a heap of its own, and each keeps what its largest picture took: 30 MB here."""


def bound_heaps() -> None:
    """Let threads share heaps; to be called before there are any. Does nothing where there is no glibc."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(M_ARENA_MAX, ARENAS)
