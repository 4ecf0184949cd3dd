"""Pictures under keys: index, look at, change, rename and delete them."""

import json
import re
import unicodedata
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid5

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.names import KEY_NAMESPACE
from tests.contracts.api.conformance import assert_invalid, assert_problem
from tests.contracts.api.deployed import Album, Deployed, ids_of
from tests.pictures import a_truncated_photo

UNFIT = [HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]
"""Each example has a picture of its own, and each deployment runs the same test."""


def put(album: Album, key: str | None, content: bytes, **form: Any) -> httpx.Response:
    fields = {"metadata": album.metadata(), **form}
    if key is not None:
        fields["key"] = key
    return album.client.post("/v1/images", files={"file": ("picture.png", content)}, data=fields)


def by_key(client: httpx.Client, key: str) -> httpx.Response:
    return client.get("/v1/images/by-key", params={"key": key})


class NamesContract(Deployed):
    def test_a_key_names_a_picture(self, client: httpx.Client, album: Album) -> None:
        key, content = f"{album.mark}/sku-17/front", album.picture()

        response = put(album, key, content, source="/photos/front.png")

        image = response.json()
        assert (response.status_code, response.headers["x-outcome"]) == (201, "created")
        assert response.headers["location"] == image["links"]["self"]
        assert (image["key"], image["source"]) == (key, "/photos/front.png")
        assert UUID(image["id"]) == uuid5(KEY_NAMESPACE, key)
        assert image["sha256"] == sha256(content).hexdigest()
        assert image["updated_at"] == image["created_at"]
        assert by_key(client, key).json() == client.get(image["links"]["self"]).json() == image
        assert client.get(image["links"]["content"]).content == content

    def test_the_same_again_changes_nothing(self, client: httpx.Client, album: Album) -> None:
        key, content = f"{album.mark}/a", album.picture()
        image = put(album, key, content, source="one").json()
        again = put(album, key, content)
        assert (again.status_code, again.headers["x-outcome"], again.json()) == (200, "exists", image)
        moved = put(album, key, content, source="two")
        assert moved.json()["source"] == "two"
        assert moved.json()["updated_at"] > image["updated_at"]
        assert moved.json()["created_at"] == image["created_at"]
        assert by_key(client, key).json() == moved.json()

    def test_other_bytes_under_a_key_replace_the_picture(self, client: httpx.Client, album: Album) -> None:
        key, before, after = f"{album.mark}/a", album.picture(), album.picture()
        old = put(album, key, before, source="s", metadata=album.metadata(brand="acme")).json()

        response = client.post("/v1/images", files={"file": ("b.png", after)}, data={"key": key})

        new = response.json()
        assert (response.status_code, response.headers["x-outcome"]) == (200, "replaced")
        assert (new["id"], new["created_at"], new["source"]) == (old["id"], old["created_at"], "s")
        assert new["metadata"] == old["metadata"]
        assert new["sha256"] == sha256(after).hexdigest()
        assert new["updated_at"] > old["updated_at"]
        assert client.get(new["links"]["content"]).content == after
        assert album.ids() == [new["id"]]
        assert album.search(before)["matches"][0]["score"] < 0.9999
        assert album.search(after)["matches"][0]["score"] == pytest.approx(1.0, abs=1e-3)

    def test_the_same_bytes_under_two_keys_are_two_pictures(self, client: httpx.Client, album: Album) -> None:
        content, keys = album.picture(), [f"{album.mark}/sku-a", f"{album.mark}/sku-b"]
        a, b = (put(album, key, content, metadata=album.metadata(sku=key)).json() for key in keys)
        assert a["id"] != b["id"]
        assert (a["metadata"]["sku"], b["metadata"]["sku"]) == tuple(keys)
        assert (a["objects"], a["width"], a["media_type"]) == (b["objects"], b["width"], b["media_type"])
        assert set(ids_of(album.search(content))) == {a["id"], b["id"]}

        assert client.delete("/v1/images/by-key", params={"key": keys[1]}).status_code == 204

        assert by_key(client, keys[0]).json() == a
        assert client.get(a["links"]["content"]).content == content
        assert client.get(a["links"]["thumbnail"]).status_code == 200
        assert ids_of(album.search(content)) == [a["id"]]
        assert_problem(by_key(client, keys[1]), 404, "image_not_found", says=keys[1])
        assert client.delete(a["links"]["self"]).status_code == 204
        assert client.get(a["links"]["content"]).status_code == 404

    def test_a_picture_without_a_key_is_another_one(self, client: httpx.Client, album: Album) -> None:
        content = album.picture()
        named, unnamed = put(album, f"{album.mark}/a", content).json(), put(album, None, content).json()
        assert named["id"] != unnamed["id"]
        assert unnamed["key"] is None
        client.delete(unnamed["links"]["self"])
        assert client.get(named["links"]["content"]).content == content

    def test_a_picture_without_a_key_can_be_adopted(self, client: httpx.Client, album: Album) -> None:
        content, key = album.picture(), f"{album.mark}/a"
        unnamed = put(album, None, content, metadata=album.metadata(brand="acme")).json()

        response = client.post("/v1/images", files={"file": ("a.png", content)}, data={"key": key, "adopt": "true"})

        named = response.json()
        assert (response.status_code, response.headers["x-outcome"]) == (200, "exists")
        assert (named["key"], named["created_at"]) == (key, unnamed["created_at"])
        assert named["metadata"] == unnamed["metadata"]
        assert album.ids() == [named["id"]]
        assert_problem(client.get(unnamed["links"]["self"]), 404, "image_not_found")
        assert client.get(named["links"]["content"]).content == content

    @pytest.mark.parametrize("same", [True, False])
    def test_what_to_do_where_a_picture_is_there(self, client: httpx.Client, album: Album, same: bool) -> None:
        key, content = f"{album.mark}/a", album.picture()
        image = put(album, key, content).json()
        other = content if same else album.picture()

        kept = put(album, key, other, if_exists="keep", metadata=album.metadata(brand="new"), source="new")
        assert (kept.status_code, kept.headers["x-outcome"], kept.json()) == (200, "exists", image)
        assert_problem(put(album, key, other, if_exists="fail"), 409, "image_exists", says=key)
        assert by_key(client, key).json() == image
        assert put(album, f"{key}/new", other, if_exists="fail").status_code == 201

    def test_without_a_key_it_speaks_of_the_bytes(self, album: Album) -> None:
        content = album.picture()
        image = put(album, None, content, if_exists="fail").json()
        assert_problem(put(album, None, content, if_exists="fail"), 409, "image_exists", says=image["id"])
        assert put(album, None, content, if_exists="keep").json() == image

    @pytest.mark.parametrize(
        "name",
        ["../../etc/passwd", "/at/both/ends/", 'quo"ted', "emoji 🧢", "a b", "%2F", "ends in .", "ö", "\\", "?&=#"],
    )
    def test_a_key_is_text(self, client: httpx.Client, album: Album, name: str) -> None:
        key = f"{album.mark}{name}"
        image = put(album, key, album.picture()).json()
        assert image["key"] == key
        assert by_key(client, key).json() == image
        assert client.patch("/v1/images/by-key", params={"key": key}, json={"metadata": {"a": 1}}).status_code == 200
        assert client.delete("/v1/images/by-key", params={"key": key}).status_code == 204

    @settings(max_examples=25, deadline=None, suppress_health_check=UNFIT)
    @given(name=st.text(st.characters(exclude_categories=("Cs",)), max_size=40))
    def test_any_text_is_a_key_or_refused(self, client: httpx.Client, album: Album, name: str) -> None:
        key = f"{album.mark}{name}"
        answer = put(album, key, album.picture())
        if any(unicodedata.category(character) == "Cc" for character in name):
            assert_invalid(answer, "key", says="control character")
            return
        image = answer.json()
        assert image["key"] == unicodedata.normalize("NFC", key)
        assert by_key(client, key).json()["id"] == image["id"]
        listed = client.get("/v1/images", params={"filter": json.dumps({"all": [{"field": "key", "prefix": key}]})})
        assert image["id"] in {item["id"] for item in listed.json()["items"]}

    def test_keys_are_compared_in_normal_form_c(self, client: httpx.Client, album: Album) -> None:
        decomposed = unicodedata.normalize("NFD", f"{album.mark}/Bücher")
        image = put(album, decomposed, album.picture()).json()
        assert image["key"] == unicodedata.normalize("NFC", decomposed) != decomposed
        assert by_key(client, decomposed).json() == by_key(client, image["key"]).json() == image

    @pytest.mark.parametrize(
        ("key", "says"),
        [("", "empty"), ("k" * 2049, "2,049"), ("ü" * 1025, "2,050"), ("a\nb", "U+000A"), ("a\x7fb", "U+007F")],
        ids=["empty", "long", "long in bytes", "line", "delete"],
    )
    def test_what_is_no_key_is_refused(self, client: httpx.Client, album: Album, key: str, says: str) -> None:
        assert_invalid(put(album, key, album.picture()), "key", says=re.escape(says))
        assert_invalid(by_key(client, key), "key", says=re.escape(says))
        assert album.ids() == []

    def test_the_longest_key(self, client: httpx.Client, album: Album) -> None:
        key = album.mark + "ü" * ((2048 - len(album.mark)) // 2)
        assert by_key(client, put(album, key, album.picture()).json()["key"]).status_code == 200

    def test_a_long_source_is_refused(self, album: Album) -> None:
        assert_invalid(put(album, None, album.picture(), source="s" * 2049), "source", says="2,049")

    def test_changing_by_key(self, client: httpx.Client, album: Album) -> None:
        key = f"{album.mark}/a"
        image = put(album, key, album.picture()).json()
        changed = client.patch("/v1/images/by-key", params={"key": key}, json={"metadata": {"brand": "acme"}}).json()
        assert changed["metadata"] == {**image["metadata"], "brand": "acme"}
        assert changed["updated_at"] > image["updated_at"]
        missing = client.patch("/v1/images/by-key", params={"key": f"{key}/b"}, json={"metadata": {}})
        assert_problem(missing, 404, "image_not_found", says=f"{key}/b")

    def test_changing_many_by_key(self, client: httpx.Client, album: Album) -> None:
        key = f"{album.mark}/a"
        image, unnamed = put(album, key, album.picture()).json(), album.add()
        items = [
            {"key": key, "metadata": {"price": 1}},
            {"id": unnamed["id"], "metadata": {"price": 2}},
            {"key": f"{key}/none", "metadata": {"price": 3}},
            {"key": key, "metadata": {"size": "L"}},
        ]
        body = client.post("/v1/images/metadata", json={"items": items}).json()
        assert [item["status"] for item in body["results"]] == ["updated", "updated", "failed", "updated"]
        assert [item["key"] for item in body["results"]] == [key, None, f"{key}/none", key]
        assert body["results"][2]["problem"]["code"] == "image_not_found"
        assert by_key(client, key).json()["metadata"] == {**image["metadata"], "price": 1, "size": "L"}

    def test_one_name_for_each_change(self, client: httpx.Client, album: Album) -> None:
        image = album.add()
        for names in ({}, {"id": image["id"], "key": "a"}):
            response = client.post("/v1/images/metadata", json={"items": [{**names, "metadata": {}}]})
            assert_invalid(response, "items", says="one of the two")

    def test_looking_up_many(self, client: httpx.Client, album: Album) -> None:
        keys = [f"{album.mark}/{number}" for number in range(3)]
        named = [put(album, key, album.picture()).json() for key in keys]
        unnamed, nothing = album.add(), str(UUID(int=7))
        body = {"ids": [unnamed["id"], nothing, named[0]["id"]], "keys": [*keys, "no such key"]}

        found = client.post("/v1/images/lookup", json=body).json()

        assert sorted(found["items"], key=lambda item: item["id"]) == sorted(
            [*named, unnamed], key=lambda item: item["id"]
        )
        assert found["missing"] == {"ids": [nothing], "keys": ["no such key"]}
        assert client.post("/v1/images/lookup", json={}).json() == {"items": [], "missing": {"ids": [], "keys": []}}

    def test_looking_up_too_many(self, client: httpx.Client) -> None:
        body = {"ids": [str(UUID(int=number)) for number in range(600)], "keys": [f"k{n}" for n in range(401)]}
        assert_invalid(client.post("/v1/images/lookup", json=body), "body", says="1,000")

    def test_examples_by_key(self, client: httpx.Client, album: Album) -> None:
        key, content = f"{album.mark}/a", album.picture()
        image, twin = put(album, key, content).json(), put(album, f"{key}/twin", content).json()
        body = {"positive": [{"key": key}], "filter": album.where()}
        assert ids_of(client.post("/v1/search/examples", json=body).json()) == [twin["id"]]
        both = client.post("/v1/search/examples", json={"positive": [{"key": key}], "negative": [image["id"]]})
        assert_problem(both, 422, "invalid_examples", says="at once")
        unknown = client.post("/v1/search/examples", json={"positive": [{"key": "no such key"}]})
        assert_problem(unknown, 404, "image_not_found", says="no such key")


class RenamesContract(Deployed):
    def test_a_renamed_picture_is_the_same(self, client: httpx.Client, album: Album) -> None:
        before, after, content = f"{album.mark}/before", f"{album.mark}/after", album.picture()
        image = put(album, before, content, source="s", metadata=album.metadata(brand="acme")).json()

        response = client.post("/v1/images/rename", json={"items": [{"from": before, "to": after}]})

        assert response.status_code == 207
        assert response.json() == {
            "results": [{"from": before, "to": after, "status": "renamed"}],
            "renamed": 1,
            "failed": 0,
        }
        renamed = by_key(client, after).json()
        same = ("source", "metadata", "objects", "created_at", "sha256", "filename")
        assert {name: renamed[name] for name in same} == {name: image[name] for name in same}
        assert UUID(renamed["id"]) == uuid5(KEY_NAMESPACE, after)
        assert_problem(by_key(client, before), 404, "image_not_found")
        assert client.get(renamed["links"]["content"]).content == content
        assert album.ids() == [renamed["id"]]
        assert ids_of(album.search(content)) == [renamed["id"]]

    def test_a_file_that_has_moved_has_its_new_source_and_filename(self, client: httpx.Client, album: Album) -> None:
        before, after = f"{album.mark}/before", f"{album.mark}/after"
        image = put(album, before, album.picture(), source="/a/before.jpg", metadata=album.metadata(n=1)).json()
        moved = {"from": before, "to": after, "source": "/b/after.jpg", "filename": "b/after.jpg"}

        assert client.post("/v1/images/rename", json={"items": [moved]}).json()["renamed"] == 1

        renamed = by_key(client, after).json()
        assert (renamed["source"], renamed["filename"]) == ("/b/after.jpg", "after.jpg")
        assert renamed["metadata"] == image["metadata"]
        wrong = {"from": after, "to": before, "source": "\n"}
        assert_invalid(client.post("/v1/images/rename", json={"items": [wrong]}), "source")

    def test_one_that_fails_never_fails_the_others(self, client: httpx.Client, album: Album) -> None:
        keys = [f"{album.mark}/{name}" for name in "abcd"]
        a, b, c, d = keys
        contents = {key: album.picture() for key in (a, b, c)}
        for key, content in contents.items():
            put(album, key, content)
        items = [
            {"from": a, "to": b},
            {"from": d, "to": a},
            {"from": b, "to": d},
            {"from": a, "to": b},
            {"from": c, "to": c},
        ]

        body = client.post("/v1/images/rename", json={"items": items}).json()

        assert [item["status"] for item in body["results"]] == ["failed", "failed", "renamed", "renamed", "renamed"]
        assert [item["problem"]["code"] for item in body["results"][:2]] == ["image_exists", "image_not_found"]
        assert (body["renamed"], body["failed"]) == (3, 2)
        now = {item["key"]: client.get(item["links"]["content"]).content for item in album.listed()["items"]}
        assert now == {b: contents[a], c: contents[c], d: contents[b]}

    def test_what_is_no_key_is_refused(self, client: httpx.Client) -> None:
        assert_invalid(client.post("/v1/images/rename", json={"items": [{"from": "", "to": "b"}]}), "from")
        assert_invalid(client.post("/v1/images/rename", json={"items": [{"from": "a"}]}), "to")
        assert_invalid(client.post("/v1/images/rename", json={"items": []}), "items")


class NamedBatchesContract(Deployed):
    def test_each_picture_with_its_own(self, client: httpx.Client, album: Album) -> None:
        keys = [f"{album.mark}/{number}" for number in range(4)]
        contents = [album.picture() for _ in range(3)]
        put(album, keys[1], album.picture())
        items = [
            {"key": keys[0], "source": "zero", "metadata": {"mark": album.mark, "n": 0}},
            {"key": keys[1], "metadata": {"mark": album.mark}},
            {},
            {"key": "bad\nkey"},
            {"key": keys[2], "metadata": {"nested": {}}},
            {"key": keys[0]},
            {"key": keys[3], "metadata": {"mark": album.mark}},
            {"key": keys[0]},
        ]
        pictures = [*contents, contents[0], contents[0], contents[1], contents[0], contents[0]]

        response = client.post(
            "/v1/images/batch",
            files=[("files", (f"{place}.png", content)) for place, content in enumerate(pictures)],
            data={"items": json.dumps(items)},
        )

        body = response.json()
        assert response.status_code == 207
        statuses = ["created", "replaced", "created", "failed", "failed", "failed", "created", "exists"]
        assert [item["status"] for item in body["results"]] == statuses
        assert [item["key"] for item in body["results"]] == [item.get("key") for item in items]
        codes = [body["results"][place]["problem"]["code"] for place in (3, 4, 5)]
        assert codes == ["invalid_key", "invalid_metadata", "key_repeated"]
        assert (body["created"], body["replaced"], body["existed"], body["failed"]) == (3, 1, 1, 3)
        assert body["results"][0]["image"]["source"] == "zero"
        assert body["results"][2]["image"]["key"] is None
        assert client.get(body["results"][0]["image"]["links"]["self"]).json() == body["results"][0]["image"]

    def test_a_broken_picture_keeps_its_name(self, client: httpx.Client, album: Album) -> None:
        items = json.dumps([{"key": f"{album.mark}/a"}])
        files = [("files", ("a.jpg", a_truncated_photo()))]
        [result] = client.post("/v1/images/batch", files=files, data={"items": items}).json()["results"]
        assert (result["key"], result["status"]) == (f"{album.mark}/a", "failed")

    @pytest.mark.parametrize(
        ("form", "says"),
        [
            ({"items": "[{}]"}, "1 elements for 2 files"),
            ({"items": "{}"}, "array"),
            ({"items": '[{}, {"name": 1}]'}, "[1].name"),
            ({"items": '[{}, {"key": 1}]'}, "[1].key"),
            ({"items": "[{}, {}]", "metadata": "{}"}, "one of the two"),
        ],
    )
    def test_items_that_do_not_fit_are_refused(
        self, client: httpx.Client, album: Album, form: dict[str, str], says: str
    ) -> None:
        files = [("files", (f"{number}.png", album.picture())) for number in range(2)]
        assert_problem(client.post("/v1/images/batch", files=files, data=form), 422, says=re.escape(says))
