"""Pictures that are elsewhere."""

from abc import abstractmethod
from typing import Protocol


class PictureSource(Protocol):
    """Fetches pictures from URLs that strangers may have written."""

    @abstractmethod
    def require_enabled(self) -> None:
        """Raise FetchingDisabledError where pictures are not fetched."""

    @abstractmethod
    async def fetch(self, url: str) -> bytes:
        """A picture's bytes, at most as many as one picture may have; what they are is not looked at.

        Only what everybody can reach is reached: a URL that leads, by its name or by a redirect, to an address that is
        not public is refused, unless the deployment names its host.

        Raises FetchingDisabledError, FetchRefusedError, FetchFailedError.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close the connections."""
