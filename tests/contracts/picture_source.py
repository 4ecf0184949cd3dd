"""What every source of pictures promises. It has HAT at `url("/hat.jpg")`, and nothing at `url("/none")`."""

import pytest

from domain.errors import FetchFailedError, FetchRefusedError
from domain.ports.picture_source import PictureSource

HAT = b"a picture of a hat"


class PictureSourceContract:
    """Give the fixture `source`, and `base`, the URL under which it has its pictures."""

    async def test_a_picture_is_fetched(self, source: PictureSource, base: str) -> None:
        source.require_enabled()
        assert await source.fetch(f"{base}/hat.jpg") == HAT

    async def test_what_is_not_there_fails(self, source: PictureSource, base: str) -> None:
        with pytest.raises(FetchFailedError) as failed:
            await source.fetch(f"{base}/none")
        assert not failed.value.retryable

    async def test_other_schemes_are_refused(self, source: PictureSource) -> None:
        with pytest.raises(FetchRefusedError):
            await source.fetch("file:///etc/passwd")

    async def test_it_may_be_closed_twice(self, source: PictureSource) -> None:
        await source.close()
        await source.close()
