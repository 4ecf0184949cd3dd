"""Originals and thumbnails."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from domain.images import ImageId


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSizes:
    """Bytes of an image's files; None for one that is not there."""

    original: int | None
    thumbnail: int | None


class OpenedOriginal(Protocol):
    """An original that is being read. It stays whole if it is deleted or replaced meanwhile."""

    size: int
    """Bytes of all of it."""

    @abstractmethod
    async def read(self, most: int) -> bytes:
        """The next bytes, at most so many; none at the end."""


class ImageStore(Protocol):
    """Keeps each image's original bytes and its thumbnail under the image's id.

    Files belong to a record that is kept elsewhere. Change both within `changing`, so that a crash between the two is
    noticed; look within `paused` where they have to agree.
    """

    @abstractmethod
    async def open(self) -> None:
        """Make ready, and remove what an interrupted write left. Raises ConfigurationError if it cannot be used."""

    @abstractmethod
    async def require_room(self, size: int) -> None:
        """Raise StorageFullError if so many bytes could not be put now."""

    @abstractmethod
    async def put(self, id_: ImageId, *, original: bytes, thumbnail: bytes) -> None:
        """Store both durably, replacing what is there; either all of a file is seen or none of it.

        Raises StorageFullError, having stored nothing that is visible.
        """

    @abstractmethod
    async def put_thumbnail(self, id_: ImageId, thumbnail: bytes) -> None:
        """Like `put`, but leaves the original alone."""

    @abstractmethod
    async def original(self, id_: ImageId) -> bytes:
        """The original bytes as uploaded. Raises ImageNotFoundError."""

    @abstractmethod
    def opened_original(self, id_: ImageId) -> AbstractAsyncContextManager[OpenedOriginal]:
        """The original, to be read piece by piece and passed on slowly. Raises ImageNotFoundError."""

    @abstractmethod
    async def thumbnail(self, id_: ImageId) -> bytes:
        """The thumbnail's bytes. Raises ImageNotFoundError."""

    @abstractmethod
    async def delete(self, id_: ImageId) -> None:
        """Remove both; nothing happens where there is nothing."""

    @abstractmethod
    def ids(self) -> AsyncIterator[Sequence[ImageId]]:
        """Every id that has a file, once, in groups; those that come or go meanwhile may be missed."""

    @abstractmethod
    async def sizes(self, ids: Collection[ImageId]) -> Mapping[ImageId, FileSizes]:
        """What is there, for every one of the ids."""

    @abstractmethod
    def changing(self, ids: Collection[ImageId]) -> AbstractAsyncContextManager[None]:
        """To write or delete files together with the records that they belong to.

        A note of the change is made first, and removed at the end unless the body raises or its process dies; on a disk
        without any room there is none. Not to be nested, nor used within `paused`.

        No other process that shares the store is `changing` one of these images meanwhile. Raises BusyError if others
        do so, or have it `paused`, for long, and DeadlinePassedError if the caller's wait is over before the body
        begins; UnavailableError where notes cannot be kept.
        """

    @abstractmethod
    def paused(self) -> AbstractAsyncContextManager[Sequence[ImageId]]:
        """While the body runs, no process that shares the store is `changing` anything.

        Gives the images whose change was cut short and has had its time; see `forget_interrupted`. Raises
        UnavailableError, as BusyError if others do not finish for long.
        """

    @abstractmethod
    async def noted(self) -> Collection[ImageId]:
        """Within `paused`, every image whose change was cut short.

        Among them are those that `paused` does not give yet: their records may still change. Raises UnavailableError.
        """

    @abstractmethod
    async def forget_interrupted(self) -> None:
        """Within `paused`, once the images that it gave have files and records that agree."""
