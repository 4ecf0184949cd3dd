"""Which files below a folder are taken as pictures, and why others are passed over."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

SUFFIXES = frozenset(
    {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib",
        ".tif", ".tiff", ".avif", ".heic", ".heif",
    }
)  # fmt: skip
"""In folders, only files with these suffixes are tried; their content decides whether they are pictures."""

RAW_SUFFIXES = frozenset(
    {
        ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef",
        ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
    }
)  # fmt: skip
"""What cameras record before it is a picture."""

SYSTEM_FOLDERS = frozenset(
    {"@eadir", "#recycle", "#snapshot", "$recycle.bin", "lost+found", "system volume information", ".thumbnails"}
)
"""Of network drives, Windows, file systems and desktops, in lower case: rubbish, and thumbnails of other files."""

IGNORE_FILE = ".lookalikeignore"

Exclude = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="GLOB",
        help=f"Leave out what matches, below each folder, as a line of .gitignore does: '*.tif', 'private/'. Repeat it "
        f"for several. A file {IGNORE_FILE} in the folder holds such lines too.",
    ),
]


class Selection:
    """What is taken of the files below one folder, by their paths below it."""

    def __init__(self, root: Path, exclude: Sequence[str] = ()) -> None:
        """Read the ignore file of the folder, if it has one. Raises BadParameter, OSError."""
        self._excluded = _patterns(root / IGNORE_FILE, exclude)

    def reason_against_folder(self, below: str) -> str | None:
        """Why nothing in a folder is taken, in a few words; None where it is looked into."""
        name = os.path.basename(below)  # noqa: PTH119 - names of files are text here
        if name.lower() in SYSTEM_FOLDERS:
            return "system folder"
        if name.startswith("."):
            return "hidden"
        return "excluded" if self._excludes(f"{below}/") else None

    def reason_against_file(self, below: str) -> str | None:
        """Why a file is not taken, in a few words; None where it is."""
        name = os.path.basename(below)  # noqa: PTH119 - likewise
        if name.startswith("."):
            return "hidden"
        suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - likewise
        if suffix in RAW_SUFFIXES:
            return "RAW"
        if suffix not in SUFFIXES:
            return "not a picture by its name"
        return "excluded" if self._excludes(below) else None

    def takes(self, below: str) -> bool:
        """Whether a file would be taken, if it were there."""
        folder = below.rpartition("/")[0]
        return self.reason_against_file(below) is None and (not folder or self.looks_into(folder))

    def looks_into(self, below: str) -> bool:
        """Whether a folder would be looked into, and so all above it."""
        parts = below.split("/")
        return not any(self.reason_against_folder("/".join(parts[: count + 1])) for count in range(len(parts)))

    def _excludes(self, below: str) -> bool:
        return self._excluded is not None and self._excluded.match_file(below)


def passed_over_text(counts: Counter[str]) -> str:
    """What a summary says of files and folders that were passed over."""
    if not counts:
        return ""
    return "; passed over: " + ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))


def _patterns(ignore_file: Path, exclude: Sequence[str]) -> "GitIgnoreSpec | None":
    try:
        lines = os.fsdecode(ignore_file.read_bytes()).splitlines()
    except (FileNotFoundError, NotADirectoryError):
        lines = []
    if not lines and not exclude:
        return None
    from pathspec import GitIgnoreSpec

    for place, pattern in [*((str(ignore_file), line) for line in lines), *(("--exclude", glob) for glob in exclude)]:
        try:
            GitIgnoreSpec.from_lines([pattern])
        except ValueError as error:
            raise typer.BadParameter(f"{pattern!r} is no pattern as .gitignore has them", param_hint=place) from error
    return GitIgnoreSpec.from_lines([*lines, *exclude])
