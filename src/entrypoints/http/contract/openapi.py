"""The OpenAPI document beyond what FastAPI makes of the routes by itself."""

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from entrypoints.http.contract import edit_schemas, image_schemas, model_schemas, name_schemas, search_schemas
from entrypoints.http.contract.parameters import DEADLINE_HEADER, MAX_DEADLINE, OUTCOME_HEADER, REQUEST_ID_HEADER
from entrypoints.http.contract.problems import MEDIA_TYPE

TAGS = [
    {"name": "Search", "description": "Find images by a picture, by parts of it, by stored images."},
    {"name": "Images", "description": "Index images, look at them, change and delete them."},
    {"name": "Models", "description": "What the models make of a picture, and which models these are."},
    {"name": "Operations", "description": "Health, always open, and metrics."},
]

# Without examples, which Swagger UI would fill in and send.
DEADLINE: dict[str, Any] = {
    "name": DEADLINE_HEADER,
    "in": "header",
    "description": "How many milliseconds the caller waits: work that has not begun by then is dropped (504).",
    "schema": {"type": "integer", "minimum": 0, "maximum": MAX_DEADLINE},
}
CONDITION: dict[str, Any] = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The `ETag` of the copy that the caller has: 304 where it is current.",
    "schema": {"type": "string"},
}

_TEXT, _SECONDS = {"type": "string"}, {"type": "integer", "minimum": 1}

RESPONSE_HEADERS: dict[str, tuple[frozenset[str] | None, str, dict[str, Any]]] = {
    REQUEST_ID_HEADER: (None, "The caller's, if it sent a valid one; it is in the log too.", _TEXT),
    "Location": (frozenset({"201"}), "The path of what was created.", _TEXT),
    "WWW-Authenticate": (frozenset({"401"}), "How a key is sent.", _TEXT),
    "Retry-After": (frozenset({"429", "503"}), "Seconds after which it is worth another try.", _SECONDS),
}
"""For each header its statuses (None: all), its meaning and its schema. No answer of these statuses lacks it."""

ETAG = "ETag"
"""The headers of answers that may be 304, and of those."""


def operation_id(route: APIRoute) -> str:
    """Short: generated clients name their functions by it."""
    return route.name


def describe(app: FastAPI) -> None:
    """Correct the document once it is made."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = generate()
            _, undocumented = models_json_schema(
                [(name_schemas.UrlBatchIn, "validation")], ref_template="#/components/schemas/{model}"
            )
            app.openapi_schema["components"]["schemas"] |= undocumented["$defs"]  # its route shares another's path
            _restore_examples(app.openapi_schema)
            _complete_operations(app.openapi_schema)
            # FastAPI has added the path under which a proxy serves us, if there is one.
            app.openapi_schema.setdefault("servers", [{"url": "/", "description": "Where this document came from."}])
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI documents this way of extending it


def _restore_examples(document: dict[str, Any]) -> None:
    """Put the schemas' examples in anew: FastAPI drops nulls from them, which mean something."""
    components = document["components"]["schemas"]
    for module in (edit_schemas, image_schemas, model_schemas, name_schemas, search_schemas):
        for name, schema in vars(module).items():
            if name in components and isinstance(schema, type) and issubclass(schema, BaseModel):
                more = schema.model_config.get("json_schema_extra")
                if isinstance(more, dict) and "examples" in more:
                    components[name]["examples"] = more["examples"]


def _complete_operations(document: dict[str, Any]) -> None:
    """Declare the headers that matter to callers, of which FastAPI knows only a route's parameters, and problems."""
    headers = {name: (description, schema) for name, (_, description, schema) in RESPONSE_HEADERS.items()}
    headers[ETAG] = ("It names the file's content, for `If-None-Match`.", _TEXT)
    headers[OUTCOME_HEADER] = ("What happened.", {"type": "string", "enum": ["created", "exists", "replaced"]})
    document["components"]["headers"] = {
        name: {"description": description, "required": True, "schema": schema}
        for name, (description, schema) in headers.items()
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            responses: dict[str, dict[str, Any]] = operation["responses"]
            conditional = "304" in responses
            taken = operation.setdefault("parameters", [])
            if path.startswith("/v1/"):
                taken.append(DEADLINE)
            if conditional:
                taken.append(CONDITION)
            for status, response in responses.items():
                if MEDIA_TYPE in response.get("content", {}):  # FastAPI documents that of good answers beside it
                    response["content"] = {MEDIA_TYPE: response["content"][MEDIA_TYPE]}
                sent = [name for name, (statuses, *_) in RESPONSE_HEADERS.items() if not statuses or status in statuses]
                if conditional and status in {"200", "304"}:
                    sent.append(ETAG)
                sent += response.get("headers", {})  # those that a route declares
                response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in sent}
