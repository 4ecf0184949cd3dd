"""PATCH and DELETE."""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.contracts.api.conformance import assert_invalid, assert_problem
from tests.contracts.api.deployed import Album, Deployed, ids_of

EVERYTHING_ELSE_THAT_NAMES_NOTHING = [{}, {"all": []}, {"any": []}, {"all": [], "any": [], "none": []}]


class EditsContract(Deployed):
    @pytest.mark.parametrize("content_type", ["application/json", "application/merge-patch+json"])
    def test_a_merge_patch_adds_replaces_and_removes(
        self, client: httpx.Client, album: Album, content_type: str
    ) -> None:
        image = album.add(brand="acme", price=10, tags=["a", "b"])
        patch = {"metadata": {"price": 12.5, "tags": None, "new": True, "absent": None}}

        response = client.patch(
            f"/v1/images/{image['id']}", content=json.dumps(patch), headers={"content-type": content_type}
        )

        assert response.status_code == 200
        metadata = {"mark": album.mark, "brand": "acme", "price": 12.5, "new": True}
        assert response.json() == {**image, "metadata": metadata, "updated_at": response.json()["updated_at"]}
        assert response.json()["updated_at"] > image["updated_at"]
        assert client.get(f"/v1/images/{image['id']}").json() == response.json()

    def test_filters_see_the_patch_at_once(self, client: httpx.Client, album: Album) -> None:
        content = album.picture()
        image = album.add(content, brand="acme")
        client.patch(f"/v1/images/{image['id']}", json={"metadata": {"brand": "other"}})
        for brand, found in (("acme", []), ("other", [image["id"]])):
            where = album.filter({"field": "metadata.brand", "eq": brand})
            assert [item["id"] for item in album.listed(filter=where)["items"]] == found
            assert ids_of(album.search(content, filter=where)) == found

    def test_an_empty_patch_changes_nothing(self, client: httpx.Client, album: Album) -> None:
        image = album.add(brand="acme")
        response = client.patch(f"/v1/images/{image['id']}", json={"metadata": {}})
        assert (response.status_code, response.json()) == (200, image)

    def test_a_deleted_image_is_gone(self, client: httpx.Client, album: Album) -> None:
        content, other = album.picture(), album.add()
        image = album.add(content)

        response = client.delete(f"/v1/images/{image['id']}")

        assert (response.status_code, response.content) == (204, b"")
        for link in image["links"].values():
            assert_problem(client.get(link), 404, "image_not_found")
        assert_problem(client.delete(f"/v1/images/{image['id']}"), 404, "image_not_found", says=image["id"])
        assert album.ids() == [other["id"]]
        assert ids_of(album.search(content)) == [other["id"]]
        assert album.post(content).status_code == 201

    def test_deleting_by_a_filter(self, client: httpx.Client, album: Album) -> None:
        images = [album.add(price=price) for price in range(4)]
        where = album.where({"field": "metadata.price", "gte": 2})

        response = client.post("/v1/images/delete", json={"filter": where})

        assert (response.status_code, response.json()) == (200, {"deleted": 2})
        assert album.ids() == [images[1]["id"], images[0]["id"]]
        assert client.get(images[3]["links"]["content"]).status_code == 404
        assert client.post("/v1/images/delete", json={"filter": where}).json() == {"deleted": 0}


class EditRequestsContract(Deployed):
    @pytest.mark.parametrize(
        "patch",
        [
            {"brand": {"name": "acme"}},
            {"sizes": [1, 2]},
            {"": "x"},
            {"text": "x" * 16 * 1024},
            {f"key{number}": number for number in range(64)},
        ],
        ids=["nested", "numbers in an array", "empty key", "too large", "too many keys"],
    )
    def test_a_patch_that_makes_no_metadata_is_refused(
        self, client: httpx.Client, album: Album, patch: dict[str, Any]
    ) -> None:
        image = album.add()
        assert_problem(client.patch(f"/v1/images/{image['id']}", json={"metadata": patch}), 422, "invalid_metadata")
        assert client.get(f"/v1/images/{image['id']}").json() == image

    def test_a_patch_of_anything_else_is_refused(self, client: httpx.Client, album: Album) -> None:
        path = f"/v1/images/{album.add()['id']}"
        assert_invalid(client.patch(path, json={"metadata": {}, "filename": "x.png"}), "filename")
        assert_invalid(client.patch(path, json={}), "metadata")
        assert_invalid(client.patch(path, json={"metadata": None}), "metadata")
        assert_problem(client.patch(path, json=[]), 422, "validation_failed")
        assert_invalid(client.patch(f"{path}?x=1", json={"metadata": {}}), "x")
        assert_problem(client.patch(f"/v1/images/{uuid4()}", json={"metadata": {}}), 404, "image_not_found")

    @pytest.mark.parametrize("where", EVERYTHING_ELSE_THAT_NAMES_NOTHING)
    def test_deleting_everything_by_accident_is_refused(
        self, client: httpx.Client, album: Album, where: dict[str, Any]
    ) -> None:
        image = album.add()
        assert_problem(client.post("/v1/images/delete", json={"filter": where}), 422, "invalid_filter")
        assert client.get(f"/v1/images/{image['id']}").status_code == 200

    @pytest.mark.parametrize("part", ["all", "any", "none"])
    def test_deleting_all_but_those_in_an_empty_list_is_refused(
        self, client: httpx.Client, album: Album, part: str
    ) -> None:
        image = album.add()
        for field in ("labels", "metadata.price"):
            where = {"all": [{"field": "width", "gte": 1}], part: [{"field": field, "in": []}]}
            refused = client.post("/v1/images/delete", json={"filter": where})
            assert_problem(refused, 422, "invalid_filter", says=f"compares {field} with an empty `in`")
        assert client.get(f"/v1/images/{image['id']}").status_code == 200

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"filter": None},
            {"filter": {"every": []}},
            {"filter": {"all": [{"field": "colour", "eq": "red"}]}},
            {"filter": {"all": [{"field": "width", "gte": 1}]}, "dry_run": True},
        ],
        ids=["nothing", "null", "unknown part", "unknown field", "unknown member"],
    )
    def test_a_bad_delete_is_refused(self, client: httpx.Client, album: Album, body: dict[str, Any]) -> None:
        image = album.add()
        assert_problem(client.post("/v1/images/delete", json=body), 422)
        assert client.get(f"/v1/images/{image['id']}").status_code == 200

    def test_many_are_edited_at_once(self, client: httpx.Client, album: Album) -> None:
        first, second = album.add(brand="acme", price=1), album.add(brand="acme")
        unknown = str(uuid4())
        items = [
            {"id": first["id"], "metadata": {"price": 2.5, "brand": None}},
            {"id": unknown, "metadata": {"price": 2.5}},
            {"id": second["id"], "metadata": {"price": {"eur": 1}}},
        ]

        response = client.post("/v1/images/metadata", json={"items": items})

        assert response.status_code == 207
        body = response.json()
        assert (body["updated"], body["failed"]) == (1, 2)
        assert [result["id"] for result in body["results"]] == [item["id"] for item in items]
        assert [result["status"] for result in body["results"]] == ["updated", "failed", "failed"]
        codes = [result.get("problem", {}).get("code") for result in body["results"]]
        assert codes == [None, "image_not_found", "invalid_metadata"]
        assert client.get(first["links"]["self"]).json()["metadata"] == {"mark": album.mark, "price": 2.5}
        assert client.get(second["links"]["self"]).json() == second

    def test_all_that_match_are_edited(self, client: httpx.Client, album: Album) -> None:
        image, other = album.add(brand="acme"), album.add(brand="zara")
        where = json.loads(album.filter({"field": "metadata.brand", "eq": "acme"}))
        response = client.post("/v1/images/metadata", json={"filter": where, "metadata": {"brand": "ACME", "new": 1}})
        assert (response.status_code, response.json()) == (200, {"updated": 1})
        assert client.get(image["links"]["self"]).json()["metadata"] == {"mark": album.mark, "brand": "ACME", "new": 1}
        assert client.get(other["links"]["self"]).json() == other

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"items": []},
            {"items": [{"id": "hat.jpg", "metadata": {}}]},
            {"items": [{"metadata": {}}]},
            {"metadata": {}},
            {"filter": {"all": [{"field": "width", "gte": 1}]}},
            {"items": [{"id": str(uuid4()), "metadata": {}}], "filter": {"all": []}, "metadata": {}},
            {"items": [{"id": str(uuid4()), "metadata": {}}] * 1001},
        ],
        ids=["nothing", "no items", "no id", "neither", "no filter", "no patch", "both", "too many"],
    )
    def test_edits_that_are_neither_are_refused(self, client: httpx.Client, body: dict[str, Any]) -> None:
        assert_problem(client.post("/v1/images/metadata", json=body), 422)
        assert_problem(client.post("/v1/images/metadata", json={"filter": {"all": []}, "metadata": {}}), 422)
