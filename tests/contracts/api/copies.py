"""Pages over pictures of equal score: the same pixels, saved with other metadata."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.contracts.api.deployed import Album, Deployed, ids_of, scores_of
from tests.photos import SEEN, picture
from tests.pictures import a_photo, encoded

Search = Callable[..., dict[str, Any]]

PHOTOS = [f"{kind}-0{number}.jpg" for kind in ("hat", "dress", "pants", "shoes", "shirt") for number in (1, 2)]
COPIES = 24


class CopiesContract(Deployed):
    @pytest.fixture(scope="class")
    @classmethod
    def shelf(cls, client: httpx.Client) -> tuple[Album, list[str]]:
        """Photos of clothes and of things that the detector knows, and copies of one of them; their ids."""
        album = Album(client, iter(()))
        coffee = encoded(picture("coffee"), format_="JPEG", quality=92)
        copies = [coffee + b"\0" * number for number in range(COPIES)]
        # With a byte more than other tests send them with: what is sent once more is not created.
        others = [
            *(a_photo(name) + b"\0" for name in PHOTOS),
            *(encoded(picture(name), format_="JPEG") + b"\0" for name in SEEN),
        ]
        ids = []
        for turn in range(3):
            files = [*copies[8 * turn : 8 * turn + 8], *others[5 * turn : 5 * turn + 5]]
            response = album.batch(*((f"{turn}-{place}.jpg", content) for place, content in enumerate(files)))
            assert response.json()["failed"] == 0, response.text
            ids += [result["image"]["id"] for result in response.json()["results"]]
        assert len(set(ids)) == COPIES + len(others)
        return album, ids

    @pytest.mark.parametrize("limit", [7, 20])
    @pytest.mark.parametrize("target", ["images", "objects", "any"])
    @pytest.mark.parametrize("query", ["coffee", "astronaut"])
    def test_every_copy_is_on_one_page(
        self, shelf: tuple[Album, list[str]], query: str, target: str, limit: int
    ) -> None:
        album, ids = shelf
        content = encoded(picture(query))

        def search(**options: Any) -> dict[str, Any]:
            return album.search(content, target=target, **options)

        found = assert_pages_agree(search, limit)
        assert set(found) <= set(ids)
        if target != "objects":  # where only those that have any are found
            assert set(found) == set(ids)

    @pytest.mark.parametrize("limit", [3, 20])
    def test_every_copy_is_on_one_page_of_those_similar(
        self, client: httpx.Client, shelf: tuple[Album, list[str]], limit: int
    ) -> None:
        album, ids = shelf
        for id_ in (ids[0], ids[-1]):

            def search(id_: str = id_, **options: Any) -> dict[str, Any]:
                response = client.get(f"/v1/images/{id_}/similar", params={"filter": album.filter(), **options})
                result: dict[str, Any] = response.raise_for_status().json()
                return result

            assert set(assert_pages_agree(search, limit)) == set(ids) - {id_}

    @pytest.mark.parametrize("limit", [3, 20])
    def test_every_copy_is_on_one_page_of_a_search_by_examples(
        self, client: httpx.Client, shelf: tuple[Album, list[str]], limit: int
    ) -> None:
        album, ids = shelf
        body = {"positive": [ids[0], ids[-1]], "negative": [ids[-2]], "filter": album.where()}

        def search(**options: Any) -> dict[str, Any]:
            response = client.post("/v1/search/examples", json={**body, **options})
            result: dict[str, Any] = response.raise_for_status().json()
            return result

        assert set(assert_pages_agree(search, limit)) == set(ids) - {ids[0], ids[-1], ids[-2]}


def assert_pages_agree(search: Search, limit: int) -> list[str]:
    """The ids of all pages, one after the other, which are those of one page of all."""
    whole, found, offset = search(limit=500), list[str](), 0
    while offset is not None:
        page = search(limit=limit, offset=offset)
        found += ids_of(page)
        offset = page["next_offset"]
    assert sorted(found) == sorted(set(found)), "an image is on two pages"
    assert found == ids_of(whole)
    places = [(-score, id_) for score, id_ in zip(scores_of(whole), ids_of(whole), strict=True)]
    assert places == sorted(places)
    return found
