"""The one Qdrant repository, over each of its backends."""

from pathlib import Path
from typing import Any

from adapters.repositories.qdrant.embedded.repository import EmbeddedSimilarityRepository
from adapters.repositories.qdrant.server.repository import ServerSimilarityRepository


def embedded_repository(directory: Path, *, reserve_bytes: int = 0, **options: Any) -> EmbeddedSimilarityRepository:
    return EmbeddedSimilarityRepository(directory, reserve_bytes=reserve_bytes, **options)


def server_repository(**options: Any) -> ServerSimilarityRepository:
    return ServerSimilarityRepository(**options)
