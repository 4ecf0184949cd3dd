"""Groups and diversity of the three searches: POST /v1/search, GET of /similar and POST /v1/search/examples."""

from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest

from tests.contracts.api.conformance import assert_invalid, assert_problem
from tests.contracts.api.deployed import Album, Deployed, ids_of, scores_of
from tests.pictures import encoded, opened

Ask = Callable[..., httpx.Response]
"""Searches for the like of a picture of an album, by the name of the search: (search, image, content, options)."""

SEARCHES = pytest.mark.parametrize("search", ["search", "similar", "examples"])

PRODUCTS: tuple[Any, ...] = ("a", ["b", "a"], "a", "c", [], "b", None, "a", ["a", "c"])


class Searching(Deployed):
    @pytest.fixture
    @classmethod
    def ask(cls, client: httpx.Client, album: Album) -> Ask:
        def ask(search: str, image: dict[str, Any], content: bytes, **options: Any) -> httpx.Response:
            if search == "search":
                form = {"filter": album.filter(), **options}
                return client.post("/v1/search", files={"file": ("query.png", content)}, data=form)
            if search == "similar":
                return client.get(image["links"]["similar"], params={"filter": album.filter(), **options})
            body = {"positive": [image["id"]], "filter": album.where(), **options}
            return client.post("/v1/search/examples", json=body)

        return ask


class GroupsContract(Searching):
    @SEARCHES
    def test_each_group_is_shown_once_by_its_best(self, album: Album, ask: Ask, search: str) -> None:
        content = album.picture()
        first, *_ = [
            album.add(None if number else content, **({} if product is None else {"product": product}))
            for number, product in enumerate(PRODUCTS)
        ]
        plain = ask(search, first, content).json()["matches"]
        expected: list[tuple[Any, list[str]]] = []
        for match in plain:
            product = match["image"]["metadata"].get("product")
            value = next(iter(product), None) if isinstance(product, list) else product
            known = next((ids for other, ids in expected if other == value is not None), None)
            if known is None:
                expected.append((value, [match["image"]["id"]]))
            else:
                known.append(match["image"]["id"])

        found, offset = list[dict[str, Any]](), 0
        while offset is not None:
            answer = ask(search, first, content, group_by="metadata.product", group_size=3, limit=2, offset=offset)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            assert page["next_offset"] in {None, offset + 2}
            found, offset = found + page["matches"], page["next_offset"]

        assert [match["rank"] for match in found] == list(range(1, 1 + len(expected)))
        told = [(m["group"]["value"], [m["image"]["id"], *_ids(m["group"]["more"])]) for m in found]
        assert told == [(value, ids[:3]) for value, ids in expected]
        sizes = {"a": 4, "b": 2, "c": 1}  # with the query, though it is no match of the other searches
        assert all(match["group"]["images"] == sizes.get(match["group"]["value"], 1) for match in found)
        for match in found:
            more = match["group"]["more"]
            assert [each["rank"] for each in more] == list(range(2, 2 + len(more)))
            assert all((each["group"], each["order_score"]) == (None, None) for each in more)
        assert all((match["group"], match["order_score"]) == (None, None) for match in plain)

    def test_groups_by_integers_and_by_bytes(self, album: Album, ask: Ask) -> None:
        content = album.picture()
        images = [album.add(None if number else content, pieces=pieces) for number, pieces in enumerate((7, 0, 7))]
        by_pieces = ask("search", images[0], content, group_by="metadata.pieces").json()["matches"]
        assert sorted((match["group"]["value"], match["group"]["images"]) for match in by_pieces) == [(0, 1), (7, 2)]
        by_bytes = ask("search", images[0], content, group_by="sha256", group_size=10).json()["matches"]
        assert [match["group"] for match in by_bytes] == [
            {"value": match["image"]["sha256"], "images": 1, "more": []} for match in by_bytes
        ]
        assert len(by_bytes) == 3

    def test_a_threshold_cuts_groups_and_not_their_sizes(self, album: Album, ask: Ask) -> None:
        content = album.picture()
        images = [album.add(None if number else content, product="a") for number in range(3)]
        options = {"group_by": "metadata.product", "group_size": 10}
        [best] = ask("search", images[0], content, score_threshold=0.99, **options).json()["matches"]
        assert best["image"]["id"] == images[0]["id"]
        assert best["group"] == {"value": "a", "images": 3, "more": []}

    @SEARCHES
    def test_diversity_puts_what_is_alike_behind(self, album: Album, ask: Ask, search: str) -> None:
        content = album.picture()
        image = album.add(content)
        for format_ in ("BMP", "TIFF"):
            album.add(encoded(opened(content), format_=format_))
        others = [album.add()["id"] for _ in range(4)]

        plain = ask(search, image, content).json()
        diverse = ask(search, image, content, diversity=1).json()

        twins = 3 if search == "search" else 2
        assert not set(ids_of(plain)[:twins]) & set(others)
        assert ids_of(diverse)[0] == ids_of(plain)[0]
        assert not set(ids_of(diverse)[1 - twins :]) & set(others)
        assert sorted(ids_of(diverse)) == sorted(ids_of(plain))
        assert dict(zip(ids_of(diverse), scores_of(diverse), strict=True)) == pytest.approx(
            dict(zip(ids_of(plain), scores_of(plain), strict=True)), abs=1e-3
        )
        first, *order = [match["order_score"] for match in diverse["matches"]]
        assert (first, order) == (pytest.approx(0), sorted(order, reverse=True))
        assert [match["rank"] for match in diverse["matches"]] == list(range(1, 2 + len(order)))
        assert ids_of(ask(search, image, content, diversity=0).json()) == ids_of(plain)
        page = ask(search, image, content, diversity=1, limit=2, offset=1).json()
        assert ids_of(page) == ids_of(diverse)[1:3]

    def test_groups_are_formed_of_what_is_diverse(self, album: Album, ask: Ask) -> None:
        content = album.picture()
        image = album.add(content, product="a")
        album.add(encoded(opened(content), format_="TIFF"), product="b")
        album.add(product="c")
        found = ask("search", image, content, diversity=1, group_by="metadata.product").json()["matches"]
        first, second, third = (match["group"]["value"] for match in found)
        assert (second, {first, third}) == ("c", {"a", "b"})  # the same pixels have the same score


def _ids(matches: Sequence[dict[str, Any]]) -> list[str]:
    return [match["image"]["id"] for match in matches]


class GroupRequestsContract(Searching):
    @SEARCHES
    @pytest.mark.parametrize("field", ["metadata.mark", "filename", "product", "metadata.", "*"])
    def test_other_fields_make_no_groups(self, album: Album, ask: Ask, search: str, field: str) -> None:
        answer = ask(search, album.add(), album.picture(), group_by=field)
        assert_problem(answer, 422, "invalid_grouping", says="metadata.product, metadata.pieces, sha256")

    @SEARCHES
    def test_a_size_needs_groups(self, album: Album, ask: Ask, search: str) -> None:
        answer = ask(search, album.add(), album.picture(), group_size=2)
        assert_problem(answer, 422, "invalid_grouping", says="group_by")

    @SEARCHES
    @pytest.mark.parametrize(
        ("name", "value"),
        [("group_size", 0), ("group_size", 11), ("diversity", -0.1), ("diversity", 1.01), ("diversity", "much")],
    )
    def test_values_out_of_bounds_are_named(
        self, album: Album, ask: Ask, search: str, name: str, value: float | str
    ) -> None:
        options = {"group_by": "sha256", name: value}
        assert_invalid(ask(search, album.add(), album.picture(), **options), name)
