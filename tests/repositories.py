"""The one Qdrant repository, over each of its backends."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from adapters.repositories.qdrant.embedded.repository import EmbeddedSimilarityRepository
from adapters.repositories.qdrant.server.collections import QdrantCollections
from adapters.repositories.qdrant.server.connection import QdrantConnection
from adapters.repositories.qdrant.server.repository import ServerSimilarityRepository


def embedded_repository(directory: Path, *, reserve_bytes: int = 0, **options: Any) -> EmbeddedSimilarityRepository:
    return EmbeddedSimilarityRepository(directory, reserve_bytes=reserve_bytes, **options)


def server_repository(*, collection: str = "lookalike", **options: Any) -> ServerSimilarityRepository:
    of_layout = {field.name for field in fields(QdrantCollections)}
    layout = {name: value for name, value in options.items() if name in of_layout}
    connection = QdrantConnection(**{name: value for name, value in options.items() if name not in of_layout})
    return ServerSimilarityRepository(QdrantCollections(connection=connection, index=collection, **layout))
