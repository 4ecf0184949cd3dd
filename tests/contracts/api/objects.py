"""Detections, and the objects of indexed pictures: their labels, and searches by them."""

import json
from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from domain.geometry import BoundingBox
from tests.contracts.api.conformance import assert_invalid, assert_problem
from tests.contracts.api.deployed import Album, Deployed, ids_of, scores_of
from tests.photos import SEEN, picture
from tests.pictures import encoded

Box = Mapping[str, float]
Images = Mapping[str, dict[str, Any]]


def file_of(name: str) -> bytes:
    return encoded(picture(name), format_="JPEG", quality=92)


def cat_and_cup() -> Image.Image:
    """A cat on the left, a cup on the right."""
    both = Image.new("RGB", (1000, 400), (120, 130, 125))
    both.paste(picture("chelsea"), (10, 50))
    both.paste(picture("coffee").crop((100, 0, 500, 300)), (560, 50))
    return both


def text(box: Box) -> str:
    return ",".join(str(box[side]) for side in ("x_min", "y_min", "x_max", "y_max"))


def overlap(box: Box, other: BoundingBox) -> float:
    """Intersection over union."""
    across = min(box["x_max"], other.x_max) - max(box["x_min"], other.x_min)
    down = min(box["y_max"], other.y_max) - max(box["y_min"], other.y_min)
    shared = max(across, 0) * max(down, 0)
    area = (box["x_max"] - box["x_min"]) * (box["y_max"] - box["y_min"])
    return shared / (area + other.width * other.height - shared)


def labels(client: httpx.Client, where: str | None = None, **options: Any) -> list[dict[str, Any]]:
    """Detected labels with how many images show each."""
    body = {"fields": ["labels"], "filter": where and json.loads(where), **options}
    found: list[dict[str, Any]] = client.post("/v1/facets", json=body).json()["facets"]["labels"]
    return found


class ObjectsContract(Deployed):
    @pytest.fixture(scope="class")
    @classmethod
    def gallery(cls, client: httpx.Client) -> tuple[Album, Images]:
        """Photos of things that the detector knows, and their records by name."""
        album = Album(client, iter(()))
        images = {name: album.add(file_of(name), f"{name}.jpg") for name in SEEN}
        images["both"] = album.add(encoded(cat_and_cup()), "both.png")
        return album, images

    def detect(self, client: httpx.Client, content: bytes, **form: Any) -> dict[str, Any]:
        response = client.post("/v1/detections", files={"file": content}, data=form)
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    @pytest.mark.parametrize("name", SEEN)
    def test_what_people_see_is_named(self, client: httpx.Client, name: str) -> None:
        found = self.detect(client, file_of(name))
        label, box = SEEN[name]
        best = found["detections"][0]
        assert best["label"] == label
        assert overlap(best["box"], box) > 0.7
        assert found["image"] == dict(zip(("width", "height"), picture(name).size, strict=True))
        assert found["model"] == client.get("/v1/models").json()["detector"]["model"]
        scores = [each["score"] for each in found["detections"]]
        assert scores == sorted(scores, reverse=True)
        assert all(0.3 <= score <= 1 for score in scores)

    def test_boxes_speak_of_the_upright_picture(self, client: httpx.Client) -> None:
        upright, exif = picture("coffee"), Image.Exif()
        exif[0x0112] = 8
        lying = encoded(upright.rotate(-90, expand=True), exif=exif)
        one, other = self.detect(client, encoded(upright)), self.detect(client, lying)
        assert one["image"] == other["image"] == {"width": 600, "height": 400}
        assert len(one["detections"]) > 1
        for found, twin in zip(one["detections"], other["detections"], strict=True):
            assert found["label"] == twin["label"]
            assert found["score"] == pytest.approx(twin["score"], abs=0.02)
            assert list(found["box"].values()) == pytest.approx(list(twin["box"].values()), abs=2)

    def test_thresholds_labels_and_a_limit_narrow_them(self, client: httpx.Client) -> None:
        content = encoded(cat_and_cup())
        everything = self.detect(client, content, score_threshold="0", max_detections="300")["detections"]
        assert len(everything) > len(self.detect(client, content)["detections"]) >= 2
        assert {"cat", "cup"} <= {each["label"] for each in everything}

        certain = self.detect(client, content, score_threshold="0.5", max_detections="300")["detections"]
        assert certain == [each for each in everything if each["score"] >= 0.5]
        assert len(self.detect(client, content, score_threshold="0", max_detections="2")["detections"]) == 2
        for labels in (["cat"], ["cat", "cup"]):
            kept = self.detect(client, content, labels=labels)["detections"]
            assert {each["label"] for each in kept} == set(labels)
        assert self.detect(client, content, labels=["giraffe"])["detections"] == []

    def test_a_picture_of_nothing_has_no_detection(self, client: httpx.Client) -> None:
        plain = encoded(Image.new("RGB", (320, 240), (90, 120, 150)))
        assert self.detect(client, plain)["detections"] == []

    def test_nothing_detected_is_stored(self, client: httpx.Client) -> None:
        before = client.get("/v1/images").json()["total"], labels(client)
        self.detect(client, encoded(picture("rocket")))
        assert (client.get("/v1/images").json()["total"], labels(client)) == before

    def test_the_detector_is_told(self, client: httpx.Client, gallery: tuple[Album, Images]) -> None:
        body = client.get("/v1/models").json()
        detector = body["detector"]
        assert detector["model"] == "ssd_mobilenet_v2_coco"
        assert (detector["runtime"], detector["device"]) == ("openvino", "cpu")
        assert len(bytes.fromhex(detector["weights_digest"])) == 32
        assert detector["input_size"] == {"width": 300, "height": 300}
        assert body["repository"]["objects"] >= sum(len(image["objects"]) for image in gallery[1].values())

    def test_indexing_keeps_what_is_detected(self, client: httpx.Client, gallery: tuple[Album, Images]) -> None:
        _, images = gallery
        for name, (label, box) in SEEN.items():
            objects = images[name]["objects"]
            assert objects[0]["label"] == label
            assert overlap(objects[0]["box"], box) > 0.7
            assert all(each["score"] >= 0.4 for each in objects)
            assert client.get(images[name]["links"]["self"]).json() == images[name]
        assert {"cat", "cup"} <= {each["label"] for each in images["both"]["objects"]}

    def test_a_batch_keeps_the_same(self, client: httpx.Client, album: Album) -> None:
        content = encoded(picture("chelsea").crop((0, 0, 440, 300)))
        [result] = album.batch(("cat.png", content)).json()["results"]
        detected = self.detect(client, content, score_threshold="0.4")["detections"]
        assert [each["label"] for each in result["image"]["objects"]] == [each["label"] for each in detected]
        assert result["image"]["objects"][0]["label"] == "cat"
        again = album.post(content)
        assert (again.status_code, again.json()["objects"]) == (200, result["image"]["objects"])

    def test_labels_are_counted_by_images(self, client: httpx.Client, gallery: tuple[Album, Images]) -> None:
        album, images = gallery
        found = labels(client, album.filter())
        counts = {each["value"]: each["images"] for each in found}
        for label, count in counts.items():
            assert count == sum(any(each["label"] == label for each in image["objects"]) for image in images.values())
        assert (counts["cat"], counts["cup"], counts["motorcycle"]) == (2, 2, 1)
        assert [each["images"] for each in found] == sorted(counts.values(), reverse=True)
        narrow = album.filter({"field": "labels", "eq": "motorcycle"})
        only = labels(client, narrow)
        assert {"value": "motorcycle", "images": 1} in only
        assert "cat" not in {each["value"] for each in only}
        [most_frequent] = labels(client, album.filter(), limit=1)
        assert most_frequent == found[0]

    @pytest.mark.parametrize(
        ("parts", "names"),
        [
            ({"all": [{"field": "labels", "eq": "cat"}]}, {"chelsea", "both"}),
            ({"any": [{"field": "labels", "in": ["person", "motorcycle"]}]}, {"astronaut", "motorcycle_left"}),
            ({"none": [{"field": "labels", "in": ["cat", "person"]}]}, {"coffee", "motorcycle_left"}),
        ],
    )
    def test_filters_on_labels(
        self, client: httpx.Client, gallery: tuple[Album, Images], parts: dict[str, Any], names: set[str]
    ) -> None:
        album, images = gallery
        where = json.dumps({**parts, "all": [*parts.get("all", []), *album.where()["all"]]})
        expected = {images[name]["id"] for name in names}
        listed = client.get("/v1/images", params={"filter": where}).json()
        assert {item["id"] for item in listed["items"]} == expected
        for target in ("images", "objects", "any"):
            found = album.search(file_of("coffee"), filter=where, target=target)
            assert set(ids_of(found)) == expected

    @pytest.mark.parametrize("target", ["objects", "any"])
    def test_a_crop_finds_the_pictures_that_hold_it(self, gallery: tuple[Album, Images], target: str) -> None:
        album, images = gallery
        for name in ("chelsea", "coffee"):
            label, box = SEEN[name]
            crop = picture(name).crop((int(box.x_min), int(box.y_min), int(box.x_max), int(box.y_max)))
            result = album.search(encoded(crop), target=target)
            assert result["query"]["target"] == target
            assert set(ids_of(result)[:2]) == {images[name]["id"], images["both"]["id"]}
            assert scores_of(result) == sorted(scores_of(result), reverse=True)
            assert len(set(ids_of(result))) == len(images)
            for match in result["matches"]:
                assert match["regions"] is None
                assert match["region"] is None or match["region"] in match["image"]["objects"]
            in_both = next(match for match in result["matches"] if match["image"]["id"] == images["both"]["id"])
            assert in_both["region"]["label"] == label

    def test_any_is_the_better_of_both(self, gallery: tuple[Album, Images]) -> None:
        album, _ = gallery
        query = encoded(picture("coffee").crop((120, 0, 480, 300)))
        by = {target: album.search(query, target=target, exact="true") for target in ("images", "objects", "any")}
        scores = {
            target: {match["image"]["id"]: match["score"] for match in result["matches"]}
            for target, result in by.items()
        }
        better = {id_: max(score, scores["objects"].get(id_, -1)) for id_, score in scores["images"].items()}
        assert scores["any"] == pytest.approx(better, abs=0.01)

    @pytest.mark.parametrize("target", ["objects", "any"])
    def test_pages_of_objects_cover_everything_once(self, gallery: tuple[Album, Images], target: str) -> None:
        album, images = gallery
        query, found, offset = file_of("coffee"), [], 0
        while offset is not None:
            page = album.search(query, target=target, limit=2, offset=offset)
            found += page["matches"]
            offset = page["next_offset"]
        assert [match["rank"] for match in found] == list(range(1, len(images) + 1))
        assert {match["image"]["id"] for match in found} == {image["id"] for image in images.values()}
        threshold = (found[1]["score"] + found[2]["score"]) / 2
        assert len(album.search(query, target=target, score_threshold=threshold)["matches"]) == 2

    def test_the_objects_of_the_query_are_told_where_they_matter(
        self, client: httpx.Client, gallery: tuple[Album, Images]
    ) -> None:
        album, _ = gallery
        content = encoded(cat_and_cup())
        assert album.search(content)["query"]["objects"] is None
        seen = self.detect(client, content)["detections"]
        for target in ("objects", "any"):
            objects = album.search(content, target=target)["query"]["objects"]
            assert [each["label"] for each in objects] == [each["label"] for each in seen]
            assert {"cat", "cup"} <= {each["label"] for each in objects}

    def test_an_offered_object_can_be_searched_for_as_a_region(self, gallery: tuple[Album, Images]) -> None:
        album, images = gallery
        content = encoded(cat_and_cup())
        for name, label in (("chelsea", "cat"), ("coffee", "cup")):
            objects = album.search(content, target="objects")["query"]["objects"]
            box = next(each["box"] for each in objects if each["label"] == label)
            result = album.search(content, target="objects", region=text(box))
            assert set(ids_of(result)[:2]) == {images[name]["id"], images["both"]["id"]}
            [region] = result["query"]["regions"]
            assert list(region.values()) == pytest.approx(list(box.values()), abs=0.1)
            assert result["matches"][0]["regions"] is None

    def test_several_regions_are_paired_with_objects(self, gallery: tuple[Album, Images]) -> None:
        album, images = gallery
        content, objects = encoded(cat_and_cup()), images["both"]["objects"]
        cat, cup = (next(each for each in objects if each["label"] == label) for label in ("cat", "cup"))
        result = album.search(content, target="objects", region=[text(cat["box"]), text(cup["box"])])

        first = result["matches"][0]
        assert first["image"]["id"] == images["both"]["id"]
        assert first["region"] is None
        assert [pair["object"]["label"] for pair in first["regions"]] == ["cat", "cup"]
        assert first["score"] > max(0.85, result["matches"][1]["score"] + 0.1)
        assert len(result["matches"]) == len(images)
        assert scores_of(result) == sorted(scores_of(result), reverse=True)
        for match in result["matches"]:
            pairs = match["regions"]
            assert [pair["query_region"] for pair in pairs] == result["query"]["regions"]
            assert match["score"] == pytest.approx(np.mean([pair["score"] for pair in pairs]), abs=1e-4)
            held = [pair["object"] for pair in pairs if pair["object"]]
            assert all(each in match["image"]["objects"] for each in held)
            assert len({text(each["box"]) for each in held}) == len(held)  # one to one
            assert all((pair["object"] is None) == (pair["score"] == 0) for pair in pairs)
        alone = next(match for match in result["matches"] if match["image"]["id"] == images["chelsea"]["id"])
        assert len(alone["image"]["objects"]) == 1
        [one, other] = alone["regions"]
        assert one["object"]["label"] == "cat"
        assert (other["object"], other["score"]) == (None, 0)

    def test_pages_of_several_regions(self, gallery: tuple[Album, Images]) -> None:
        album, images = gallery
        content, regions = encoded(cat_and_cup()), ["0,40,470,360", "600,50,980,330"]
        whole = album.search(content, target="objects", region=regions)
        pages = [album.search(content, target="objects", region=regions, limit=3, offset=offset) for offset in (0, 3)]
        assert [id_ for page in pages for id_ in ids_of(page)] == ids_of(whole)
        assert [page["next_offset"] for page in pages] == [3, None]
        assert len(ids_of(whole)) == len(images)
        threshold = sum(scores_of(whole)[:2]) / 2
        cut = album.search(content, target="objects", region=regions, score_threshold=threshold)
        assert ids_of(cut) == ids_of(whole)[:1]
        astronaut = album.filter({"field": "labels", "eq": "person"})
        filtered = album.search(content, target="objects", region=regions, filter=astronaut)
        assert ids_of(filtered) == [images["astronaut"]["id"]]

    def test_eight_regions_are_taken_and_nine_are_not(
        self, client: httpx.Client, gallery: tuple[Album, Images]
    ) -> None:
        album, _ = gallery
        boxes = [f"{left},50,{left + 90},350" for left in range(0, 900, 100)]
        assert len(album.search(encoded(cat_and_cup()), target="objects", region=boxes[:8])["matches"][0]["regions"])
        files = {"file": encoded(cat_and_cup())}
        response = client.post("/v1/search", files=files, data={"target": "objects", "region": boxes})
        assert_invalid(response, "region")

    def test_objects_follow_their_picture(self, client: httpx.Client, album: Album) -> None:
        content = encoded(picture("chelsea").crop((0, 10, 430, 300)))
        image = album.add(content)
        patched = client.patch(image["links"]["self"], json={"metadata": {"price": 5}}).json()
        assert patched["objects"] == image["objects"]
        cheap = album.filter({"field": "metadata.price", "lt": 10})
        [match] = album.search(content, target="objects", filter=cheap)["matches"]
        assert match["image"] == patched

        assert client.delete(image["links"]["self"]).status_code == 204
        assert album.search(content, target="objects")["matches"] == []
        assert labels(client, album.filter()) == []


class ObjectRequestsContract(Deployed):
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("score_threshold", "1.01"),
            ("score_threshold", "-0.1"),
            ("score_threshold", "nan"),
            ("max_detections", "0"),
            ("max_detections", "301"),
            ("max_detections", "many"),
            ("region", "0,0,10,10"),
            ("label", "cat"),
        ],
    )
    def test_what_detections_do_not_take_is_refused(
        self, client: httpx.Client, album: Album, name: str, value: str
    ) -> None:
        files = {"file": album.picture()}
        assert_invalid(client.post("/v1/detections", files=files, data={name: value}), name)

    def test_other_detection_requests_are_refused(self, client: httpx.Client, album: Album) -> None:
        assert_invalid(client.post("/v1/detections", data={"labels": "cat"}), "file")
        assert_invalid(client.post("/v1/detections?labels=cat", files={"file": album.picture()}), "labels")
        twice = {"score_threshold": ["0.5", "0.6"]}
        assert_invalid(client.post("/v1/detections", files={"file": album.picture()}, data=twice), "score_threshold")

    @pytest.mark.parametrize("target", ["images", "any"])
    def test_several_regions_are_for_objects_alone(self, client: httpx.Client, album: Album, target: str) -> None:
        data = {"target": target, "region": ["0,0,50,50", "50,50,90,90"]}
        response = client.post("/v1/search", files={"file": album.picture()}, data=data)
        assert_problem(response, 422, "invalid_region", says="target=objects")

    def test_one_of_several_regions_outside_the_picture_is_refused(self, client: httpx.Client, album: Album) -> None:
        data = {"target": "objects", "region": ["0,0,50,50", "5000,50,5090,90"]}
        response = client.post("/v1/search", files={"file": album.picture()}, data=data)
        assert_problem(response, 422, "invalid_region", says="5000")
