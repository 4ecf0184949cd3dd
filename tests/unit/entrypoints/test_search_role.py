"""Keys that may only search: they stand in other sites' pages, and give nothing else away."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from domain.images import DetectedObject
from tests.builders import box
from tests.pictures import a_picture
from tests.unit.entrypoints.application import an_app, serving

KEYS = "search:a-key-to-search,read:a-key-to-read,write:a-key-to-write"
SEARCH, READ, WRITE = ({"authorization": f"Bearer a-key-to-{role}"} for role in ("search", "read", "write"))
PRIVATE = "told-to-no-stranger"
METADATA = {"brand": "acme", "ma\u00df": 3, "cost": 7.25, "supplier": PRIVATE, "tags": [PRIVATE], "e\u0301tat": "sold"}
PUBLIC = "brand,ma\u00df, e\u0301tat"

Searches = dict[str, httpx.Response]


def a_shop(directory: Path, **sections: Any) -> FastAPI:
    app = an_app(directory, **{"auth": {"keys": KEYS, "public_metadata": PUBLIC}} | sections)
    app.state.container.chosen_detector().found = [DetectedObject(label="dog", score=0.9, box=box(10, 10, 90, 90))]
    return app


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(a_shop(tmp_path)) as client:
        for number in range(3):
            file = {"file": (f"{PRIVATE}-{number}.png", a_picture(number))}
            sent = await client.post("/v1/images", files=file, data={"metadata": json.dumps(METADATA)}, headers=WRITE)
            assert sent.status_code == 201, sent.text
        yield client


async def searched(
    client: httpx.AsyncClient, headers: dict[str, str], where: dict[str, Any] | None = None, **form: Any
) -> Searches:
    """The answers of all three searches."""
    id_ = (await client.get("/v1/images", headers=READ)).json()["items"][0]["id"]
    text = {} if where is None else {"filter": json.dumps(where)}
    body = {"positive": [id_]} | ({} if where is None else {"filter": where})
    files = {"file": ("query.png", a_picture(1))}
    grouping = {name: form[name] for name in ("group_by", "group_size") if name in form}
    return {
        "picture": await client.post("/v1/search", files=files, data=text | form, headers=headers),
        "similar": await client.get(f"/v1/images/{id_}/similar", params=text | grouping, headers=headers),
        "examples": await client.post("/v1/search/examples", json=body | grouping, headers=headers),
    }


def values(node: Any) -> list[Any]:
    """Every key and value of an answer."""
    if isinstance(node, dict):
        return [*node, *(each for value in node.values() for each in values(value))]
    if isinstance(node, list):
        return [each for value in node for each in values(value)]
    return [node]


@pytest.mark.parametrize("target", ["images", "objects", "any"])
async def test_no_search_tells_what_is_private(client: httpx.AsyncClient, target: str) -> None:
    for search, answer in (await searched(client, SEARCH, target=target)).items():
        assert answer.status_code == 200, search
        matches = answer.json()["matches"]
        assert len(matches) >= 2, search
        for match in matches:
            assert match["image"]["filename"] is None
            assert match["image"]["metadata"] == {"brand": "acme", "ma\u00df": 3, "\u00e9tat": "sold"}
        told = values(answer.json())
        assert not [each for each in told if isinstance(each, str) and PRIVATE in each], search
        assert not {7.25, "cost", "supplier", "tags"} & {each for each in told if not isinstance(each, list)}


async def test_readers_see_all_of_the_same_answers(client: httpx.AsyncClient) -> None:
    for answer in (await searched(client, READ)).values():
        for match in answer.json()["matches"]:
            assert PRIVATE in match["image"]["filename"]
            assert match["image"]["metadata"].keys() == {"brand", "ma\u00df", "cost", "supplier", "tags", "\u00e9tat"}


async def test_without_a_setting_no_metadata_is_public(tmp_path: Path) -> None:
    async with serving(a_shop(tmp_path, auth={"keys": KEYS})) as client:
        file, metadata = {"file": a_picture(1)}, {"metadata": '{"brand": "acme"}'}
        await client.post("/v1/images", files=file, data=metadata, headers=WRITE)
        [match] = (await client.post("/v1/search", files=file, headers=SEARCH)).json()["matches"]
        assert match["image"]["metadata"] == {}
        refused = await client.post(
            "/v1/search", files=file, data={"filter": '{"all": [{"field": "metadata.brand", "eq": 1}]}'}, headers=SEARCH
        )
        assert refused.json()["code"] == "field_not_public"


@pytest.mark.parametrize("part", ["all", "any", "none"])
@pytest.mark.parametrize(
    "condition",
    [
        {"field": "metadata.cost", "gt": 5},
        {"field": "metadata.cost", "exists": True},
        {"field": "metadata.supplier", "in": ["a", PRIVATE]},
        {"field": "metadata.never-stored", "eq": 1},
        {"field": "metadata.Brand", "eq": "acme"},
        {"field": "filename", "eq": f"{PRIVATE}-1.png"},
        {"field": "created_at", "lt": "2030-01-01T00:00:00Z"},
    ],
    ids=lambda condition: condition["field"],
)
async def test_private_fields_cannot_be_guessed_by_filters(
    client: httpx.AsyncClient, part: str, condition: dict[str, Any]
) -> None:
    where = {"all": [{"field": "metadata.brand", "eq": "acme"}]}
    where[part] = [*where.get(part, []), condition]
    for search, answer in (await searched(client, SEARCH, where)).items():
        assert (answer.status_code, answer.json()["code"]) == (403, "field_not_public"), search
        detail = answer.json()["detail"]
        assert f"may not name {condition['field']}, only height, labels, media_type, metadata.brand" in detail
    for search, answer in (await searched(client, READ, where)).items():
        assert answer.status_code == 200, search


@pytest.mark.parametrize(
    ("group_by", "permitted"), [("metadata.brand", True), ("sha256", True), ("metadata.cost", False), ("labels", False)]
)
async def test_groups_tell_nothing_private(tmp_path: Path, group_by: str, permitted: bool) -> None:
    declared = {"backend": "memory", "indexed_metadata": "brand:keyword,cost:keyword"}
    async with serving(a_shop(tmp_path, repository=declared)) as client:
        for number in range(3):
            metadata = json.dumps({"brand": "acme", "cost": PRIVATE})
            file = {"file": (f"{PRIVATE}-{number}.png", a_picture(number))}
            await client.post("/v1/images", files=file, data={"metadata": metadata}, headers=WRITE)
        grouping = {"group_by": group_by, "group_size": "3"}
        for search, answer in (await searched(client, SEARCH, **grouping)).items():
            if permitted:
                assert answer.status_code == 200, search
                assert answer.json()["matches"][0]["group"]["images"] >= 1
                assert PRIVATE not in answer.text
            else:
                assert (answer.status_code, answer.json()["code"]) == (403, "field_not_public"), search
                assert "metadata.cost" not in answer.text.replace(f"may not name {group_by}", "")


async def test_public_fields_may_be_filtered_by(client: httpx.AsyncClient) -> None:
    public: list[dict[str, Any]] = [
        {"field": "metadata.brand", "eq": "acme"},
        {"field": "metadata.e\u0301tat", "exists": True},
        {"field": "media_type", "in": ["image/png"]},
        {"field": "width", "gte": 100},
        {"field": "height", "lt": 1000},
        {"field": "labels", "eq": "dog"},
    ]
    for search, answer in (await searched(client, SEARCH, {"all": public})).items():
        assert answer.status_code == 200, search
        assert answer.json()["matches"], search


async def test_results_show_their_thumbnails_by_their_links_alone(client: httpx.AsyncClient) -> None:
    match = (await searched(client, SEARCH))["picture"].json()["matches"][0]
    links = match["image"]["links"]
    assert (await client.get(links["thumbnail"])).status_code == 200
    assert (await client.get(links["thumbnail"], headers=SEARCH)).status_code == 200
    assert (await client.get(links["similar"], headers=SEARCH)).status_code == 200
    for closed in (links["self"], links["content"], links["thumbnail"].partition("?")[0]):
        refused = await client.get(closed, headers=SEARCH)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


async def test_objects_are_detected(client: httpx.AsyncClient) -> None:
    detected = await client.post("/v1/detections", files={"file": a_picture(1)}, headers=SEARCH)
    assert [found["label"] for found in detected.json()["detections"]] == ["dog"]


async def test_the_page_takes_no_such_key(client: httpx.AsyncClient) -> None:
    refused = await client.post("/session", headers=SEARCH)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert "This needs a key with the role read; yours has the role search." in refused.json()["detail"]
    assert "set-cookie" not in refused.headers


async def test_visitors_who_share_the_key_of_a_page_are_counted_one_by_one(tmp_path: Path) -> None:
    app = a_shop(tmp_path, limits={"per_key": "2/hour"})

    def visitor(address: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(address, 1)), base_url="http://t")

    async with serving(app), visitor("198.51.100.1") as one, visitor("198.51.100.2") as other:
        body = {"positive": ["0a4d55a8-d778-5022-abab-977f9a1b3f7c"]}
        for client in (one, other):
            found = [(await client.post("/v1/search/examples", json=body, headers=SEARCH)) for _ in range(3)]
            assert [answer.status_code for answer in found] == [404, 404, 429]
        # Other keys belong to one caller, wherever it is.
        reads = [(await client.get("/v1/images", headers=READ)).status_code for client in (one, other, one, other)]
        assert reads == [200, 200, 429, 429]
