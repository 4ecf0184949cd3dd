"""POST /v1/search/examples."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.contracts.api.conformance import assert_invalid, assert_problem
from tests.contracts.api.deployed import Album, Deployed, ids_of, scores_of
from tests.pictures import a_photo


class ExamplesContract(Deployed):
    @pytest.fixture(scope="class")
    @classmethod
    def wardrobe(cls, client: httpx.Client) -> tuple[Album, dict[str, str]]:
        """Photos of two kinds, and the id of each by its name."""
        album = Album(client, iter(()))
        names = ["pants-06", "pants-07", "pants-08", "shoes-06", "shoes-07", "shoes-08"]
        return album, {name: album.add(a_photo(f"{name}.jpg"))["id"] for name in names}

    def find(self, client: httpx.Client, album: Album, **body: Any) -> dict[str, Any]:
        response = client.post("/v1/search/examples", json={"filter": album.where(), **body})
        assert response.status_code == 200, response.text
        result: dict[str, Any] = response.json()
        assert all(-1 <= score <= 1 for score in scores_of(result))
        assert scores_of(result) == sorted(scores_of(result), reverse=True)
        return result

    def test_one_positive_is_similar(self, client: httpx.Client, wardrobe: tuple[Album, dict[str, str]]) -> None:
        album, ids = wardrobe
        similar = client.get(f"/v1/images/{ids['pants-06']}/similar", params={"filter": album.filter()}).json()
        found = self.find(client, album, positive=[ids["pants-06"]])
        assert ids_of(found) == ids_of(similar)
        assert scores_of(found) == pytest.approx(scores_of(similar), abs=1e-3)
        assert ids["pants-06"] not in ids_of(found)
        assert len(ids_of(found)) == 5

    def test_examples_repeat_to_no_effect(self, client: httpx.Client, wardrobe: tuple[Album, dict[str, str]]) -> None:
        album, ids = wardrobe
        once = self.find(client, album, positive=[ids["pants-06"], ids["shoes-06"]])
        often = self.find(client, album, positive=[ids["pants-06"], ids["shoes-06"], ids["pants-06"]])
        assert scores_of(once) == pytest.approx(scores_of(often), abs=1e-3)

    def test_positives_attract_and_negatives_repel(
        self, client: httpx.Client, wardrobe: tuple[Album, dict[str, str]]
    ) -> None:
        album, ids = wardrobe
        for near, far in (("pants", "shoes"), ("shoes", "pants")):
            found = self.find(client, album, positive=[ids[f"{near}-06"]], negative=[ids[f"{far}-06"]])
            assert set(ids_of(found)) == {ids[f"{kind}-{n}"] for kind in (near, far) for n in ("07", "08")}
            assert set(ids_of(found)[:2]) == {ids[f"{near}-07"], ids[f"{near}-08"]}

    def test_negatives_alone_find_the_opposite(
        self, client: httpx.Client, wardrobe: tuple[Album, dict[str, str]]
    ) -> None:
        album, ids = wardrobe
        like = self.find(client, album, positive=[ids["pants-06"]])
        unlike = self.find(client, album, negative=[ids["pants-06"]])
        assert ids_of(unlike) == ids_of(like)[::-1]
        assert scores_of(unlike) == pytest.approx([-score for score in scores_of(like)[::-1]], abs=0.01)

    def test_pages_and_thresholds(self, client: httpx.Client, wardrobe: tuple[Album, dict[str, str]]) -> None:
        album, ids = wardrobe
        whole = self.find(client, album, positive=[ids["pants-06"]])
        page = self.find(client, album, positive=[ids["pants-06"]], limit=2, offset=1)
        assert (ids_of(page), page["next_offset"]) == (ids_of(whole)[1:3], 3)
        assert [match["rank"] for match in page["matches"]] == [2, 3]
        between = sum(scores_of(whole)[1:3]) / 2
        assert (
            ids_of(self.find(client, album, positive=[ids["pants-06"]], score_threshold=between)) == ids_of(whole)[:2]
        )

    def test_unknown_examples_are_all_named(self, client: httpx.Client, wardrobe: tuple[Album, dict[str, str]]) -> None:
        unknown = [str(uuid4()), str(uuid4())]
        body = {"positive": [wardrobe[1]["pants-06"], unknown[0]], "negative": [unknown[1]]}
        problem = assert_problem(client.post("/v1/search/examples", json=body), 404, "image_not_found")
        assert all(id_ in problem["detail"] for id_ in unknown)
        assert wardrobe[1]["pants-06"] not in problem["detail"]

    def test_an_image_cannot_be_both(self, client: httpx.Client, wardrobe: tuple[Album, dict[str, str]]) -> None:
        id_ = wardrobe[1]["pants-06"]
        response = client.post("/v1/search/examples", json={"positive": [id_], "negative": [id_]})
        assert_problem(response, 422, says=id_)


class ExampleRequestsContract(Deployed):
    @pytest.mark.parametrize(
        ("body", "name"),
        [
            ({"positive": ["hat-01"]}, "positive"),
            ({"positive": "all"}, "positive"),
            ({"positive": [], "limit": 0}, "limit"),
            ({"positive": [], "limit": 501}, "limit"),
            ({"positive": [], "offset": 10_001}, "offset"),
            ({"positive": [], "score_threshold": 2}, "score_threshold"),
            ({"positive": [], "colour": "red"}, "colour"),
        ],
    )
    def test_bad_members_are_named(self, client: httpx.Client, body: dict[str, Any], name: str) -> None:
        assert_invalid(client.post("/v1/search/examples", json=body), name)

    @pytest.mark.parametrize("body", [{}, {"positive": [], "negative": []}])
    def test_some_example_is_needed(self, client: httpx.Client, body: dict[str, Any]) -> None:
        assert_problem(client.post("/v1/search/examples", json=body), 422)
