"""The pictures that paths on the command line mean."""

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

import typer

from lookalike_client.commands.selection import IGNORE_FILE, Selection
from lookalike_client.names import text_of_path


@dataclass(frozen=True, slots=True)
class Found:
    """A file to index, or a folder that could not be read, and then why."""

    path: Path
    unreadable: str | None = None
    root: Path = Path()
    """The folder from which it was found; of a file that was named itself, the one that it is in."""
    size: int | None = None
    mtime_ns: int | None = None
    """Of a file in a folder; None where it is no regular file, or is gone."""

    def key(self, name: str | None) -> str:
        """The picture's key: the name of its root, or the one given, and its path below that."""
        return normalize("NFC", text_of_path(f"{name or self.root_name}/{self.below}"))

    @property
    def below(self) -> str:
        """Its path below the root."""
        return self.path.relative_to(self.root).as_posix()

    @property
    def root_name(self) -> str:
        """The folder's own name, wherever it lies."""
        return Path(os.path.abspath(self.root)).name or "root"  # noqa: PTH100 - resolve would follow links

    @property
    def source(self) -> str:
        """Where it lies."""
        return source_of(self.path)


def source_of(path: Path) -> str:
    """The source of the picture in a file, as services keep it."""
    return normalize("NFC", text_of_path(os.path.abspath(path)))  # noqa: PTH100 - resolve would follow links


def beginnings(root: Path, name: str | None = None) -> tuple[str, str]:
    """With what the keys of a folder's pictures begin, under its own name or another one, and their sources."""
    probe = Found(root / "x", root=root)
    return probe.key(name).removesuffix("x"), probe.source.removesuffix("x")


def find_pictures(paths: Iterable[Path], exclude: Sequence[str] = ()) -> tuple[list[Found], Counter[str]]:
    """Files as named, and pictures in folders below those that are named, in a stable order, each path once.

    Also how many files and folders in them were passed over, by reason, see `Selection`; what is named itself is not.
    A folder that symbolic links lead to again is read once. Raises as `Selection`.
    """
    found: dict[Path, Found] = {}
    seen: set[tuple[int, int]] = set()
    passed_over: Counter[str] = Counter()
    for path in paths:
        if path.is_dir():
            items = _below(path, Selection(path, exclude), seen, passed_over)
        else:
            items = iter([Found(path, root=path.parent)])
        for item in items:
            found.setdefault(item.path, item)
    return list(found.values()), passed_over


def _below(root: Path, selection: Selection, seen: set[tuple[int, int]], passed_over: Counter[str]) -> Iterator[Found]:
    from lookalike_client.pictures import MAX_PICTURE_BYTES

    unreadable: list[OSError] = []
    for folder, folders, files in os.walk(root, followlinks=True, onerror=unreadable.append):
        yield from _errors(unreadable, root)
        try:
            status = os.stat(folder)  # noqa: PTH116 - thousands of them
        except OSError as error:
            yield from _errors([error], root)
            folders.clear()
            continue
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        prefix = "" if folder == str(root) else f"{Path(folder).relative_to(root).as_posix()}/"
        taken = []
        for name in sorted(folders):
            if (reason := selection.reason_against_folder(prefix + name)) is None:
                taken.append(name)
            else:
                passed_over[reason] += 1
        folders[:] = taken
        for name in sorted(files):
            path = Path(folder, name)
            if (reason := selection.reason_against_file(prefix + name)) is None:
                size, mtime_ns = _size_and_time(path)
                if size is None or size <= MAX_PICTURE_BYTES:
                    yield Found(path, root=root, size=size, mtime_ns=mtime_ns)
                    continue
                reason = "too large"
            if name != IGNORE_FILE:
                passed_over[reason] += 1
    yield from _errors(unreadable, root)


def _size_and_time(path: Path) -> tuple[int | None, int | None]:
    try:
        status = path.stat()
    except OSError:
        return None, None
    return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else (None, None)


def _errors(unreadable: list[OSError], root: Path) -> Iterator[Found]:
    while unreadable:
        error = unreadable.pop()
        yield Found(Path(error.filename), unreadable=error.strerror, root=root)


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
