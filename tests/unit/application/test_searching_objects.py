from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.detectors.null_object_detector import NullObjectDetector
from application.detect_objects import DetectObjects
from application.search_result import SearchOptions, SearchResult, Target
from application.search_similar import MAX_REGIONS, SearchSimilar
from domain.errors import DetectorUnavailableError, InvalidRegionError, Remedy
from domain.filters import Field
from domain.geometry import BoundingBox
from domain.images import Match, MatchGroup
from domain.ports.object_detector import ObjectDetector
from tests.builders import an_embedding, an_id, an_image, an_object, some_embeddings
from tests.unit.application.workshop import Workshop

QUERY = b"a query"
FAINT = an_object("cat", score=0.2)


def search_with(workshop: Workshop, detector: ObjectDetector | None = None) -> SearchSimilar:
    return SearchSimilar(
        decoder=workshop.decoder,
        encoder=workshop.encoder,
        detector=detector or workshop.detector,
        repository=workshop.repository,
        arrange=workshop.arrange,
    )


async def fill(workshop: Workshop, count: int = 25) -> None:
    """Images with no to three objects each."""
    await workshop.repository.upsert(
        [
            an_image(
                number,
                objects=tuple(an_object(f"label {index}") for index in range(number % 4)),
                object_embeddings=some_embeddings(number % 4, seed=500 + number),
            )
            for number in range(count)
        ]
    )


async def whole(workshop: Workshop, target: Target) -> SearchResult:
    return await search_with(workshop)(QUERY, target=target, options=SearchOptions(limit=500))


async def test_any_answers_each_image_once_by_its_better_match(workshop: Workshop) -> None:
    await fill(workshop)
    images, objects, both = [(await whole(workshop, target)).matches for target in Target]

    expected: dict = {match.image.id: match for match in images}
    for match in objects:
        if match.score > expected[match.image.id].score:
            expected[match.image.id] = match
    assert len(images) == 25
    assert {match.image.id: match for match in both} == expected
    assert len(both) == 25
    assert {match.region is None for match in both} == {True, False}
    assert [match.score for match in both] == sorted((match.score for match in both), reverse=True)


@settings(deadline=None, max_examples=15)
@given(st.sampled_from(Target), st.integers(1, 9))
async def test_pages_are_those_of_the_whole_ranking(target: Target, limit: int) -> None:
    workshop = await Workshop().open()
    await fill(workshop)
    search, found = search_with(workshop), list[Match]()
    offset: int | None = 0
    while offset is not None:
        page = await search(QUERY, target=target, options=SearchOptions(limit=limit, offset=offset))
        assert page.next_offset is None or len(page.matches) == limit
        found += page.matches
        offset = page.next_offset
    assert found == list((await whole(workshop, target)).matches)
    await workshop.repository.close()


async def fill_with_copies(workshop: Workshop) -> None:
    """Images of five kinds, of which all of a kind differ in their ids only."""
    await workshop.repository.upsert(
        [
            an_image(
                number,
                embedding=an_embedding(number % 5),
                objects=tuple(an_object(f"label {index}") for index in range(1 + number % 5)),
                object_embeddings=some_embeddings(1 + number % 5, seed=500 + number % 5),
            )
            for number in range(300)
        ]
    )


@pytest.mark.parametrize("regions", [0, 2])
@pytest.mark.parametrize("limit", [4, 70])
async def test_pages_hold_every_image_of_equal_score_once(workshop: Workshop, limit: int, regions: int) -> None:
    await fill_with_copies(workshop)
    search, found, offset = search_with(workshop), list[Match](), 0
    boxes = [BoundingBox(x_min=0, y_min=0, x_max=16, y_max=12), BoundingBox(x_min=16, y_min=12, x_max=90, y_max=24)]
    target = Target.OBJECTS if regions else Target.ANY
    while offset is not None:
        options = SearchOptions(limit=limit, offset=offset)
        page = await search(QUERY, regions=boxes[:regions], target=target, options=options)
        found, offset = [*found, *page.matches], page.next_offset
    assert [match.image.id for match in found] == [
        match.image.id for match in sorted(found, key=lambda match: (-match.score, match.image.id))
    ]
    assert {match.image.id for match in found} == {an_id(number) for number in range(300)}
    assert len(found) == 300


async def test_pages_of_several_regions_are_those_of_the_whole_ranking(workshop: Workshop) -> None:
    await fill(workshop)
    search = search_with(workshop)
    boxes = [BoundingBox(x_min=0, y_min=0, x_max=16, y_max=12), BoundingBox(x_min=16, y_min=12, x_max=90, y_max=24)]
    everything = await search(QUERY, regions=boxes, target=Target.OBJECTS, options=SearchOptions(limit=100))
    found, offset = list[Match](), 0
    while offset is not None:
        options = SearchOptions(limit=4, offset=offset)
        page = await search(QUERY, regions=boxes, target=Target.OBJECTS, options=options)
        found, offset = [*found, *page.matches], page.next_offset

    assert found == list(everything.matches)
    assert len(found) == 18  # all that have objects
    assert everything.regions[1] == BoundingBox(x_min=16, y_min=12, x_max=32, y_max=24)
    assert [pair.query_region for pair in found[0].regions or []] == list(everything.regions)


async def test_several_regions_can_be_grouped_and_diversified(workshop: Workshop) -> None:
    await fill(workshop)
    boxes = [BoundingBox(x_min=0, y_min=0, x_max=16, y_max=12), BoundingBox(x_min=16, y_min=12, x_max=90, y_max=24)]

    async def found(**options: Any) -> list[Match]:
        search = search_with(workshop)
        page = await search(QUERY, regions=boxes, target=Target.OBJECTS, options=SearchOptions(**options))
        return list(page.matches)

    ranking = await found(limit=100)
    grouped = await found(limit=5, offset=2, group_by=Field("sha256"), group_size=2)
    assert [match.image for match in grouped] == [match.image for match in ranking[2:7]]
    assert {match.group for match in grouped} == {
        MatchGroup(value=match.image.sha256, images=1) for match in ranking[2:7]
    }
    diverse = await found(limit=100, diversity=0.4)
    assert diverse[0].image == ranking[0].image
    assert {match.image.id for match in diverse} == {match.image.id for match in ranking}
    order_scores = [match.order_score or 0.0 for match in diverse[1:]]
    assert order_scores == sorted(order_scores, reverse=True)


async def test_a_threshold_holds_for_every_target(workshop: Workshop) -> None:
    await fill(workshop)
    for target in Target:
        scores = [match.score for match in (await whole(workshop, target)).matches]
        between = (scores[4] + scores[5]) / 2
        options = SearchOptions(score_threshold=between)
        cut = await search_with(workshop)(QUERY, target=target, options=options)
        assert [match.score for match in cut.matches] == pytest.approx(scores[:5])


async def test_the_objects_of_the_query_are_told_where_objects_are_searched(workshop: Workshop) -> None:
    workshop.detector.found = (an_object("cat", score=0.9), FAINT, an_object("cup", score=0.31))
    told = {target: (await whole(workshop, target)).objects for target in Target}
    assert told[Target.IMAGES] is None
    for target in (Target.OBJECTS, Target.ANY):
        assert [each.label for each in told[target] or []] == ["cat", "cup"]
    assert workshop.journal.count("detect in 1") == 2


async def test_without_a_detector_stored_objects_are_searched_all_the_same(workshop: Workshop) -> None:
    await fill(workshop)
    search = search_with(workshop, NullObjectDetector())
    result = await search(QUERY, target=Target.OBJECTS, options=SearchOptions())
    assert result.objects is None
    assert result.matches


@pytest.mark.parametrize(("count", "target"), [(2, Target.IMAGES), (2, Target.ANY), (MAX_REGIONS + 1, Target.OBJECTS)])
async def test_too_many_regions_are_refused_before_anything_is_done(
    workshop: Workshop, count: int, target: Target
) -> None:
    boxes = [BoundingBox(x_min=0, y_min=0, x_max=5, y_max=5)] * count
    with pytest.raises(InvalidRegionError, match="target=objects"):
        await search_with(workshop)(QUERY, regions=boxes, target=target, options=SearchOptions())
    assert workshop.journal == []


async def test_detections_are_bounded_as_asked(workshop: Workshop) -> None:
    workshop.detector.found = (FAINT, an_object("cat", score=0.9), an_object("cup", score=0.5))
    detect = DetectObjects(decoder=workshop.decoder, detector=workshop.detector)

    found = await detect(b"picture")
    assert (found.model, found.width, found.height) == ("test-detector", 32, 24)
    assert [each.label for each in found.objects] == ["cat", "cup"]
    assert len((await detect(b"picture", score_threshold=0.1)).objects) == 3
    assert [each.label for each in (await detect(b"picture", labels=["cup"])).objects] == ["cup"]
    assert [each.score for each in (await detect(b"picture", max_detections=1)).objects] == [0.9]


async def test_without_a_detector_nothing_is_decoded(workshop: Workshop) -> None:
    detect = DetectObjects(decoder=workshop.decoder, detector=NullObjectDetector())
    with pytest.raises(DetectorUnavailableError) as caught:
        await detect(b"")  # the decoder would refuse it
    assert caught.value.remedy is Remedy.INSTALL_OR_CHOOSE_A_DETECTOR
