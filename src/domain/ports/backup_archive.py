"""A copy of everything, apart from any backend."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.embeddings import EmbeddingSpace
from domain.images import IndexedImage


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BackedUpImage:
    """An image with its files."""

    image: IndexedImage
    original: bytes
    thumbnail: bytes | None
    """Of the default side; None where it is rendered anew when it is asked for."""


class BackupArchive(Protocol):
    """Images, embeddings and files in a form that any repository and store can be filled from."""

    @abstractmethod
    async def begin(self, space: EmbeddingSpace) -> None:
        """Start an empty archive. Raises ConfigurationError if the place is not empty or cannot be written."""

    @abstractmethod
    async def append(self, images: Sequence[BackedUpImage]) -> None:
        """Add images, durably. Raises StorageFullError."""

    @abstractmethod
    async def finish(self) -> None:
        """Declare the archive complete: only then can it be read."""

    @abstractmethod
    async def read_space(self) -> EmbeddingSpace:
        """The space of its embeddings. Raises ConfigurationError if this is no complete archive."""

    @abstractmethod
    async def count(self) -> int:
        """How many images it holds."""

    @abstractmethod
    def images(self) -> AsyncIterator[Sequence[BackedUpImage]]:
        """All images, in groups small enough to hold. Raises ConfigurationError at a damaged one."""
