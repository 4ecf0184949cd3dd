"""Directories that appear whole or not at all."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.errors import ModelError


@contextmanager
def new_directory(directory: Path) -> Iterator[Path]:
    """An empty directory to fill; it becomes `directory`, replacing what is there, when the block ends well.

    Raises ModelError if the place cannot be written.
    """
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        place = tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}-")
    except OSError as error:
        raise ModelError(f"{directory} cannot be written: {error.strerror}.") from error
    with place as name:
        new = Path(name) / directory.name
        new.mkdir()
        yield new
        if directory.exists():
            directory.rename(Path(name) / "replaced")
        new.rename(directory)
