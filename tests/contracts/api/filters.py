"""Every test of every field, in listings and searches alike."""

import json
from typing import Any

import httpx
import pytest

from tests.contracts.api.conformance import assert_invalid, assert_problem
from tests.contracts.api.deployed import Album, Deployed, ids_of
from tests.pictures import a_picture


def c(field: str, **test: Any) -> dict[str, Any]:
    return {"field": field, **test}


def m(key: str, **test: Any) -> dict[str, Any]:
    return c(f"metadata.{key}", **test)


IN = {"in": ["acme", "none such"]}

CASES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "no part": ({}, {"a", "b", "c", "d"}),
    "text equals": ({"all": [m("brand", eq="acme")]}, {"a", "b"}),
    "text is case-sensitive": ({"all": [m("brand", eq="ACME")]}, {"c"}),
    "text in": ({"all": [m("brand", **IN)]}, {"a", "b"}),
    "in nothing": ({"all": [m("brand", **{"in": []})]}, set()),
    "number equals": ({"all": [m("price", eq=10)]}, {"a"}),
    "number equals as float": ({"all": [m("price", eq=10.0)]}, {"a"}),
    "fraction equals": ({"all": [m("price", eq=19.5)]}, {"b"}),
    "number in": ({"all": [m("price", **{"in": [10, 19.5]})]}, {"a", "b"}),
    "boolean": ({"all": [m("sale", eq=True)]}, {"a"}),
    "boolean is no number": ({"all": [m("sale", eq=1)]}, set()),
    "number is no text": ({"all": [m("price", eq="10")]}, {"d"}),
    "range": ({"all": [m("price", gte=10, lt=19.5)]}, {"a"}),
    "open range": ({"all": [m("price", gt=10)]}, {"b"}),
    "closed range": ({"all": [m("price", gt=9.5, lte=19.5)]}, {"a", "b"}),
    "times": ({"all": [m("taken", gte="2026-01-31T17:30:00+05:30", lt="2026-01-31T12:00:00.000001Z")]}, {"c"}),
    "times, none": ({"none": [m("taken", gt="2026-01-31T12:00:00Z")]}, {"a", "b", "c", "d"}),
    "array contains": ({"all": [m("tags", eq="red")]}, {"a", "c"}),
    "array contains one of": ({"all": [m("tags", **{"in": ["blue", "green"]})]}, {"a", "b"}),
    "exists": ({"all": [m("tags", exists=True)]}, {"a", "b", "c", "d"}),
    "exists not": ({"all": [m("sale", exists=False)]}, {"c", "d"}),
    "missing fails": ({"all": [m("absent", eq="x")]}, set()),
    "missing fails a range": ({"all": [m("absent", lt=5)]}, set()),
    "missing, none": ({"none": [m("sale", eq=True)]}, {"b", "c", "d"}),
    "all": ({"all": [m("brand", eq="acme"), m("price", lt=15)]}, {"a"}),
    "any": ({"any": [m("brand", eq="ACME"), m("price", gt=15)]}, {"b", "c"}),
    "none": ({"none": [m("brand", eq="acme")]}, {"c", "d"}),
    "all and any and none": (
        {
            "all": [m("brand", exists=True)],
            "any": [m("tags", eq="red"), m("price", gt=15)],
            "none": [m("price", eq=10)],
        },
        {"b", "c"},
    ),
    "dotted key": ({"all": [m("size.eu", eq=42)]}, {"d"}),
    "filename": ({"all": [c("filename", eq="a.png")]}, {"a"}),
    "filename in": ({"all": [c("filename", **{"in": ["a.png", "b.jpg", "A.png"]})]}, {"a", "b"}),
    "media type": ({"all": [c("media_type", eq="image/jpeg")]}, {"b"}),
    "width": ({"all": [c("width", eq=100)]}, {"a", "b"}),
    "width in a range": ({"all": [c("width", gte=100, lt=130.5)]}, {"a", "b", "c"}),
    "height": ({"all": [c("height", lte=80)]}, {"a", "c"}),
    "height in": ({"all": [c("height", **{"in": [80, 90]})]}, {"a", "b", "c"}),
    "created long ago": ({"all": [c("created_at", lt="2020-01-01T00:00:00Z")]}, set()),
    "created since, elsewhere": ({"all": [c("created_at", gte="2020-01-01T00:00:00+05:30")]}, {"a", "b", "c", "d"}),
    "prefix": ({"all": [c("filename", prefix="a.")]}, {"a"}),
    "prefix is case-sensitive": ({"all": [c("filename", prefix="A")]}, set()),
    "prefix of declared metadata": ({"all": [m("product", prefix="p-")]}, {"a", "b"}),
    "prefix, none": ({"none": [m("product", prefix="p-1")]}, {"b", "c", "d"}),
    "words": ({"all": [c("name", words="PNG a")]}, {"a"}),
    "beginnings of words": ({"all": [c("name", words="pn")]}, {"a", "c", "d"}),
    "no ends of words": ({"all": [c("name", words="ng")]}, set()),
    "words, none": ({"none": [c("name", words="jpg")]}, {"a", "c", "d"}),
    "key exists not": ({"all": [c("key", exists=False), c("source", exists=False)]}, {"a", "b", "c", "d"}),
    "key": ({"any": [c("key", eq="a.png"), c("source", prefix="/")]}, set()),
    "sha256": ({"all": [c("sha256", **{"in": ["0" * 64]})]}, set()),
    "bytes": ({"all": [c("size_bytes", gt=10, lt=10_000_000)]}, {"a", "b", "c", "d"}),
    "updated since": ({"all": [c("updated_at", gte="2020-01-01T00:00:00Z")]}, {"a", "b", "c", "d"}),
    "labels": ({"all": [c("labels", eq="no such thing")]}, set()),
    "labels none": ({"none": [c("labels", **{"in": ["no such thing"]})]}, {"a", "b", "c", "d"}),
}

BAD: dict[str, Any] = {
    "no object": [],
    "unknown part": {"every": []},
    "unknown field": {"all": [c("colour", eq="red")]},
    "no metadata key": {"all": [c("metadata.", eq="red")]},
    "no test": {"all": [c("width")]},
    "two tests": {"all": [c("width", eq=1, exists=True)]},
    "unknown test": {"all": [c("width", near=1)]},
    "no field": {"all": [{"eq": 1}]},
    "null": {"all": [m("brand", eq=None)]},
    "an object": {"all": [m("brand", eq={"a": 1})]},
    "text for a number": {"all": [c("width", eq="100")]},
    "a bound of text": {"all": [m("price", gt="10")]},
    "a range of text": {"all": [c("filename", gt="a")]},
    "a number for text": {"all": [c("filename", eq=1)]},
    "a time without zone": {"all": [c("created_at", gt="2026-01-01T00:00:00")]},
    "seconds since 1970": {"all": [c("created_at", gt="1767225600")]},
    "a date": {"all": [c("created_at", gt="2026-01-01")]},
    "no time": {"all": [c("created_at", gt="yesterday")]},
    "in no array": {"all": [m("brand", **{"in": "acme"})]},
    "exists of text": {"all": [m("brand", exists="yes")]},
    "an enormous number": {"all": [c("width", eq=10**400)]},
    "an enormous bound": {"all": [m("price", lt=-(10**400))]},
    "no condition": {"all": ["brand"]},
    "no list": {"all": c("width", eq=1)},
    "prefix of a number": {"all": [c("width", prefix="1")]},
    "prefix of labels": {"all": [c("labels", prefix="d")]},
    "prefix that is no text": {"all": [c("key", prefix=1)]},
    "prefix that all begin with": {"all": [c("key", prefix="")]},
    "words of a field": {"all": [c("key", words="a")]},
    "name without words": {"all": [c("name", eq="a")]},
    "words without letters": {"all": [c("name", words="-- .")]},
    "many words": {"all": [c("name", words="a " * 17)]},
}


class FiltersContract(Deployed):
    @pytest.fixture(scope="class")
    @classmethod
    def zoo(cls, client: httpx.Client) -> tuple[Album, dict[str, str]]:
        """Four images of different looks and metadata, and the name of each by id."""
        album = Album(client, iter(()))
        images = {
            "a": album.add(
                a_picture(1, width=100, height=80),
                "a.png",
                brand="acme",
                price=10,
                sale=True,
                tags=["red", "blue"],
                product="p-1",
            ),
            "b": album.add(
                a_picture(2, width=100, height=90, format_="JPEG"),
                "b.jpg",
                brand="acme",
                price=19.5,
                sale=False,
                tags=["green"],
                product=["x", "p-2"],
            ),
            "c": album.add(
                a_picture(3, width=130, height=80), "c.png", brand="ACME", tags=["red"], taken="2026-01-31T12:00:00Z"
            ),
            "d": album.add(a_picture(4, width=131, height=100), "d.png", price="10", tags=[], **{"size.eu": 42}),
        }
        return album, {image["id"]: name for name, image in images.items()}

    @pytest.mark.parametrize(("where", "expected"), CASES.values(), ids=CASES.keys())
    def test_filters(
        self,
        client: httpx.Client,
        zoo: tuple[Album, dict[str, str]],
        where: dict[str, Any],
        expected: set[str],
    ) -> None:
        album, names = zoo
        kept = json.dumps({**where, "all": [*where.get("all", []), m("mark", eq=album.mark)]})

        listed = client.get("/v1/images", params={"filter": kept}).json()
        assert {names[item["id"]] for item in listed["items"]} == expected
        assert listed["total"] == len(expected)
        a = next(id_ for id_, name in names.items() if name == "a")
        similar = client.get(f"/v1/images/{a}/similar", params={"filter": kept}).json()
        assert {names[id_] for id_ in ids_of(similar)} == expected - {"a"}

    @pytest.mark.parametrize("case", ["array contains", "all and any and none", "exists not", "missing fails"])
    def test_searches_take_them_too(self, client: httpx.Client, zoo: tuple[Album, dict[str, str]], case: str) -> None:
        album, names = zoo
        where, expected = CASES[case]
        kept = {**where, "all": [*where.get("all", []), m("mark", eq=album.mark)]}
        for exact in ("true", "false"):
            found = album.search(a_picture(1), filter=json.dumps(kept), exact=exact)
            assert {names[id_] for id_ in ids_of(found)} == expected
        b = next(id_ for id_, name in names.items() if name == "b")
        by_example = client.post("/v1/search/examples", json={"positive": [b], "filter": kept}).json()
        assert {names[id_] for id_ in ids_of(by_example)} == expected - {"b"}


class FilterRequestsContract(Deployed):
    @pytest.mark.parametrize("where", BAD.values(), ids=BAD.keys())
    def test_bad_filters_are_refused(self, client: httpx.Client, album: Album, where: Any) -> None:
        text = json.dumps(where)
        assert_invalid(client.get("/v1/images", params={"filter": text}), "filter")
        assert_invalid(client.post("/v1/search", files={"file": album.picture()}, data={"filter": text}), "filter")
        assert_problem(client.post("/v1/images/delete", json={"filter": where}), 422)
        assert_problem(client.post("/v1/search/examples", json={"positive": [], "filter": where}), 422)

    def test_a_prefix_needs_a_declared_key(self, client: httpx.Client, album: Album) -> None:
        image = album.add()
        where = {"all": [m("brand", prefix="a")]}
        text, says = json.dumps(where), "metadata.brand is not declared as keyword"
        for answer in (
            client.get("/v1/images", params={"filter": text}),
            client.get(f"/v1/images/{image['id']}/similar", params={"filter": text}),
            client.post("/v1/search", files={"file": album.picture()}, data={"filter": text}),
            client.post("/v1/search", files={"file": album.picture()}, data={"filter": text, "target": "objects"}),
            client.post("/v1/search/examples", json={"positive": [image["id"]], "filter": where}),
            client.post("/v1/facets", json={"fields": ["labels"], "filter": where}),
            client.post("/v1/images/delete", json={"filter": where}),
            client.post("/v1/images/metadata", json={"filter": where, "metadata": {}}),
        ):
            assert_problem(answer, 422, "invalid_filter", says=says)
