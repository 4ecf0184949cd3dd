"""Originals and thumbnails."""

from abc import abstractmethod
from typing import Protocol

from domain.images import ImageId


class ImageStore(Protocol):
    """Keeps each image's original bytes and its thumbnail under the image's id."""

    @abstractmethod
    async def open(self) -> None:
        """Make ready, and remove what an interrupted write left. Raises ConfigurationError if it cannot be used."""

    @abstractmethod
    async def put(self, id_: ImageId, *, original: bytes, thumbnail: bytes) -> None:
        """Store both durably, replacing what is there; either all of a file is seen or none of it.

        Raises StorageFullError, having stored nothing that is visible.
        """

    @abstractmethod
    async def original(self, id_: ImageId) -> bytes:
        """The original bytes as uploaded. Raises ImageNotFoundError."""

    @abstractmethod
    async def thumbnail(self, id_: ImageId) -> bytes:
        """The thumbnail's bytes. Raises ImageNotFoundError."""

    @abstractmethod
    async def delete(self, id_: ImageId) -> None:
        """Remove both; nothing happens where there is nothing."""
