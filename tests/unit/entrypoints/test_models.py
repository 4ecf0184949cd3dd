"""What `GET /v1/models` tells of the deployment, through the application."""

from pathlib import Path
from uuid import UUID

from adapters.repositories.in_memory import IDENTITY
from tests.unit.entrypoints.application import an_app, serving

DECLARED = {"brand": "keyword", "price": "float", "taken_at": "datetime"}


async def test_declared_metadata_keys_are_told_with_their_types(tmp_path: Path) -> None:
    app = an_app(tmp_path, repository={"backend": "memory", "indexed_metadata": DECLARED})
    async with serving(app) as client:
        assert (await client.get("/v1/models")).json()["metadata_types"] == DECLARED


async def test_an_index_tells_its_id(tmp_path: Path) -> None:
    app = an_app(tmp_path, repository={"backend": "memory"})
    async with serving(app) as client:
        assert UUID((await client.get("/v1/models")).json()["index_id"]) == IDENTITY
