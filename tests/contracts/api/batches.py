"""POST /v1/images/batch."""

import json

import httpx
import pytest

from tests.contracts.api.conformance import assert_invalid, assert_problem
from tests.contracts.api.deployed import MAX_FILES, MAX_UPLOAD, Album, Deployed
from tests.pictures import a_bomb, a_truncated_photo


class BatchesContract(Deployed):
    def test_one_bad_picture_never_fails_the_others(self, client: httpx.Client, album: Album) -> None:
        good, better, best = album.picture(), album.picture(), album.picture()
        present = album.add(filename="present.png")
        there = client.get(present["links"]["content"]).content
        sent = [
            ("good.png", good, "created", None),
            ("truncated.jpg", a_truncated_photo(), "failed", (422, "image_unreadable")),
            ("notes.jpg", b"no picture at all", "failed", (415, "unsupported_image_format")),
            ("there.png", there, "exists", None),
            ("large.png", good + b"\0" * MAX_UPLOAD, "failed", (413, "body_too_large")),
            ("better.png", better, "created", None),
            ("again.png", good, "exists", None),
            ("empty.png", b"", "failed", (415, "unsupported_image_format")),
            ("bomb.png", a_bomb(), "failed", (413, "image_too_large")),
            ("best.png", best, "created", None),
        ]

        response = album.batch(*((name, content) for name, content, *_ in sent))

        assert response.status_code == 207
        body = response.json()
        assert (body["created"], body["existed"], body["failed"]) == (3, 2, 5)
        assert len(body["results"]) == len(sent)
        for item, (name, _, status, failure) in zip(body["results"], sent, strict=True):
            assert (item["filename"], item["status"]) == (name, status)
            if failure is None:
                assert item.get("problem") is None
                assert client.get(item["image"]["links"]["self"]).json() == item["image"]
            else:
                assert item.get("image") is None
                problem = item["problem"]
                assert (problem["status"], problem["code"]) == failure
                assert problem["request_id"] == response.headers["x-request-id"]
                assert {"type", "title", "detail", "instance"} <= problem.keys()
        results = {item["filename"]: item for item in body["results"]}
        assert results["again.png"]["image"] == results["good.png"]["image"]
        assert results["there.png"]["image"] == present
        assert sorted(album.ids()) == sorted(
            [present["id"], *(results[name]["image"]["id"] for name in ("good.png", "better.png", "best.png"))]
        )
        assert album.search(better)["matches"][0]["image"]["id"] == results["better.png"]["image"]["id"]

    def test_sending_it_again_changes_nothing(self, album: Album) -> None:
        files = [(f"{number}.png", album.picture()) for number in range(3)]
        first = album.batch(*files).json()

        again = album.batch(*((f"other-{name}", content) for name, content in files)).json()

        assert (again["created"], again["existed"], again["failed"]) == (0, 3, 0)
        assert [item["image"] for item in again["results"]] == [item["image"] for item in first["results"]]

    def test_a_large_batch_answers_in_the_order_sent(self, album: Album) -> None:
        pictures = [album.picture() for _ in range(MAX_FILES - 2)]
        files = [(f"{number}.png", content) for number, content in enumerate([*pictures, pictures[0], pictures[20]])]

        body = album.batch(*files).json()

        assert (body["created"], body["existed"], body["failed"]) == (len(pictures), 2, 0)
        assert [item["filename"] for item in body["results"]] == [name for name, _ in files]
        assert set(album.ids()) == {item["image"]["id"] for item in body["results"]}

    def test_metadata_for_all(self, album: Album) -> None:
        body = album.batch(
            ("a.png", album.picture()), ("b.png", album.picture()), metadata=album.metadata(brand="acme")
        ).json()
        assert [item["image"]["metadata"] for item in body["results"]] == [{"mark": album.mark, "brand": "acme"}] * 2

    def test_metadata_by_filename(self, client: httpx.Client, album: Album) -> None:
        known = album.picture()
        album.add(known, old="yes")
        metadata = {"a.png": {"brand": "acme"}, "known.png": {}}

        body = album.batch(
            ("a.png", album.picture()),
            ("b.png", album.picture()),
            ("known.png", known),
            metadata=json.dumps(metadata),
        ).json()

        assert [item["image"]["metadata"] for item in body["results"]] == [{"brand": "acme"}, {}, {}]
        for item in body["results"]:
            client.delete(item["image"]["links"]["self"])

    def test_without_metadata_what_is_stored_stays(self, client: httpx.Client, album: Album) -> None:
        content = album.picture()
        known = album.add(content, brand="acme")
        response = client.post("/v1/images/batch", files=[("files", ("a.png", content))])
        assert response.json()["results"][0]["image"] == known


class BatchRequestsContract(Deployed):
    @pytest.mark.parametrize(
        "metadata",
        [
            '{"a.png": {"brand": "acme"}, "brand": "acme"}',
            '{"a.png": {"brand": {"name": "acme"}}}',
            '{"a.png": {"brand": null}}',
            '{"a.png": {"brand": "acme"}, "A.png": {"brand": "nobody\'s"}}',
            "[]",
            "brand=acme",
        ],
        ids=["not every value an object", "nested", "null", "no such file", "no object", "no JSON"],
    )
    def test_bad_metadata_refuses_the_whole(self, album: Album, metadata: str) -> None:
        assert_problem(album.batch(("a.png", album.picture()), metadata=metadata), 422)
        assert album.ids() == []

    def test_too_many_files_are_refused(self, album: Album) -> None:
        files = [(f"{number}.png", b"") for number in range(MAX_FILES + 1)]
        assert_problem(album.batch(*files), 413, "body_too_large", says=str(MAX_FILES))

    def test_no_file_or_an_unknown_field_is_refused(self, client: httpx.Client, album: Album) -> None:
        assert_invalid(client.post("/v1/images/batch", files={"metadata": (None, "{}")}), "files")
        files = {"files": album.picture()}
        assert_invalid(client.post("/v1/images/batch", files=files, data={"colour": "red"}), "colour")
        assert_invalid(client.post("/v1/images/batch?colour=red", files=files), "colour")
