"""Where pictures are not taken by URL."""

from typing import NoReturn

from typing_extensions import override

from domain.errors import FetchingDisabledError
from domain.ports.picture_source import PictureSource


class NullPictureSource(PictureSource):
    """Refuses every URL."""

    @override
    def require_enabled(self) -> NoReturn:
        raise FetchingDisabledError

    @override
    async def fetch(self, url: str) -> NoReturn:
        self.require_enabled()

    @override
    async def close(self) -> None:
        return
