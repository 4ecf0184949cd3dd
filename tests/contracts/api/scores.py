"""What scores mean, and orders by labels and colours, of the three searches."""

from typing import Any

import httpx
import pytest
from PIL import Image

from tests.contracts.api.conformance import assert_invalid, assert_problem
from tests.contracts.api.deployed import Album, ids_of
from tests.contracts.api.groups import SEARCHES, Ask, Searching
from tests.pictures import a_photo, encoded, opened


class ScoresContract(Searching):
    @SEARCHES
    @pytest.mark.parametrize("options", [{}, {"score_threshold": 1}, {"color_weight": 0.5}, {"diversity": 0.2}])
    def test_the_same_pixels_in_another_file_score_exactly_1(
        self, album: Album, ask: Ask, search: str, options: dict[str, Any]
    ) -> None:
        content = album.picture()
        image = album.add(content)
        same = {album.add(encoded(opened(content), format_=format_))["id"] for format_ in ("BMP", "TIFF")}
        other = album.add()["id"]
        same |= {image["id"]} if search == "search" else set()

        matches = ask(search, image, content, **options).json()["matches"]

        first = matches[: len(same)]
        assert {match["image"]["id"] for match in first} == same
        assert [(match["score"], match["band"]) for match in first] == [(1.0, "identical")] * len(same)
        assert [match["image"]["id"] for match in matches[len(same) :]] == (
            [] if "score_threshold" in options else [other]
        )

    def test_exhaustive_searches_say_the_same(self, album: Album, ask: Ask) -> None:
        content = album.picture()
        image = album.add(content)
        [match] = ask("search", image, content, exact="true", score_threshold=1, target="any").json()["matches"]
        assert (match["score"], match["band"], match["region"]) == (1.0, "identical", None)

    def test_likeness_and_bands_follow_the_scale_of_the_model(
        self, client: httpx.Client, album: Album, ask: Ask
    ) -> None:
        content = album.picture()
        image = album.add(content)
        for _ in range(6):
            album.add()
        bands = client.get("/v1/models").json()["encoder"]["bands"]
        answer = ask("search", image, content).json()
        likeness = {match["image"]["id"]: match["likeness"] for match in answer["matches"]}
        if bands is None:
            assert set(likeness.values()) == {None}
            assert_problem(ask("search", image, content, min_likeness=0.5), 422, "invalid_ranking")
            return
        assert list(likeness.values()) == sorted(likeness.values(), reverse=True)
        for match in answer["matches"]:
            for band, least in (("very_alike", 0.75), ("alike", 0.5)):
                if match["band"] == band:
                    assert match["score"] >= bands["images"][band] - 1e-6
                    assert match["likeness"] >= least
        for least in (0.2, 0.5, 1):
            kept = ids_of(ask("search", image, content, min_likeness=least).json())
            assert kept == [id_ for id_, value in likeness.items() if value >= least]

    @SEARCHES
    def test_a_plain_query_is_told(self, album: Album, ask: Ask, search: str) -> None:
        plain = encoded(Image.new("RGB", (200, 100), (10, 200, 120 + len(search))))
        assert ask(search, album.add(plain), plain).json()["query"]["low_detail"] is True
        photo = a_photo(f"hat-0{1 + len(search) % 3}.jpg")
        indexed = album.post(photo).json()
        assert ask(search, indexed, photo).json()["query"]["low_detail"] is False

    @SEARCHES
    def test_colours_bring_forward_what_has_them(self, album: Album, ask: Ask, search: str) -> None:
        def tinted(colour: tuple[int, int, int]) -> bytes:
            picture = opened(album.picture(width=160, height=120)).convert("L")
            return encoded(Image.merge("RGB", [picture.point(lambda v, c=c: v * c // 255) for c in colour]))

        red, green = (255, 20, 20), (20, 255, 20)
        content = tinted(red)
        image = album.add(content)
        by_id = {album.add(tinted(colour))["id"]: colour for colour in (green, red) * 4}
        found = ask(search, image, content, color_weight=1).json()["matches"]
        others = [match for match in found if match["image"]["id"] in by_id]
        assert [by_id[match["image"]["id"]] for match in others] == [red] * 4 + [green] * 4
        orders = [match["order_score"] for match in others]
        assert orders == sorted(orders, reverse=True)
        page = ask(search, image, content, color_weight=1, limit=3, offset=2).json()
        assert ids_of(page) == ids_of({"matches": found[2:5]})

    @SEARCHES
    def test_labels_bring_forward_what_they_tell(self, album: Album, ask: Ask, search: str) -> None:
        content = album.picture()
        image = album.add(content, product=f"{album.mark} a")
        answer = ask(search, image, content, adapt_to="metadata.product")
        if answer.status_code == 422:  # no other test has labelled so many
            assert_problem(answer, 422, "too_few_labels")
        for number in range(11):
            album.add(product=f"{album.mark} {'ab'[number % 2]}")
        plain = ask(search, image, content, limit=50).json()
        found = ask(search, image, content, adapt_to="metadata.product", limit=50).json()
        assert sorted(ids_of(found)) == sorted(ids_of(plain))
        assert all(match["order_score"] is not None for match in found["matches"])
        if search == "search":
            assert found["matches"][0]["image"]["id"] == image["id"]
        paged, offset = list[str](), 0
        while offset is not None:
            page = ask(search, image, content, adapt_to="metadata.product", limit=4, offset=offset).json()
            paged, offset = paged + ids_of(page), page["next_offset"]
        assert sorted(paged) == sorted(ids_of(found))


class RankingRequestsContract(Searching):
    @SEARCHES
    @pytest.mark.parametrize("field", ["metadata.pieces", "metadata.mark", "labels", "product", "*"])
    def test_other_fields_tell_nothing_apart(self, album: Album, ask: Ask, search: str, field: str) -> None:
        answer = ask(search, album.add(), album.picture(), adapt_to=field)
        assert_problem(answer, 422, "invalid_ranking", says="metadata.product")

    @pytest.mark.parametrize("target", ["objects", "any"])
    @pytest.mark.parametrize("options", [{"adapt_to": "metadata.product"}, {"color_weight": 0.2}])
    def test_objects_have_neither_labels_nor_colours(
        self, album: Album, ask: Ask, target: str, options: dict[str, Any]
    ) -> None:
        answer = ask("search", album.add(), album.picture(), target=target, **options)
        assert_problem(answer, 422, "invalid_ranking", says="target=images")

    @SEARCHES
    @pytest.mark.parametrize(
        ("name", "value"),
        [("min_likeness", -0.1), ("min_likeness", 1.1), ("color_weight", -0.1), ("color_weight", 2)],
    )
    def test_values_out_of_range_are_named(self, album: Album, ask: Ask, search: str, name: str, value: float) -> None:
        assert_invalid(ask(search, album.add(), album.picture(), **{name: value}), name)
