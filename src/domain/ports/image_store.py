"""Originals and thumbnails."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSizes:
    """Bytes of the files of one SHA-256: None for an original that is not there; of thumbnails those that are."""

    original: int | None
    thumbnails: Mapping[int, int] = field(default_factory=dict)


class OpenedOriginal(Protocol):
    """An original that is being read. It stays whole if it is deleted meanwhile."""

    size: int
    """Bytes of all of it."""

    @abstractmethod
    async def read(self, most: int) -> bytes:
        """The next bytes, at most so many; none at the end."""


class ImageStore(Protocol):
    """Keeps original bytes under their SHA-256, and thumbnails of them by their longer side.

    What is there never changes unless it is damaged: the bytes follow from the name. Files belong to records that are
    kept elsewhere; when they may go, and how that is agreed upon by marks, `application.shared_originals` tells. An
    object store can keep all of it: nothing is renamed, locked or written in place.
    """

    @abstractmethod
    async def open(self) -> None:
        """Make ready, and remove what an interrupted write left. Raises ConfigurationError if it cannot be used."""

    @abstractmethod
    async def claim(self, index: UUID) -> None:
        """Belong to this index from now on. Raises ConfigurationError if it belongs to another one."""

    @abstractmethod
    async def require_room(self, size: int) -> None:
        """Raise StorageFullError if so many bytes could not be put now."""

    @abstractmethod
    async def put(
        self,
        sha256: str,
        *,
        original: bytes | None = None,
        thumbnails: Mapping[int, bytes] = MappingProxyType({}),
        replace: bool = False,
    ) -> None:
        """Store those files durably that are not there, or there with another size; with `replace`, all of them.

        All of a file is seen or none; thumbnails are those of sides in `THUMBNAIL_SIDES`. Raises StorageFullError.
        """

    @abstractmethod
    async def original(self, sha256: str) -> bytes:
        """The original bytes as uploaded. Raises ImageNotFoundError."""

    @abstractmethod
    def opened_original(self, sha256: str) -> AbstractAsyncContextManager[OpenedOriginal]:
        """The original, to be read piece by piece and passed on slowly. Raises ImageNotFoundError."""

    @abstractmethod
    async def thumbnail(self, sha256: str, side: int) -> bytes:
        """The thumbnail's bytes. Raises ImageNotFoundError."""

    @abstractmethod
    async def delete(self, sha256: str) -> None:
        """Remove all thumbnails, then the original; nothing happens where there is nothing."""

    @abstractmethod
    async def delete_thumbnails(self, sha256: str) -> None:
        """Remove all thumbnails."""

    @abstractmethod
    def stored(self) -> AsyncIterator[Mapping[str, datetime]]:
        """Every SHA-256 that has a file, once, in groups, with the time when the latest of its files was written.

        Those that come or go meanwhile may be missed.
        """

    @abstractmethod
    async def sizes(self, sha256s: Collection[str]) -> Mapping[str, FileSizes]:
        """What is there, for every one of them."""

    # Marks: what is about to be deleted

    @abstractmethod
    async def mark(self, sha256: str) -> bool:
        """Mark as doomed, for all to see; False where it is marked already, or others did so at the same time.

        The mark outlives the process, but need not survive a loss of power. Raises StorageFullError.
        """

    @abstractmethod
    async def remark(self, sha256: str, marked_at: datetime) -> bool:
        """Take over a mark that was made, or taken over, at `marked_at`; False where others have been faster.

        Meanwhile it stays marked throughout. Raises StorageFullError.
        """

    @abstractmethod
    async def unmark(self, sha256: str) -> None:
        """Remove a mark; nothing happens where there is none."""

    @abstractmethod
    async def marked(self, sha256s: Collection[str]) -> Collection[str]:
        """Those of them that are marked."""

    @abstractmethod
    async def marks(self, *, older_than: timedelta) -> Mapping[str, datetime]:
        """The marks that were made, or taken over, so long ago by the store's own clock, each with that time."""
