"""The OpenAPI document beyond what FastAPI makes of the routes by itself."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel

from entrypoints.http.problems import document_problems
from entrypoints.http.schemas import images, models, search

TAGS = [
    {"name": "Search", "description": "Find images by a picture, by parts of it, by stored images."},
    {"name": "Images", "description": "Index images, look at them, change and delete them."},
    {"name": "Models", "description": "What the models make of a picture, and which models these are."},
    {"name": "Operations", "description": "Health, always open, and metrics."},
]


def operation_id(route: APIRoute) -> str:
    """Short: generated clients name their functions by it."""
    return route.name


def describe(app: FastAPI) -> None:
    """Correct the document once it is made."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = document_problems(generate())
            _restore_examples(app.openapi_schema)
            _mark_files(app.openapi_schema)
            # FastAPI has added the path under which a proxy serves us, if there is one.
            app.openapi_schema.setdefault("servers", [{"url": "/", "description": "Where this document came from."}])
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI documents this way of extending it


def _restore_examples(document: dict[str, Any]) -> None:
    """Put the schemas' examples in anew: FastAPI drops nulls from them, which mean something."""
    components = document["components"]["schemas"]
    for module in (images, models, search):
        for name, schema in vars(module).items():
            if name in components and isinstance(schema, type) and issubclass(schema, BaseModel):
                more = schema.model_config.get("json_schema_extra")
                if isinstance(more, dict) and "examples" in more:
                    components[name]["examples"] = more["examples"]


def _mark_files(document: dict[str, Any]) -> None:
    """Say of files in forms what OpenAPI 3.0 said of them too: many generators of clients know no other way."""
    for component in document["components"]["schemas"].values():
        for schema in _with_items(component.get("properties", {}).values()):
            if schema.get("contentMediaType") == "application/octet-stream":
                schema["format"] = "binary"


def _with_items(schemas: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - JSON
    for schema in schemas:
        yield schema
        if "items" in schema:
            yield schema["items"]
