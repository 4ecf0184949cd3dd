from collections.abc import AsyncIterator

import pytest

from adapters.sources.http_picture_source import HttpPictureSource
from adapters.sources.null_picture_source import NullPictureSource
from domain.errors import FetchFailedError, FetchingDisabledError
from domain.ports.picture_source import PictureSource
from lookalike_client.fetching import FetchLimits, PictureFetcher
from tests.contracts.picture_source import HAT, PictureSourceContract
from tests.fakes import FakePictureSource
from tests.far_side import FarSide, far_side, ok


class TestFakePictureSource(PictureSourceContract):
    @pytest.fixture
    def base(self) -> str:
        return "http://shop.example"

    @pytest.fixture
    def source(self, base: str) -> PictureSource:
        return FakePictureSource({f"{base}/hat.jpg": HAT})


class TestHttpPictureSource(PictureSourceContract):
    @pytest.fixture
    async def side(self) -> AsyncIterator[FarSide]:
        async with far_side({"/hat.jpg": ok(HAT), "/busy": ok(b"", status="503 Busy")}) as found:
            yield found

    @pytest.fixture
    def base(self, side: FarSide) -> str:
        return side.url("", host="127.0.0.1")

    @pytest.fixture
    async def source(self) -> AsyncIterator[PictureSource]:
        source = HttpPictureSource(PictureFetcher(FetchLimits(allowed_hosts=frozenset({"127.0.0.1"}))))
        yield source
        await source.close()

    async def test_it_says_what_is_worth_another_try(self, source: PictureSource, base: str) -> None:
        with pytest.raises(FetchFailedError, match="answered 503") as failed:
            await source.fetch(f"{base}/busy")
        assert failed.value.retryable


async def test_where_nothing_is_fetched_all_is_refused() -> None:
    source = NullPictureSource()
    with pytest.raises(FetchingDisabledError):
        source.require_enabled()
    with pytest.raises(FetchingDisabledError):
        await source.fetch("http://shop.example/hat.jpg")
    await source.close()
