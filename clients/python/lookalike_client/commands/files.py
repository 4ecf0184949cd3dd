"""The pictures that paths on the command line mean."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import typer

from lookalike_client.names import text_of_path

SUFFIXES = frozenset(
    {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib",
        ".tif", ".tiff", ".avif", ".heic", ".heif",
    }
)  # fmt: skip
"""In folders, only files with these suffixes are tried; their content decides whether they are pictures."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file to index, or a folder that could not be read, and then why."""

    path: Path
    unreadable: str | None = None
    root: Path = Path()
    """The folder from which it was found; of a file that was named itself, the one that it is in."""

    def key(self, name: str | None) -> str:
        """The picture's key: the name of its root, or the one given, and its path below that."""
        return text_of_path(f"{name or self.root_name}/{self.path.relative_to(self.root).as_posix()}")

    @property
    def root_name(self) -> str:
        """The folder's own name, wherever it lies."""
        return Path(os.path.abspath(self.root)).name or "root"  # noqa: PTH100 - resolve would follow links

    @property
    def source(self) -> str:
        """Where it lies."""
        return text_of_path(os.path.abspath(self.path))  # noqa: PTH100 - likewise


def find_pictures(paths: Iterable[Path]) -> list[Found]:
    """Files as named, and pictures in folders below those that are named, in a stable order, each path once.

    Hidden files and folders are skipped unless named; a folder that symbolic links lead to again is read once.
    """
    found: dict[Path, Found] = {}
    seen: set[tuple[int, int]] = set()
    for path in paths:
        for item in _below(path, seen) if path.is_dir() else [Found(path, root=path.parent)]:
            found.setdefault(item.path, item)
    return list(found.values())


def _below(root: Path, seen: set[tuple[int, int]]) -> Iterator[Found]:
    unreadable: list[OSError] = []
    for folder, folders, files in os.walk(root, followlinks=True, onerror=unreadable.append):
        yield from _errors(unreadable)
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield Found(Path(folder, name), root=root)
    yield from _errors(unreadable)


def _errors(unreadable: list[OSError]) -> Iterator[Found]:
    while unreadable:
        error = unreadable.pop()
        yield Found(Path(error.filename), unreadable=error.strerror)


def new_file(path: Path | None) -> Path | None:
    """`path`, where a new file can be written: looked at before the work that is to fill it. Raises BadParameter."""
    if path is not None and path.exists():
        raise typer.BadParameter(f"{path} is there already")
    if path is not None and not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}")
    return path


def place_to_save(path: Path | None) -> Path | None:
    """`path`, if a picture can be saved there: to be checked before any work is done. Raises BadParameter."""
    if path is None:
        return None
    from PIL import Image

    if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        raise typer.BadParameter(f"pictures cannot be saved as {path.suffix!r}; use .jpg or .png")
    if not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}")
    return path
