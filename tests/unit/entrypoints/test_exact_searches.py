"""That `exact` reaches the index, whatever the search."""

from collections.abc import Sequence
from pathlib import Path

from dependency_injector import providers
from typing_extensions import override

from domain.images import Match
from domain.search import NearestQuery
from tests.fakes import JournalledRepository
from tests.pictures import a_picture
from tests.unit.entrypoints.application import an_app, serving


class AskedRepository(JournalledRepository):
    """Notes whether it is asked for exact answers."""

    @override
    async def nearest(self, query: NearestQuery) -> Sequence[Match]:
        self.journal.append("exact" if query.exact else "approximate")
        return await super().nearest(query)


async def test_all_searches_are_exact_where_that_is_asked_for(tmp_path: Path) -> None:
    app = an_app(tmp_path)
    repository = AskedRepository()
    app.state.container.chosen_repository.override(providers.Object(repository))
    async with serving(app) as client:
        image = (await client.post("/v1/images", files={"file": a_picture(0)})).json()
        for exact in (True, False):
            repository.journal.clear()
            searches = [
                await client.post("/v1/search", files={"file": a_picture(1)}, data={"exact": exact}),
                await client.post("/v1/search/examples", json={"positive": [image["id"]], "exact": exact}),
                await client.get(image["links"]["similar"], params={"exact": exact}),
            ]
            assert [search.status_code for search in searches] == [200, 200, 200]
            assert repository.journal == ["exact" if exact else "approximate"] * 3
