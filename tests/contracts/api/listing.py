"""GET /v1/images."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.contracts.api.conformance import assert_invalid, assert_problem
from tests.contracts.api.deployed import Album, Deployed


def pages(album: Album, limit: int) -> list[list[str]]:
    """The ids of each page of the album."""
    found, cursor = [], {}
    while True:
        page = album.listed(limit=limit, **cursor)
        found.append([item["id"] for item in page["items"]])
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


def in_order(album: Album, order_by: str, limit: int) -> list[str]:
    """The ids of all pages in this order."""
    page = album.listed(order_by=order_by, limit=limit)
    items = page["items"]
    while page["next_cursor"] is not None:
        page = album.listed(order_by=order_by, limit=limit, cursor=page["next_cursor"])
        items += page["items"]
    return [item["id"] for item in items]


class ListingContract(Deployed):
    def test_newest_first_with_their_records(self, client: httpx.Client, album: Album) -> None:
        images = [album.add() for _ in range(3)]
        page = album.listed()
        assert page == {"items": images[::-1], "next_cursor": None, "total": 3}
        assert client.get("/v1/images", params={"limit": 3}).json()["items"] == images[::-1]

    @pytest.mark.parametrize(("limit", "sizes"), [(1, [1, 1, 1, 1]), (2, [2, 2]), (3, [3, 1]), (4, [4]), (200, [4])])
    def test_pages_are_complete(self, album: Album, limit: int, sizes: list[int]) -> None:
        ids = [album.add()["id"] for _ in range(4)][::-1]
        found = pages(album, limit)
        assert [len(page) for page in found] == sizes
        assert [id_ for page in found for id_ in page] == ids

    def test_the_total_counts_what_the_filter_matches(self, client: httpx.Client, album: Album) -> None:
        for price in range(3):
            album.add(price=price)
        where = album.filter({"field": "metadata.price", "gte": 1})
        page = client.get("/v1/images", params={"filter": where, "limit": 1}).json()
        assert (len(page["items"]), page["total"]) == (1, 2)
        assert client.get("/v1/images").json()["total"] >= 3

    def test_pages_stay_complete_while_others_write(self, client: httpx.Client, album: Album) -> None:
        ids = [album.add()["id"] for _ in range(8)][::-1]
        new = [album.picture() for _ in range(8)]
        with ThreadPoolExecutor(1) as threads:
            writing = threads.map(album.add, new)
            found = [id_ for page in pages(album, 1) for id_ in page]
            written = [image["id"] for image in writing]

        assert [id_ for id_ in found if id_ in ids] == ids
        assert len(found) == len(set(found))
        assert set(found) <= {*ids, *written}

    def test_a_cursor_outlives_the_image_that_it_was_made_at(self, client: httpx.Client, album: Album) -> None:
        oldest, middle, newest = (album.add()["id"] for _ in range(3))
        first = album.listed(limit=2)
        assert [item["id"] for item in first["items"]] == [newest, middle]
        assert client.delete(f"/v1/images/{middle}").status_code == 204
        rest = album.listed(limit=2, cursor=first["next_cursor"])
        assert [item["id"] for item in rest["items"]] == [oldest]

    def test_other_orders(self, client: httpx.Client, album: Album) -> None:
        given = [
            {"pieces": 3, "weight": 1.5, "due": "2026-02-01T00:00:00Z"},
            {"pieces": 1, "weight": 1, "due": "2026-01-31T23:00:00-02:00"},
            {"pieces": 2, "weight": 1e300, "due": "9999-12-31T00:00:00Z"},
            {},
            {"pieces": 3, "weight": 1.5},
        ]
        ids = [album.add(**metadata)["id"] for metadata in given]
        for key, expected in [
            ("pieces", [ids[1], ids[2], *sorted([ids[0], ids[4]])]),
            ("weight", [ids[1], *sorted([ids[0], ids[4]]), ids[2]]),
            ("due", [ids[0], ids[1], ids[2]]),
        ]:
            for limit in (1, 2, 200):
                assert in_order(album, f"metadata.{key}", limit) == expected
            assert sorted(in_order(album, f"-metadata.{key}", 2)) == sorted(expected)
            assert album.listed(order_by=f"-metadata.{key}", limit=1)["total"] == len(expected)
        client.patch(f"/v1/images/{ids[1]}", json={"metadata": {"pieces": 9}})
        assert in_order(album, "-updated_at", 2)[0] == ids[1]
        assert in_order(album, "-metadata.pieces", 1)[0] == ids[1]
        assert in_order(album, "-created_at", 2) == in_order(album, "created_at", 2)[::-1] == ids[::-1]

    def test_nothing_is_an_empty_page(self, album: Album) -> None:
        assert album.listed() == {"items": [], "next_cursor": None, "total": 0}


class ListingRequestsContract(Deployed):
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("limit", "0"),
            ("limit", "201"),
            ("limit", "ten"),
            ("cursor", "yesterday"),
            ("cursor", ""),
            ("cursor", "AAAA"),
            ("filter", "brand"),
            ("filter", "[]"),
            ("filter", '{"every": []}'),
            ("offset", "1"),
        ],
    )
    def test_bad_parameters_of_a_listing_are_named(self, client: httpx.Client, name: str, value: str) -> None:
        assert_invalid(client.get("/v1/images", params={name: value}), name)

    @pytest.mark.parametrize(
        ("body", "place"),
        [
            ({}, "fields"),
            ({"fields": []}, "fields"),
            ({"fields": ["labels"] * 17}, "fields"),
            ({"fields": ["labels"], "limit": 0}, "limit"),
            ({"fields": ["labels"], "filter": {"all": {}}}, "filter"),
            ({"fields": ["labels"], "cursor": "x"}, "cursor"),
        ],
    )
    def test_facets_refuse_what_they_do_not_know(self, client: httpx.Client, body: dict[str, Any], place: str) -> None:
        assert_invalid(client.post("/v1/facets", json=body), place)

    @pytest.mark.parametrize("field", ["metadata.undeclared", "filename", "width", "labels ", ""])
    def test_facets_of_what_is_not_declared_are_refused(self, client: httpx.Client, field: str) -> None:
        answer = client.post("/v1/facets", json={"fields": ["labels", field]})
        assert_problem(answer, 422, "invalid_filter", says="labels, media_type are")

    @pytest.mark.parametrize(
        "order_by", ["", "-", "width", "metadata.product", "metadata.undeclared", "created_at,updated_at"]
    )
    def test_orders_that_there_are_not_are_refused_with_those_that_are(
        self, client: httpx.Client, order_by: str
    ) -> None:
        answer = client.get("/v1/images", params={"order_by": order_by})
        says = "created_at, updated_at, metadata.pieces, metadata.weight, metadata.due"
        assert_problem(answer, 422, "invalid_order", says=says)

    def test_a_cursor_is_of_one_order(self, client: httpx.Client, album: Album) -> None:
        for pieces in (1, 2):
            album.add(pieces=pieces)
        cursor = album.listed(limit=1)["next_cursor"]
        by_pieces = album.listed(limit=1, order_by="metadata.pieces")["next_cursor"]
        for order_by, other in [("metadata.pieces", cursor), ("created_at", cursor), ("-metadata.pieces", by_pieces)]:
            refused = client.get("/v1/images", params={"order_by": order_by, "cursor": other})
            assert assert_problem(refused, 422)["errors"][0]["type"] == "invalid_cursor"
