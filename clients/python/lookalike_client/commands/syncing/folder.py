"""The folder that is kept current: its files, what a service has of it, and whether it is really there."""

import json
import os
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize
from urllib.parse import unquote_to_bytes

from lookalike_client import LookalikeError
from lookalike_client.commands.files import Found, beginnings, find_pictures
from lookalike_client.commands.selection import Selection
from lookalike_client.commands.syncing.plan import Stored


class FolderAwayError(LookalikeError):
    """The folder is not there, is empty or cannot be read: its drive is probably not mounted."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What was found in the folder."""

    pictures: Sequence[Found]
    unreadable: Sequence[Found]
    """Folders, of whose files nothing is known."""
    passed_over: Counter[str]


class Folder:
    """A folder as it is at a path, until another takes its place there: a drive that comes or goes."""

    def __init__(self, root: Path, name: str | None = None, exclude: Sequence[str] = ()) -> None:
        """Look at it. Raises FolderAwayError, BadParameter for a wrong pattern."""
        self.root, self.name, self._exclude = root, name, exclude
        self.keys_begin, self.sources_begin = beginnings(root, name)
        self._identity = self._look()
        self._selection = Selection(root, exclude)

    def check(self) -> None:
        """Raise FolderAwayError unless the same folder is there, with something in it."""
        if self._look() != self._identity:
            raise self._away("is another one than before")

    def contents(self) -> Contents:
        """Find its pictures. Raises FolderAwayError where there is none, BadParameter for a wrong pattern."""
        self._selection = Selection(self.root, self._exclude)  # the ignore file may have changed
        found, passed_over = find_pictures([self.root], self._exclude)
        unreadable = [item for item in found if item.unreadable is not None]
        pictures = [item for item in found if item.unreadable is None]
        self.check()
        if not pictures:
            reasons = {f"{item.path} cannot be read: {item.unreadable}" for item in unreadable}
            raise self._away(" and ".join(sorted(reasons)) or "holds no picture")
        return Contents(pictures, unreadable, passed_over)

    def gone(self, stored: Iterable[tuple[str, Stored]], unreadable: Sequence[Found] = ()) -> Iterator[str]:
        """The keys of those pictures that are this folder's, by their sources, and have no file there.

        A file that the selection passes over, or that is in a folder that cannot be read, is none of them.
        """
        unknown, listed = tuple(f"{item.source}/" for item in unreadable), _Listed()
        for key, image in stored:
            if self.has(image) and not str(image.source).startswith(unknown):
                below = _path_of(str(image.source).removeprefix(self.sources_begin))
                if self._selection.takes(below) and not listed.has(self.root, below):
                    yield key

    def left_behind(self, stored: Iterable[tuple[str, Stored]]) -> Counter[str]:
        """How many pictures under its name come from other folders that are not there, by how their sources begin."""
        others = Counter(
            image.source.removesuffix(key.removeprefix(self.keys_begin))
            for key, image in stored
            if image.source is not None and not self.has(image)
        )
        paths = {begin: Path(_path_of(begin)) for begin in others}
        return Counter(
            {begin: others[begin] for begin, path in paths.items() if path.is_absolute() and not path.is_dir()}
        )

    def looks_into(self, path: str) -> bool:
        """Whether a change at a path may concern its pictures."""
        below = os.path.relpath(path, self.root)
        return below.startswith("..") or self._selection.looks_into(Path(below).as_posix())

    def has(self, image: Stored) -> bool:
        """Whether a picture is that of a file below this folder, which may be gone."""
        return image.source is not None and image.source.startswith(self.sources_begin)

    def _look(self) -> tuple[int, int]:
        try:
            status = self.root.stat()
            with os.scandir(self.root) as entries:
                is_empty = next(entries, None) is None
        except OSError as error:
            raise self._away(f"cannot be read: {error.strerror}") from error
        if is_empty:
            raise self._away("is empty")
        return status.st_dev, status.st_ino

    def _away(self, what: str) -> FolderAwayError:
        subject = "" if what.startswith(str(self.root)) else f"{self.root} "
        return FolderAwayError(
            f"{subject}{what}. Nothing was removed: perhaps a drive is not mounted. If its pictures are to go, delete "
            f"them: {deletion(self.sources_begin)}"
        )


def deletion(sources_begin: str, keys_begin: str | None = None) -> str:
    """The command that deletes a folder's pictures, or those of them that have a name."""
    conditions = [{"field": "source", "prefix": sources_begin}]
    conditions += [] if keys_begin is None else [{"field": "key", "prefix": keys_begin}]
    return f"lookalike delete --filter {shlex.quote(json.dumps({'all': conditions}, ensure_ascii=False))}"


def _path_of(source: str) -> str:
    return os.fsdecode(unquote_to_bytes(source))


class _Listed:
    """Finds files by sources, in which names are in NFC, wherever the names on the disk are not: `cafe\u0301.png`."""

    def __init__(self) -> None:
        self._names: dict[Path, dict[str, str]] = {}
        """Of folders that were listed, the names by their NFC."""

    def has(self, root: Path, below: str) -> bool:
        """Whether there is something. What cannot be read, such as a share that hangs, may be there."""
        try:
            return os.path.lexists(root / below) or self._has_parts(root, below.split("/"))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True

    def _has_parts(self, folder: Path, parts: Sequence[str]) -> bool:
        for part in parts:
            if folder not in self._names:
                self._names[folder] = {normalize("NFC", path.name): path.name for path in folder.iterdir()}
            name = self._names[folder].get(normalize("NFC", part))
            if name is None:
                return False
            folder /= name
        return True
