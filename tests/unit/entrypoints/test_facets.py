"""Facets of declared metadata, through the application; their counts are the repositories' contract."""

from pathlib import Path
from typing import Any

import pytest

from tests.pictures import a_picture
from tests.unit.entrypoints.application import an_app, serving

DECLARED = {"brand": "keyword", "size": "integer", "sale": "bool", "price": "float", "taken_at": "datetime"}


async def asked(directory: Path, body: dict[str, Any]) -> Any:
    """What the application answers about two pictures of one brand and one of another."""
    app = an_app(directory, repository={"backend": "memory", "indexed_metadata": DECLARED})
    async with serving(app) as client:
        for number, metadata in enumerate(
            ('{"brand": ["acme", "Zara"], "size": 42, "sale": true}', '{"brand": "acme", "size": 7}', "{}")
        ):
            file = (f"{number}.png", a_picture(number))
            sent = await client.post("/v1/images", files={"file": file}, data={"metadata": metadata})
            assert sent.status_code == 201, sent.text
        return (await client.post("/v1/facets", json=body)).json()


async def test_values_are_counted_by_pictures_the_most_frequent_first(tmp_path: Path) -> None:
    fields = ["metadata.brand", "metadata.size", "metadata.sale", "media_type"]
    facets = (await asked(tmp_path, {"fields": fields}))["facets"]
    assert {field: [(each["value"], each["images"]) for each in found] for field, found in facets.items()} == {
        "metadata.brand": [("acme", 2), ("Zara", 1)],
        "metadata.size": [(42, 1), (7, 1)],
        "metadata.sale": [(True, 1)],
        "media_type": [("image/png", 3)],
    }
    assert list(facets) == fields


async def test_among_the_pictures_that_match_and_only_so_many(tmp_path: Path) -> None:
    where = {"all": [{"field": "metadata.size", "gte": 40}]}
    body = {"fields": ["metadata.brand"], "filter": where, "limit": 1}
    assert await asked(tmp_path, body) == {"facets": {"metadata.brand": [{"value": "Zara", "images": 1}]}}


@pytest.mark.parametrize("field", ["metadata.price", "metadata.taken_at", "metadata.other"])
async def test_other_keys_are_refused_with_those_that_can_be_counted(tmp_path: Path, field: str) -> None:
    problem = await asked(tmp_path, {"fields": [field]})
    assert problem["code"] == "invalid_filter"
    assert (
        f"The values of {field} are not counted. Those of metadata.brand, metadata.size, metadata.sale"
        in (problem["detail"])
    )
