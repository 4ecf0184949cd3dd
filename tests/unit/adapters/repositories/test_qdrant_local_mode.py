import pytest

from adapters.repositories.qdrant_similarity_repository import QdrantSimilarityRepository
from tests.contracts.similarity_repository import SimilarityRepositoryContract


class TestQdrantLocalMode(SimilarityRepositoryContract):
    """The adapter on the client's local mode: its own logic, without a server."""

    score_tolerance = 1e-5

    @pytest.fixture
    def fresh(self) -> QdrantSimilarityRepository:
        return QdrantSimilarityRepository(url=":memory:")
