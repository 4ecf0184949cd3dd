"""POST and GET of single images."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4, uuid5

import httpx
import pytest
from PIL import Image

from domain.images import CONTENT_NAMESPACE
from tests.contracts.api.conformance import assert_invalid, assert_problem
from tests.contracts.api.deployed import Album, Deployed
from tests.pictures import a_photo, a_picture, a_turned_photo, encoded

FORMATS = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
}

BAD_METADATA = {
    "no JSON": "{brand: acme}",
    "no object": '["acme"]',
    "a bare string": '"acme"',
    "null inside": '{"brand": null}',
    "an object inside": '{"brand": {"name": "acme"}}',
    "numbers in an array": '{"sizes": [1, 2]}',
    "NaN": '{"price": NaN}',
    "beyond doubles": '{"price": 1e999}',
    "an inexact integer": '{"price": 9007199254740993}',
    "an enormous integer": '{"price": 1' + "0" * 400 + "}",
    "65 keys": json.dumps({f"key{number}": number for number in range(65)}),
    "more than 16 KiB": json.dumps({"text": "x" * 16 * 1024}),
    "an empty key": '{"": "acme"}',
    "half a character": '{"brand": "\\ud800"}',
    "too deep": '{"a":' * 5000 + "1" + "}" * 5000,
}


class ImagesContract(Deployed):
    def test_a_new_picture_is_created(self, client: httpx.Client, album: Album) -> None:
        content = album.picture(width=200, height=90)
        response = album.post(content, "hat.png", brand="acme")

        assert response.status_code == 201
        image = response.json()
        sha256 = hashlib.sha256(content).hexdigest()
        assert UUID(image["id"]) == uuid5(CONTENT_NAMESPACE, sha256)
        assert {key: image[key] for key in ("filename", "media_type", "width", "height", "size_bytes", "sha256")} == {
            "filename": "hat.png",
            "media_type": "image/png",
            "width": 200,
            "height": 90,
            "size_bytes": len(content),
            "sha256": sha256,
        }
        assert image["metadata"] == {"mark": album.mark, "brand": "acme"}
        assert isinstance(image["objects"], list)
        created_at = datetime.fromisoformat(image["created_at"])
        assert created_at.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - created_at) < timedelta(minutes=2)
        assert response.headers["location"] == image["links"]["self"] == f"/v1/images/{image['id']}"
        assert client.get(response.headers["location"]).json() == image
        for name in ("content", "thumbnail", "similar"):
            assert client.get(image["links"][name]).status_code == 200

    def test_sending_it_again_replaces_only_the_metadata(self, client: httpx.Client, album: Album) -> None:
        content = album.picture()
        first = album.add(content, "first.png", brand="acme", price=10)

        again = album.post(content, "second.jpg", colour="red")

        assert again.status_code == 200
        assert "location" not in again.headers
        changed = {"metadata": {"mark": album.mark, "colour": "red"}, "updated_at": again.json()["updated_at"]}
        assert again.json() == {**first, **changed}
        assert again.json()["updated_at"] > first["updated_at"]
        assert client.get(f"/v1/images/{first['id']}").json() == again.json()
        assert album.listed()["total"] == 1

    def test_sending_it_again_without_metadata_changes_nothing(self, client: httpx.Client, album: Album) -> None:
        content = album.picture()
        first = album.add(content, brand="acme")

        again = client.post("/v1/images", files={"file": ("other.png", content)})

        assert (again.status_code, again.json()) == (200, first)

    def test_sending_it_again_with_empty_metadata_empties_it(self, client: httpx.Client, album: Album) -> None:
        content = album.picture()
        album.add(content, brand="acme")

        again = client.post("/v1/images", files={"file": ("x.png", content)}, data={"metadata": "{}"})

        assert (again.status_code, again.json()["metadata"]) == (200, {})

    def test_sent_by_many_at_once_it_is_created_once(self, album: Album) -> None:
        content = album.picture()
        with ThreadPoolExecutor(8) as threads:
            responses = list(threads.map(lambda number: album.post(content, f"{number}.png"), range(8)))

        assert sorted(response.status_code for response in responses) == [200] * 7 + [201]
        assert len({response.json()["id"] for response in responses}) == 1
        assert len({response.json()["filename"] for response in responses}) == 1
        assert album.listed()["total"] == 1

    def test_a_picture_of_one_pixel_is_taken(self, album: Album) -> None:
        content = encoded(Image.new("RGB", (1, 1), "teal"))
        image = album.add(content)
        assert (image["width"], image["height"]) == (1, 1)
        assert album.search(content)["matches"][0]["image"] == image

    def test_metadata_comes_back_as_it_went(self, client: httpx.Client, album: Album) -> None:
        metadata = {
            "text": 'ä "quoted" \u2028 🧥',
            "empty": "",
            "integer": 9007199254740991,
            "negative": -5,
            "float": 0.1,
            "true": True,
            "false": False,
            "array": ["a", "", "ä"],
            "no array": [],
            "a.dotted[key]": "x",
            "日本": "y",
        }
        image = album.add(**metadata)
        assert image["metadata"] == {"mark": album.mark, **metadata}
        stored = client.get(f"/v1/images/{image['id']}").json()["metadata"]
        assert stored == image["metadata"]
        assert {key: type(value) for key, value in stored.items()} == {
            key: type(value) for key, value in image["metadata"].items()
        }

    def test_metadata_at_its_limits_is_taken(self, album: Album) -> None:
        album.add(**{f"key{number}": number for number in range(63)})
        album.add(text="x" * (16 * 1024 - len(album.metadata(text="")) - 8))

    @pytest.mark.parametrize("path", ["", "/content", "/thumbnail", "/similar"])
    def test_an_unknown_image_is_not_found(self, client: httpx.Client, path: str) -> None:
        id_ = str(uuid4())
        assert_problem(client.get(f"/v1/images/{id_}{path}"), 404, "image_not_found", says=id_)

    def test_without_objects_there_are_no_labels(self, client: httpx.Client, album: Album) -> None:
        body = {"fields": ["labels", "media_type"], "filter": json.loads(album.filter())}
        response = client.post("/v1/facets", json=body)
        assert (response.status_code, response.json()) == (200, {"facets": {"labels": [], "media_type": []}})


class ImageRequestsContract(Deployed):
    def test_width_and_height_are_of_the_upright_picture(self, album: Album) -> None:
        image = album.add(a_turned_photo(1), "turned.jpg")
        assert (image["width"], image["height"]) == (120, 160)

    @pytest.mark.parametrize("format_", FORMATS)
    def test_every_format_is_told_by_its_content(self, client: httpx.Client, album: Album, format_: str) -> None:
        content = album.picture(format_=format_)
        response = client.post("/v1/images", files={"file": ("lies.exe", content, "text/html")})

        assert response.status_code == 201, response.text
        assert response.json()["media_type"] == FORMATS[format_]
        assert client.get(response.json()["links"]["content"]).headers["content-type"] == FORMATS[format_]

    def test_a_photo_from_a_camera_is_taken(self, album: Album) -> None:
        image = album.add(a_photo("hat-02.jpg"), "hat-02.jpg")
        assert image["media_type"] == "image/jpeg"

    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            ("Größe 大 🧥.png", "Größe 大 🧥.png"),
            ("../../etc/passwd", "passwd"),
            ("C:\\pictures\\hat.png", "hat.png"),
            ("n" * 400 + ".png", "n" * 255),
        ],
    )
    def test_names_are_only_names(self, album: Album, sent: str, kept: str) -> None:
        assert album.add(filename=sent)["filename"] == kept

    @pytest.mark.parametrize("metadata", BAD_METADATA.values(), ids=BAD_METADATA.keys())
    def test_bad_metadata_is_refused_and_nothing_is_stored(
        self, client: httpx.Client, album: Album, metadata: str
    ) -> None:
        before = client.get("/v1/images").json()["total"]
        response = client.post("/v1/images", files={"file": album.picture()}, data={"metadata": metadata})
        assert_invalid(response, "metadata")
        assert client.get("/v1/images").json()["total"] == before

    def test_what_is_unknown_is_refused(self, client: httpx.Client, album: Album) -> None:
        files = {"file": album.picture()}
        assert_invalid(client.post("/v1/images", files=files, data={"colour": "red"}), "colour")
        assert_invalid(client.post("/v1/images?colour=red", files=files), "colour")
        assert_invalid(client.post("/v1/images", files={**files, "other": album.picture()}), "other")
        assert_invalid(client.get(f"/v1/images/{uuid4()}?colour=red"), "colour")
        assert_invalid(client.delete(f"/v1/images/{uuid4()}?colour=red"), "colour")

    def test_a_picture_must_be_sent_as_a_file(self, client: httpx.Client) -> None:
        assert_invalid(client.post("/v1/images", files={"metadata": (None, "{}")}), "file")
        assert_invalid(client.post("/v1/images", data={"file": "hat.png"}), "file")
        assert_invalid(client.post("/v1/images"), "file")
        assert_invalid(client.post("/v1/images", content=a_picture(0), headers={"content-type": "image/png"}), "file")

    @pytest.mark.parametrize("path", ["", "/content", "/thumbnail", "/similar"])
    def test_what_is_no_id_is_not_found_either(self, client: httpx.Client, path: str) -> None:
        assert_problem(client.get(f"/v1/images/hat-01.jpg{path}"), 404)
