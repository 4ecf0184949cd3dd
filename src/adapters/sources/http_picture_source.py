"""Pictures by HTTP, with the guard that the client has too."""

from typing_extensions import override

from domain.errors import FetchFailedError, FetchRefusedError
from domain.ports.picture_source import PictureSource
from lookalike_client import fetching


class HttpPictureSource(PictureSource):
    """Fetches from public addresses, and from the hosts that the limits allow."""

    def __init__(self, fetcher: fetching.PictureFetcher) -> None:
        self._fetcher = fetcher

    @override
    def require_enabled(self) -> None:
        return

    @override
    async def fetch(self, url: str) -> bytes:
        try:
            fetched = await self._fetcher.fetch(url)
        except fetching.FetchRefusedError as error:
            raise FetchRefusedError(str(error)) from error
        except fetching.FetchFailedError as error:
            raise FetchFailedError(str(error), retryable=error.retryable) from error
        assert fetched is not None  # noqa: S101 - only what has a version can be unchanged
        return fetched.content

    @override
    async def close(self) -> None:
        await self._fetcher.aclose()
