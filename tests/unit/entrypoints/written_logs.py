"""Logs as they are written."""

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from entrypoints.logs import configure_logs
from entrypoints.settings import LogSettings


@contextmanager
def logged(settings: LogSettings) -> Iterator[io.StringIO]:
    """What is written within the block. Afterwards logging is as it was."""
    root, written = logging.getLogger(), io.StringIO()
    handlers, level, stderr = list(root.handlers), root.level, sys.stderr
    sys.stderr = written
    try:
        configure_logs(settings)
        yield written
    finally:
        sys.stderr = stderr
        root.handlers[:] = handlers
        root.setLevel(level)
