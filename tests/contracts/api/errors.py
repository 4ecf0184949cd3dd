"""What is wrong with a request, and how that is said."""

import json
import re
from uuid import uuid4

import httpx
import pytest

from tests.contracts.api.conformance import assert_invalid, assert_problem
from tests.contracts.api.deployed import Album, Deployed
from tests.pictures import a_photo, a_picture, a_truncated_photo
from tests.unit.adapters.decoding.tiffs import CFA, PHOTOMETRY, SHORT, make, page, reduced, tiff_of

PICTURE_OPERATIONS = ["/v1/images", "/v1/search", "/v1/embeddings", "/v1/detections"]

METHODS = ["GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"]


class ErrorsContract(Deployed):
    @pytest.mark.parametrize(
        "path", ["/v2/images", "/v1", "/v1/image", "/v1/images/", "/v1/images/a/b/c", "/favicon.x"]
    )
    def test_no_such_route(self, client: httpx.Client, path: str) -> None:
        assert_problem(client.get(path), 404, "not_found")

    def test_every_wrong_method_names_the_right_ones(self, client: httpx.Client, document: dict) -> None:
        for template, operations in document["paths"].items():
            path = template.replace("{id}", str(uuid4()))
            right = {method.upper() for method in operations} & set(METHODS)
            for method in set(METHODS) - right:
                response = client.request(method, path)
                problem = assert_problem(response, 405, "method_not_allowed", says=method)
                allowed = set(re.split(r"\s*,\s*", response.headers["allow"]))
                assert allowed - {"HEAD"} == right, f"{method} {path}"
                assert all(name in problem["detail"] for name in right)

    @pytest.mark.parametrize("path", ["/v1/images/delete", "/v1/search/examples"])
    @pytest.mark.parametrize("body", ["", "{", '{"positive": [}', "positive=1", '{"a": "\\x"}', b'{"a": "\xff\xfe"}'])
    def test_malformed_json(self, client: httpx.Client, path: str, body: str | bytes) -> None:
        response = client.post(path, content=body, headers={"content-type": "application/json"})
        assert_problem(response, 422 if body == "" else 400)

    def test_json_of_another_type_is_not_taken(self, client: httpx.Client) -> None:
        body = json.dumps({"positive": [str(uuid4())]})
        response = client.post("/v1/search/examples", content=body, headers={"content-type": "text/plain"})
        assert response.status_code in {415, 422}
        assert_problem(response, response.status_code)

    @pytest.mark.parametrize("name", ["limit", "filter", "score_threshold"])
    def test_what_takes_one_value_is_refused_when_it_comes_twice(self, client: httpx.Client, name: str) -> None:
        twice = {"limit": "1", "filter": "{}", "score_threshold": "0"}[name]
        response = client.post("/v1/search", files={"file": a_photo()}, data={name: [twice, twice]})
        assert_invalid(response, name)
        assert_invalid(client.get("/v1/images?limit=1&limit=2"), "limit")

    def test_two_pictures_where_one_is_taken_are_refused(self, client: httpx.Client) -> None:
        files = [("file", ("a.jpg", a_photo())), ("file", ("b.jpg", a_photo()))]
        assert_invalid(client.post("/v1/images", files=files), "file")

    def test_empty_form_fields_were_not_filled_in(self, client: httpx.Client) -> None:
        empty = {"filter": "", "region": "", "score_threshold": ""}
        response = client.post("/v1/search", files={"file": a_photo()}, data=empty)
        assert (response.status_code, response.json()["query"]["regions"]) == (200, [])

    def test_text_that_is_no_text_is_refused(self, client: httpx.Client, album: Album) -> None:
        lone = '{"\\ud800": 1}'
        header = {"content-type": "application/json"}
        assert_problem(client.post("/v1/search/examples", content=lone, headers=header), 422)
        path = f"/v1/images/{album.add()['id']}"
        for patch in ('{"metadata": {"\\ud800": 1}}', '{"metadata": {"a": "\\ud800"}}', lone):
            assert_problem(client.patch(path, content=patch, headers=header), 422)
        where = '{"filter": {"all": [{"field": "metadata.\\ud800", "eq": "\\ud800"}]}}'
        assert_problem(client.post("/v1/images/delete", content=where, headers=header), 422)

    @pytest.mark.parametrize("path", PICTURE_OPERATIONS)
    @pytest.mark.parametrize(
        ("content", "filename", "declared"),
        [
            (b"", "hat.jpg", "image/jpeg"),
            (b"just text", "hat.jpg", "image/jpeg"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "hat.png", "image/png"),
            (b"<!doctype html><img src=hat.jpg>", "hat.jpg", "image/jpeg"),
            (b"%PDF-1.7\n", "hat.jpg", "image/jpeg"),
            (b"\x00" * 4096, "hat.gif", "image/gif"),
        ],
        ids=["nothing", "text", "SVG", "HTML", "PDF", "zeros"],
    )
    def test_what_is_no_picture_is_told_by_its_content(
        self, client: httpx.Client, path: str, content: bytes, filename: str, declared: str
    ) -> None:
        response = client.post(path, files={"file": (filename, content, declared)})
        assert_problem(response, 415, "unsupported_image_format")

    @pytest.mark.parametrize("path", PICTURE_OPERATIONS)
    def test_camera_raw_has_a_code_of_its_own(self, client: httpx.Client, path: str) -> None:
        nef = tiff_of(
            reduced(80, more=make("NIKON CORPORATION"), children=[page(0, more={PHOTOMETRY: (SHORT, [CFA])})])
        )
        response = client.post(path, files={"file": ("hat.nef", nef, "image/tiff")})
        assert_problem(response, 415, "camera_raw", says="Nikon NEF")

    @pytest.mark.parametrize("path", PICTURE_OPERATIONS)
    @pytest.mark.parametrize(
        ("filename", "declared"), [("hat.txt", "text/plain"), ("hat.gif", "image/gif"), ("hat", "application/pdf")]
    )
    def test_names_and_declared_types_do_not_matter(
        self, client: httpx.Client, album: Album, path: str, filename: str, declared: str
    ) -> None:
        response = client.post(path, files={"file": (filename, album.picture(), declared)})
        assert response.status_code in {200, 201}

    @pytest.mark.parametrize("path", PICTURE_OPERATIONS)
    def test_a_picture_that_cannot_be_decoded(self, client: httpx.Client, path: str) -> None:
        png = a_picture(1)
        for content in (a_truncated_photo(), a_photo()[:200], png[: len(png) // 2], png[:60]):
            assert_problem(client.post(path, files={"file": content}), 422, "image_unreadable")

    def test_what_fails_is_not_stored(self, client: httpx.Client, album: Album) -> None:
        for content in (b"", b"text", a_truncated_photo()):
            assert album.post(content).status_code >= 400
        assert album.ids() == []

    def test_all_that_is_wrong_is_said_at_once(self, client: httpx.Client) -> None:
        response = client.get("/v1/images", params={"limit": "0", "cursor": "x", "colour": "red"})
        for name in ("limit", "cursor", "colour"):
            assert_invalid(response, name)

    @pytest.mark.parametrize("given", ["abc-123", "a" * 128, "A.b_c:d-1"])
    def test_a_valid_request_id_is_kept(self, client: httpx.Client, given: str) -> None:
        for path in ("/health/live", "/v1/images", "/nowhere", "/v1/images?limit=0", "/docs"):
            assert client.get(path, headers={"x-request-id": given}).headers["x-request-id"] == given

    @pytest.mark.parametrize("given", [None, "", "a b", "a" * 1000, "<script>", b"\xff\xfe", "a;b", "a\tb"])
    def test_any_other_is_replaced(self, client: httpx.Client, given: str | bytes | None) -> None:
        headers = {} if given is None else {"x-request-id": given}
        ids = set()
        for path in ("/health/live", "/nowhere"):
            found = client.get(path, headers=headers).headers["x-request-id"]
            assert re.fullmatch(r"[A-Za-z0-9._:-]{8,128}", found)
            ids.add(found)
        assert len(ids) == 2

    @pytest.mark.parametrize("path", PICTURE_OPERATIONS)
    def test_work_whose_deadline_has_passed_is_dropped(self, client: httpx.Client, album: Album, path: str) -> None:
        before = client.get("/v1/images").json()["total"]
        response = client.post(path, files={"file": album.picture()}, headers={"x-request-deadline-ms": "0"})
        assert_problem(response, 504, "deadline_passed")
        assert client.get("/v1/images").json()["total"] == before

    def test_reads_keep_to_the_deadline_too(self, client: httpx.Client, album: Album) -> None:
        image = album.add()
        for path in ("/v1/images", image["links"]["self"], image["links"]["similar"]):
            response = client.get(path, headers={"x-request-deadline-ms": "0"})
            assert_problem(response, 504, "deadline_passed")

    def test_a_deadline_far_off_does_no_harm(self, client: httpx.Client, album: Album) -> None:
        response = client.post(
            "/v1/images",
            files={"file": album.picture()},
            headers={"x-request-deadline-ms": "60000"},
        )
        assert response.status_code == 201

    @pytest.mark.parametrize("given", ["soon", "-1", "1.5", "", "9" * 30])
    def test_what_is_no_deadline_is_refused(self, client: httpx.Client, given: str) -> None:
        assert_problem(client.get("/v1/images", headers={"x-request-deadline-ms": given}), 422, "validation_failed")

    def test_the_way_in_is_a_page(self, client: httpx.Client) -> None:
        response = client.get("/", follow_redirects=True)
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/html")
