"""What searches say of their scores: the same picture, likeness, bands."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from application import arrange_matches
from application.search_by_examples import SearchByExamples
from application.search_result import SearchOptions, SearchResult, Target
from application.search_similar import SearchSimilar
from domain.embeddings import Embedding, normalised
from domain.errors import InvalidRankingError
from domain.filters import Field
from domain.geometry import BoundingBox
from domain.images import ImageId, Match
from domain.scores import Band
from tests.builders import an_appearance, an_embedding, an_id, an_image, an_object
from tests.decoding import decode
from tests.unit.application.workshop import Workshop, id_of

HAT = b"hat"
LEFT, RIGHT = BoundingBox(x_min=0, y_min=0, x_max=16, y_max=24), BoundingBox(x_min=16, y_min=0, x_max=32, y_max=24)


async def found(
    workshop: Workshop, content: bytes = HAT, *, target: Target = Target.IMAGES, regions: Any = (), **options: Any
) -> SearchResult:
    search = SearchSimilar(
        decoder=workshop.decoder,
        encoder=workshop.encoder,
        detector=workshop.detector,
        repository=workshop.repository,
        arrange=workshop.arrange,
    )
    return await search(content, target=target, regions=regions, options=SearchOptions(**options))


async def similar(workshop: Workshop, *positive: bytes, **options: Any) -> SearchResult:
    search = SearchByExamples(encoder=workshop.encoder, repository=workshop.repository, arrange=workshop.arrange)
    return await search([id_of(content) for content in positive], options=SearchOptions(**options))


async def embedding(workshop: Workshop, content: bytes = HAT) -> Embedding:
    picture = await decode(workshop.decoder, content, sufficient_side=16)
    return (await workshop.encoder.encode([picture.raster]))[0]


async def at_cosines(workshop: Workshop, *cosines: float, **changes: Any) -> None:
    """Images 0, 1, ... whose pictures have these cosines to the hat."""
    query = await embedding(workshop)
    other = normalised(an_embedding(1) - (an_embedding(1) @ query) * query)
    await workshop.repository.upsert(
        [
            an_image(number, embedding=normalised(cosine * query + np.sqrt(1 - cosine**2) * other), **changes)
            for number, cosine in enumerate(cosines)
        ]
    )


def told(matches: Sequence[Match]) -> list[Any]:
    return [(match.score, match.likeness, match.band) for match in matches]


@pytest.mark.parametrize("options", [{}, {"score_threshold": 1.0}, {"min_likeness": 1.0}, {"exact": True}])
@pytest.mark.parametrize("target", [Target.IMAGES, Target.ANY])
async def test_the_same_bytes_or_pixels_are_exactly_the_same(
    workshop: Workshop, options: dict[str, Any], target: Target
) -> None:
    await workshop.index(HAT, b"hat#saved anew", b"shoe")

    matches = (await found(workshop, target=target, **options)).matches

    assert {match.image.id for match in matches[:2]} == {id_of(HAT), id_of(b"hat#saved anew")}
    assert told(matches[:2]) == [(1.0, 1.0, Band.IDENTICAL)] * 2
    assert len(matches) == (2 if {"score_threshold", "min_likeness"} & options.keys() else 3)


async def test_what_is_the_same_comes_first_whatever_its_vector(workshop: Workshop) -> None:
    """Other machines compute a little differently, and an approximate index may miss it."""
    picture = await decode(workshop.decoder, HAT, sufficient_side=16)
    await at_cosines(workshop, 0.9999, 0.9998)
    for number, cosine in ((7, 0.995), (8, 0.3)):
        vector = normalised(cosine * await embedding(workshop) + np.sqrt(1 - cosine**2) * an_embedding(number))
        await workshop.repository.upsert([an_image(number, embedding=vector, appearance=picture.appearance)])

    for limit in (1, 2, 3, 10):
        pages: list[Match] = []
        offset: int | None = 0
        while offset is not None:
            page = await found(workshop, limit=limit, offset=offset)
            pages, offset = [*pages, *page.matches], page.next_offset
        assert [match.image.id for match in pages] == [an_id(number) for number in (7, 8, 0, 1)]
        assert [match.score == 1.0 for match in pages] == [True, True, False, False]


async def test_a_part_of_a_picture_is_not_the_picture(workshop: Workshop) -> None:
    await workshop.index(HAT)
    [match] = (await found(workshop, regions=[LEFT])).matches
    assert match.band is not Band.IDENTICAL
    assert match.score < 1.0


@pytest.mark.parametrize("target", [Target.IMAGES, Target.ANY])
async def test_a_region_that_covers_the_picture_is_the_picture(workshop: Workshop, target: Target) -> None:
    await workshop.index(HAT, b"hat#saved anew", b"shoe")
    region = BoundingBox(x_min=-3, y_min=0, x_max=32, y_max=1000)
    matches = (await found(workshop, target=target, regions=[region])).matches
    assert told(matches[:2]) == [(1.0, 1.0, Band.IDENTICAL)] * 2
    matches = (await found(workshop, target=Target.OBJECTS, regions=[region])).matches
    assert Band.IDENTICAL not in [match.band for match in matches]


async def test_one_stored_picture_is_compared_like_a_sent_one(workshop: Workshop) -> None:
    await workshop.index(HAT, b"hat#saved anew", b"shoe")
    matches = (await similar(workshop, HAT)).matches
    assert [match.image.id for match in matches] == [id_of(b"hat#saved anew"), id_of(b"shoe")]
    assert told(matches[:1]) == [(1.0, 1.0, Band.IDENTICAL)]
    assert matches[1].likeness is not None


async def test_several_examples_have_no_likeness(workshop: Workshop) -> None:
    await workshop.index(HAT, b"hat#saved anew", b"shoe", b"sock")
    matches = (await similar(workshop, HAT, b"shoe")).matches
    assert [(match.likeness, match.band) for match in matches] == [(None, None)] * 2
    with pytest.raises(InvalidRankingError, match="one picture"):
        await similar(workshop, HAT, b"shoe", min_likeness=0.5)


async def test_bands_follow_the_scale_of_pictures(workshop: Workshop) -> None:
    await at_cosines(workshop, 0.9, 0.5, 0.2)  # 0 has a likeness of 0, .4 of .5, 1 of 1
    matches = (await found(workshop)).matches
    assert [match.likeness for match in matches] == pytest.approx([0.91667, 0.58333, 0.25], abs=1e-4)
    assert [match.band for match in matches] == [Band.VERY_ALIKE, Band.ALIKE, Band.WEAK]


async def test_a_least_likeness_cuts_as_a_threshold_does(workshop: Workshop) -> None:
    await at_cosines(workshop, 0.9, 0.5, 0.4001, 0.3999, 0.2)
    assert len((await found(workshop, min_likeness=0.5)).matches) == 3
    assert len((await found(workshop, min_likeness=0.5, score_threshold=0.6)).matches) == 1
    assert len((await found(workshop, min_likeness=0.5, score_threshold=0.1)).matches) == 3
    page = await found(workshop, min_likeness=0.5, limit=2)
    rest = await found(workshop, min_likeness=0.5, limit=2, offset=2)
    assert (len(page.matches), page.next_offset, len(rest.matches), rest.next_offset) == (2, 2, 1, None)


async def test_objects_have_a_scale_of_their_own(workshop: Workshop) -> None:
    query = await embedding(workshop)
    image = an_image(1, objects=(an_object(),), embedding=query, object_embeddings=query[np.newaxis])
    await workshop.repository.upsert([image])
    workshop.encoder.likeness = replace(
        workshop.encoder.likeness, objects=replace(workshop.encoder.likeness.objects, median=0.2, rare=0.9)
    )
    shifted = normalised(0.8 * query + 0.6 * normalised(an_embedding(1) - (an_embedding(1) @ query) * query))
    await workshop.repository.upsert([an_image(2, objects=(an_object(),), object_embeddings=shifted[np.newaxis])])

    _, match = (await found(workshop, target=Target.OBJECTS)).matches

    assert match.score == pytest.approx(0.8, abs=1e-5)
    assert match.likeness == pytest.approx(0.5 * 0.6 / 0.7, abs=1e-4)
    assert len((await found(workshop, target=Target.OBJECTS, min_likeness=0.5)).matches) == 1


async def test_plain_pictures_are_not_alike_for_being_plain(workshop: Workshop) -> None:
    query = await embedding(workshop, b"plain white")
    await workshop.repository.upsert(
        [
            an_image(1, embedding=query, appearance=an_appearance(1, low_detail=True)),
            an_image(2, embedding=query, appearance=an_appearance(2)),
        ]
    )
    result = await found(workshop, b"plain white")
    assert result.low_detail
    assert {match.image.id: match.band for match in result.matches} == {
        an_id(1): Band.WEAK,
        an_id(2): Band.VERY_ALIKE,
    }
    await workshop.index(b"plain white")
    [first, *_] = (await found(workshop, b"plain white")).matches
    assert first.band is Band.IDENTICAL
    assert not (await found(workshop)).low_detail


async def test_without_a_scale_only_the_same_has_a_band(workshop: Workshop) -> None:
    workshop.encoder.likeness = None  # type: ignore[assignment]
    await workshop.index(HAT, b"shoe")
    same, other = (await found(workshop)).matches
    assert told([same]) == [(1.0, None, Band.IDENTICAL)]
    assert (other.likeness, other.band) == (None, None)
    with pytest.raises(InvalidRankingError, match="score_threshold"):
        await found(workshop, min_likeness=0.5)


async def test_several_regions_have_no_likeness(workshop: Workshop) -> None:
    await workshop.repository.upsert([an_image(1, objects=(an_object(),))])
    [match] = (await found(workshop, regions=[LEFT, RIGHT], target=Target.OBJECTS)).matches
    assert (match.likeness, match.band) == (None, None)
    with pytest.raises(InvalidRankingError, match="one picture"):
        await found(workshop, regions=[LEFT, RIGHT], target=Target.OBJECTS, min_likeness=0.5)


@pytest.mark.parametrize("options", [{"color_weight": 0.9}, {"adapt_to": Field("metadata.kind")}, {"diversity": 0.5}])
async def test_another_order_leaves_the_same_picture_first(workshop: Workshop, options: dict[str, Any]) -> None:
    images = [
        an_image(number, metadata={"kind": f"kind {number % 2}"}, appearance=an_appearance(number))
        for number in range(40)
    ]
    await workshop.repository.upsert(images)
    await workshop.index(HAT)
    first, *others = (await found(workshop, limit=50, **options)).matches
    assert (first.image.id, first.band) == (id_of(HAT), Band.IDENTICAL)
    plain = (await found(workshop, limit=50)).matches
    assert [match.image.id for match in others] != [match.image.id for match in plain[1:]]
    assert {(match.image.id, match.score) for match in others} == {(m.image.id, m.score) for m in plain[1:]}
    assert all(match.order_score is None for match in plain)
    orders = [match.order_score for match in (first, *others)]
    assert orders == sorted(orders, key=lambda order: -(order or 0.0))


@pytest.mark.parametrize("content", [b"hat %d" % number for number in range(8)])
async def test_no_colours_are_more_alike_than_those_of_the_same_picture(workshop: Workshop, content: bytes) -> None:
    """In 32 bits the product of a vector of length 1 with itself may be more than 1."""
    await workshop.index(content)
    picture = await decode(workshop.decoder, content, sufficient_side=16)
    others = (replace(picture.appearance, pixels=f"{number:032x}") for number in range(3))
    await workshop.repository.upsert([an_image(n, appearance=appearance) for n, appearance in enumerate(others)])
    matches = (await found(workshop, content, color_weight=1.0)).matches
    assert matches[0].band is Band.IDENTICAL
    assert max(match.order_score for match in matches) == 1.0


async def left_after_deletion(workshop: Workshop, deleted: Sequence[int], **options: Any) -> list[ImageId]:
    """Of 30 images those that are left, in order, once an order by colours is known and these places are deleted."""
    await workshop.repository.upsert([an_image(n, appearance=an_appearance(n), sha256=f"{n:064x}") for n in range(30)])
    order = [match.image.id for match in (await found(workshop, limit=50, **options)).matches]
    get = workshop.repository.get

    async def get_after_deletion(ids: Any) -> Any:
        await workshop.repository.delete([order[place] for place in deleted])
        return await get(ids)

    workshop.repository.get = get_after_deletion  # type: ignore[method-assign]
    return [id_ for place, id_ in enumerate(order) if place not in deleted]


DELETED = pytest.mark.parametrize("deleted", [[3], [0, 1], [8, 9, 10], [*range(5, 16)], [11], [*range(1, 30)]])
GROUPED = pytest.mark.parametrize("group_by", [None, Field("sha256")])


@DELETED
@GROUPED
@pytest.mark.parametrize("limit", [5, 10])
async def test_what_is_deleted_during_a_search_does_not_end_its_pages(
    workshop: Workshop, deleted: list[int], group_by: Field | None, limit: int
) -> None:
    left = await left_after_deletion(workshop, deleted, color_weight=1.0)
    shown, offset = list[ImageId](), 0
    while offset is not None:
        page = await found(workshop, limit=limit, offset=offset, color_weight=1.0, group_by=group_by)
        shown, offset = shown + [match.image.id for match in page.matches], page.next_offset
    assert shown == left


@DELETED
@GROUPED
@pytest.mark.parametrize("limit", [12, 20, 30])
async def test_what_is_deleted_during_a_search_does_not_part_it_from_the_rest(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, deleted: list[int], group_by: Field | None, limit: int
) -> None:
    monkeypatch.setattr(arrange_matches, "REORDERED", 12)
    left = await left_after_deletion(workshop, deleted, color_weight=1.0)
    page = await found(workshop, limit=limit, color_weight=1.0, group_by=group_by)
    assert [match.image.id for match in page.matches] == left[:limit]
    assert page.next_offset == (limit if len(left) > limit else None)


async def test_examples_ask_for_colours_together(workshop: Workshop) -> None:
    colours = {b"red": 1, b"blue": 2}
    for content, seed in colours.items():
        await workshop.index(content)
        record = (await workshop.repository.get([id_of(content)]))[id_of(content)]
        image = an_image(0, id=record.id, sha256=record.sha256, appearance=an_appearance(seed))
        await workshop.repository.upsert([image])
    await workshop.repository.upsert([an_image(number, appearance=an_appearance(number)) for number in (1, 2, 3)])
    matches = (await similar(workshop, b"red", b"blue", color_weight=1.0)).matches
    assert matches[-1].image.id == an_id(3)


@pytest.mark.parametrize("options", [{"adapt_to": Field("metadata.kind")}, {"color_weight": 0.1}])
@pytest.mark.parametrize("target", [Target.OBJECTS, Target.ANY])
async def test_labels_and_colours_are_of_whole_pictures(
    workshop: Workshop, options: dict[str, Any], target: Target
) -> None:
    with pytest.raises(InvalidRankingError, match="target=images"):
        await found(workshop, target=target, **options)


async def test_labels_are_of_declared_keywords(workshop: Workshop) -> None:
    for field in ("metadata.price", "metadata.absent", "labels"):
        with pytest.raises(InvalidRankingError, match=r"metadata\.kind"):
            await found(workshop, adapt_to=Field(field))
