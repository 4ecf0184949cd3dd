from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.decoding.pillow_image_decoder import PillowImageDecoder
from application.extract_embedding import ExtractEmbedding
from application.search_by_examples import SearchByExamples
from application.search_result import MAX_LIMIT, MAX_OFFSET, SearchOptions, Target, cut_page
from application.search_similar import SearchSimilar
from domain.embeddings import example_query
from domain.errors import ImageNotFoundError, InvalidExamplesError, InvalidRegionError
from domain.geometry import BoundingBox
from domain.images import Match
from domain.search import MAX_WINDOW
from tests.builders import a_record
from tests.decoding import decode
from tests.pictures import a_picture
from tests.unit.application.workshop import Workshop, id_of

HITS = [Match(score=1 - number / 100, image=a_record(number)) for number in range(30)]


async def page(limit: int, offset: int, there: int) -> tuple[Sequence[Match], int | None]:
    async def find(count: int) -> Sequence[Match]:
        assert offset + count <= MAX_WINDOW
        return HITS[:there][offset : offset + count]

    return await cut_page(SearchOptions(limit=limit, offset=offset), find)


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(0, 30))
async def test_pages_cover_all_matches_exactly_once(limit: int, there: int) -> None:
    found: list[Match] = []
    offset: int | None = 0
    while offset is not None:
        matches, next_offset = await page(limit, offset, there)
        assert next_offset is None or (len(matches) == limit and next_offset == offset + limit)
        found += matches
        offset = next_offset
    assert found == HITS[:there]


async def test_no_page_begins_beyond_the_largest_offset() -> None:
    async def endless(count: int) -> Sequence[Match]:
        return [HITS[0]] * count

    for offset in (MAX_OFFSET, MAX_OFFSET - MAX_LIMIT + 1):
        options = SearchOptions(limit=MAX_LIMIT, offset=offset)
        matches, next_offset = await cut_page(options, endless)
        assert (len(matches), next_offset) == (MAX_LIMIT, None)
    _, next_offset = await cut_page(SearchOptions(limit=MAX_LIMIT, offset=MAX_OFFSET - MAX_LIMIT), endless)
    assert next_offset == MAX_OFFSET


async def test_the_picture_is_not_held_while_the_index_is_asked(workshop: Workshop) -> None:
    await workshop.index(b"hat")
    decoder = PillowImageDecoder(threads=1)
    given_back: list[bool] = []
    nearest = workshop.repository.nearest

    async def noted(*args: Any, **kwargs: Any) -> Sequence[Match]:
        given_back.append((decoder.budget.admitted, decoder.budget.decoded.in_use) == (0, 0))
        return await nearest(*args, **kwargs)

    workshop.repository.nearest = noted  # type: ignore[method-assign]
    search = SearchSimilar(
        decoder=decoder,
        encoder=workshop.encoder,
        detector=workshop.detector,
        repository=workshop.repository,
        arrange=workshop.arrange,
    )
    await search(a_picture(1), target=Target.IMAGES, options=SearchOptions())
    assert given_back == [True]
    await decoder.close()


async def test_a_region_is_cut_out_before_it_is_encoded(workshop: Workshop) -> None:
    search = SearchSimilar(
        decoder=workshop.decoder,
        encoder=workshop.encoder,
        detector=workshop.detector,
        repository=workshop.repository,
        arrange=workshop.arrange,
    )
    extract = ExtractEmbedding(decoder=workshop.decoder, encoder=workshop.encoder, detector=workshop.detector)
    region = BoundingBox(x_min=-5, y_min=2, x_max=20, y_max=1000)

    result = await search(b"hat", regions=[region], target=Target.IMAGES, options=SearchOptions())

    assert (result.width, result.height) == (32, 24)
    assert result.regions == (BoundingBox(x_min=0, y_min=2, x_max=20, y_max=24),)
    raster = (await decode(workshop.decoder, b"hat", sufficient_side=16)).raster
    [expected] = await workshop.encoder.encode([raster.crop(region)])
    assert np.array_equal((await extract(b"hat", region=region)).embedding, expected)
    for use_case in (
        lambda box: search(b"hat", regions=[box], target=Target.IMAGES, options=SearchOptions()),
        lambda box: extract(b"hat", region=box),
    ):
        with pytest.raises(InvalidRegionError):
            await use_case(BoundingBox(x_min=32, y_min=0, x_max=40, y_max=24))


async def test_examples_are_combined_and_left_out(workshop: Workshop) -> None:
    await workshop.index(*(f"picture {number}".encode() for number in range(6)))
    positive, negative = id_of(b"picture 0"), id_of(b"picture 1")
    search = SearchByExamples(encoder=workshop.encoder, repository=workshop.repository, arrange=workshop.arrange)

    result = await search([positive, positive], [negative], options=SearchOptions())

    vectors = await workshop.repository.embeddings([id_of(f"picture {number}".encode()) for number in range(6)])
    query = example_query([vectors[positive]], [vectors[negative]])
    expected = sorted((float(query @ v) for id_, v in vectors.items() if id_ not in {positive, negative}), reverse=True)
    assert [match.score for match in result.matches] == pytest.approx(expected, abs=1e-5)


async def test_bad_examples_are_told(workshop: Workshop) -> None:
    await workshop.index(b"hat")
    search, hat, none, other = (
        SearchByExamples(encoder=workshop.encoder, repository=workshop.repository, arrange=workshop.arrange),
        id_of(b"hat"),
        id_of(b"x"),
        id_of(b"y"),
    )
    with pytest.raises(ImageNotFoundError) as not_found:
        await search([hat, none], [other], options=SearchOptions())
    assert set(not_found.value.names) == {none, other}
    with pytest.raises(InvalidExamplesError, match=str(hat)):
        await search([hat], [hat], options=SearchOptions())
    with pytest.raises(InvalidExamplesError):
        await search([], options=SearchOptions())
