import pytest

from adapters.repositories.in_memory import InMemorySimilarityRepository
from tests.builders import a_query, an_embedding, an_id, an_image
from tests.contracts.repository_cases import DECLARED
from tests.contracts.similarity_repository import SPACE, SimilarityRepositoryContract


class TestInMemorySimilarityRepository(SimilarityRepositoryContract):
    score_tolerance = 1e-5
    deep_images = 10_600

    @pytest.fixture
    def fresh(self) -> InMemorySimilarityRepository:
        return InMemorySimilarityRepository(DECLARED)


async def test_use_before_open_is_a_programming_error() -> None:
    repository = InMemorySimilarityRepository()
    with pytest.raises(RuntimeError, match="opened"):
        await repository.count()
    with pytest.raises(RuntimeError, match="opened"):
        _ = repository.space


async def test_only_its_own_replacement_can_take_its_place() -> None:
    repository, stranger = InMemorySimilarityRepository(), InMemorySimilarityRepository()
    await repository.open(SPACE)
    await stranger.open(SPACE)
    with pytest.raises(ValueError, match="replacement"):
        await repository.promote(stranger)
    await repository.close()
    await stranger.close()


async def test_equal_scores_never_repeat_across_pages() -> None:
    repository = InMemorySimilarityRepository()
    await repository.open(SPACE)
    await repository.upsert([an_image(number, embedding=an_embedding(0)) for number in range(40)])
    paged = [
        match.image.id
        for offset in range(0, 40, 7)
        for match in await repository.nearest(a_query(an_embedding(0), limit=7, offset=offset))
    ]
    assert sorted(paged) == sorted(an_id(number) for number in range(40))
    await repository.close()
