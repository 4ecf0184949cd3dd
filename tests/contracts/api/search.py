"""POST /v1/search and GET of /similar."""

import json

import httpx
import pytest

from tests.contracts.api.conformance import assert_invalid, assert_problem
from tests.contracts.api.deployed import Album, Deployed, ids_of, scores_of
from tests.pictures import a_drawing, a_photo, a_turned_photo, encoded, opened

SAME = 0.99
"""Cosine of a picture to itself, whatever the precision and the index's quantization."""


class SearchContract(Deployed):
    def test_the_twin_comes_first(self, client: httpx.Client, album: Album) -> None:
        content = album.picture(width=200, height=90)
        image = album.add(content)
        others = [album.add()["id"] for _ in range(3)]

        result = album.search(content)

        assert isinstance(result["query"].pop("low_detail"), bool)  # some drawings are plain, others are not
        assert result["query"] == {
            "width": 200,
            "height": 90,
            "regions": [],
            "target": "images",
            "objects": None,
        }
        first = result["matches"][0]
        assert first["image"] == image
        assert first["score"] == pytest.approx(1, abs=1 - SAME)
        assert (first["rank"], first["region"], first["regions"]) == (1, None, None)
        assert sorted(ids_of(result)) == sorted([image["id"], *others])
        assert [match["rank"] for match in result["matches"]] == [1, 2, 3, 4]
        assert scores_of(result) == sorted(scores_of(result), reverse=True)
        assert all(-1 <= score < SAME for score in scores_of(result)[1:])
        assert result["next_offset"] is None

    def test_nothing_of_the_query_is_stored(self, client: httpx.Client, album: Album) -> None:
        before = client.get("/v1/images").json()["total"]
        assert album.search(album.picture())["matches"] == []
        assert client.get("/v1/images").json()["total"] == before

    def test_a_photo_is_found_by_a_small_copy(self, album: Album) -> None:
        names = ["hat-03.jpg", "dress-02.jpg", "shoes-01.jpg", "pants-01.jpg", "shirt-01.jpg"]
        images = {name: album.add(a_photo(name), name)["id"] for name in names}
        for name in names:
            photo = opened(a_photo(name))
            copy = photo.resize((photo.width * 2 // 3, photo.height * 2 // 3))
            assert ids_of(album.search(encoded(copy, format_="JPEG", quality=60)))[0] == images[name]

    def test_a_photo_that_lies_on_its_side_is_found_upright(self, album: Album) -> None:
        lying = a_turned_photo(4)
        image = album.add(lying)
        for _ in range(3):
            album.add()
        upright = opened(lying).rotate(-90, expand=True)
        [first, second, *_] = album.search(encoded(upright))["matches"]
        assert first["image"] == image
        assert first["score"] > max(0.97, second["score"])

    def test_a_region_is_searched_for_as_a_picture_of_its_own(self, client: httpx.Client, album: Album) -> None:
        part, other = a_drawing(11, width=90, height=70), a_drawing(12, width=160, height=120)
        whole = a_drawing(13, width=320, height=240)
        whole.paste(part, (40, 60))
        image = album.add(encoded(part))
        album.add(encoded(other))
        album.add(encoded(whole))

        cropped = album.search(encoded(part))
        region = album.search(encoded(whole), region="40,60,130,130")

        assert region["query"]["regions"] == [{"x_min": 40, "y_min": 60, "x_max": 130, "y_max": 130}]
        assert (region["query"]["width"], region["query"]["height"]) == (320, 240)
        assert ids_of(region) == ids_of(cropped)
        assert scores_of(region) == pytest.approx(scores_of(cropped), abs=0.01)
        assert region["matches"][0]["image"] == image
        assert album.search(encoded(whole))["matches"][0]["image"] != image

    def test_a_region_speaks_of_the_upright_picture(self, album: Album) -> None:
        lying = a_turned_photo(5)
        upright = opened(lying).rotate(-90, expand=True)
        assert upright.size == (120, 160)
        album.add(encoded(upright.crop((0, 100, 120, 160))))
        album.add(encoded(upright.crop((0, 0, 120, 60))))
        low, high = album.search(lying, region="0,100,120,160"), album.search(lying, region="0,0,120,60")
        assert ids_of(low) == ids_of(high)[::-1]
        assert scores_of(low)[0] > 0.95
        assert scores_of(high)[0] > 0.95

    def test_a_region_is_clipped_to_the_picture(self, album: Album) -> None:
        content = album.picture(width=160, height=120)
        album.add(content)
        result = album.search(content, region="-50,-1e6,1000.5,120")
        assert result["query"]["regions"] == [{"x_min": 0, "y_min": 0, "x_max": 160, "y_max": 120}]
        assert scores_of(result)[0] > SAME

    @pytest.mark.parametrize("limit", [1, 3, 7, 500])
    def test_pages_cover_everything_once(self, album: Album, limit: int) -> None:
        ids = {album.add()["id"] for _ in range(7)}
        query = album.picture()
        whole = album.search(query, limit=500)
        found, offset = [], 0
        while offset is not None:
            page = album.search(query, limit=limit, offset=offset)
            assert len(page["matches"]) == min(limit, 7 - offset)
            assert page["next_offset"] in {None, offset + limit}
            found += page["matches"]
            offset = page["next_offset"]

        assert {match["image"]["id"] for match in found} == ids
        assert [match["rank"] for match in found] == list(range(1, 8))
        assert [m["score"] for m in found] == pytest.approx(scores_of(whole), abs=1e-3)

    def test_beyond_the_end_there_is_nothing(self, album: Album) -> None:
        album.add()
        result = album.search(album.picture(), offset=10_000, limit=500)
        assert (result["matches"], result["next_offset"]) == ([], None)

    def test_the_default_limit_is_ten(self, album: Album) -> None:
        album.batch(*((f"{number}.png", album.picture()) for number in range(11)))
        result = album.search(album.picture())
        assert (len(result["matches"]), result["next_offset"]) == (10, 10)
        assert album.search(album.picture(), offset=1)["next_offset"] is None

    def test_a_threshold_cuts_the_ranking(self, album: Album) -> None:
        content = album.picture()
        album.add(content)
        for _ in range(4):
            album.add()
        scores = scores_of(album.search(content))
        between = (scores[1] + scores[2]) / 2
        cut = album.search(content, score_threshold=between)
        assert scores_of(cut) == pytest.approx(scores[:2], abs=1e-3)
        assert cut["next_offset"] is None
        assert len(album.search(content, score_threshold=-1)["matches"]) == 5
        assert scores_of(album.search(content, score_threshold=SAME)) == pytest.approx(scores[:1], abs=1e-3)

    def test_an_exact_search_finds_the_same(self, client: httpx.Client, album: Album) -> None:
        content = album.picture()
        image = album.add(content)
        for _ in range(4):
            album.add()
        exact, approximate = album.search(content, exact="true"), album.search(content, exact="false")
        assert ids_of(exact) == ids_of(approximate)
        assert scores_of(exact) == pytest.approx(scores_of(approximate), abs=0.01)
        similar = client.get(image["links"]["similar"], params={"filter": album.filter(), "exact": "true"}).json()
        body = {"positive": [image["id"]], "filter": json.loads(album.filter()), "exact": True}
        by_example = client.post("/v1/search/examples", json=body).json()
        assert ids_of(similar) == ids_of(by_example) == ids_of(exact)[1:]

    def test_the_default_target_can_be_named(self, album: Album) -> None:
        content = album.picture()
        image = album.add(content)
        result = album.search(content, target="images")
        assert (result["query"]["target"], ids_of(result)) == ("images", [image["id"]])

    def test_similar_leaves_the_image_itself_out(self, client: httpx.Client, album: Album) -> None:
        drawing = a_drawing(21)
        image = album.add(encoded(drawing))
        twin = album.add(encoded(drawing, format_="WEBP", lossless=True))
        others = [album.add()["id"] for _ in range(3)]
        params = {"filter": album.filter()}

        result = client.get(image["links"]["similar"], params=params).json()

        assert ids_of(result)[0] == twin["id"]
        assert scores_of(result)[0] > SAME
        assert sorted(ids_of(result)[1:]) == sorted(others)
        assert (result["query"]["width"], result["query"]["height"]) == (image["width"], image["height"])
        by_picture = album.search(encoded(drawing))
        assert [id_ for id_ in ids_of(by_picture) if id_ != image["id"]] == ids_of(result)
        page = client.get(image["links"]["similar"], params={**params, "limit": 2, "offset": 1}).json()
        assert (ids_of(page), page["next_offset"]) == (ids_of(result)[1:3], 3)
        close = client.get(image["links"]["similar"], params={**params, "score_threshold": SAME}).json()
        assert ids_of(close) == [twin["id"]]

    def test_similar_takes_a_filter(self, client: httpx.Client, album: Album) -> None:
        image, wanted, _ = album.add(brand="acme"), album.add(brand="acme"), album.add(brand="other")
        where = album.filter({"field": "metadata.brand", "eq": "acme"})
        assert ids_of(client.get(image["links"]["similar"], params={"filter": where}).json()) == [wanted["id"]]


class SearchRequestsContract(Deployed):
    @pytest.mark.parametrize("region", ["160,0,200,120", "0,-20,160,0", "500,500,600,600"])
    def test_a_region_outside_the_picture_is_refused(self, client: httpx.Client, album: Album, region: str) -> None:
        for path in ("/v1/search", "/v1/embeddings"):
            response = client.post(path, files={"file": album.picture(width=160, height=120)}, data={"region": region})
            assert_problem(response, 422, "invalid_region")

    @pytest.mark.parametrize("region", ["1,2,3", "1,2,3,4,5", "a,b,c,d", "10,10,5,20", "0,0,0,9", "0,0,nan,9", "[]"])
    def test_what_is_no_region_is_refused(self, client: httpx.Client, album: Album, region: str) -> None:
        for path in ("/v1/search", "/v1/embeddings"):
            assert_invalid(client.post(path, files={"file": album.picture()}, data={"region": region}), "region")

    def test_several_regions_need_another_target(self, client: httpx.Client, album: Album) -> None:
        data = {"region": ["0,0,10,10", "20,20,40,40"]}
        assert_problem(client.post("/v1/search", files={"file": album.picture()}, data=data), 422)
        assert_problem(client.post("/v1/embeddings", files={"file": album.picture()}, data=data), 422)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("limit", "0"),
            ("limit", "501"),
            ("limit", "ten"),
            ("offset", "-1"),
            ("offset", "10001"),
            ("score_threshold", "1.01"),
            ("score_threshold", "nan"),
            ("filter", "brand"),
            ("filter", "{"),
            ("target", "everything"),
            ("exact", "perhaps"),
            ("colour", "red"),
        ],
    )
    def test_bad_parameters_of_a_search_are_named(
        self, client: httpx.Client, album: Album, name: str, value: str
    ) -> None:
        files = {"file": album.picture()}
        assert_invalid(client.post("/v1/search", files=files, data={name: value}), name)
        assert_invalid(client.post(f"/v1/search?{name}={value}", files=files), name)
        id_ = album.add()["id"]
        assert_invalid(client.get(f"/v1/images/{id_}/similar", params={name: value}), name)

    def test_a_search_needs_a_picture(self, client: httpx.Client) -> None:
        assert_invalid(client.post("/v1/search", data={"limit": 1}), "file")
