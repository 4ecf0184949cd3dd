"""The OpenAPI document, and the pages that show it."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

from tests.contracts.api.conformance import PROBLEM, Conformance
from tests.contracts.api.deployed import Deployed

OPERATIONS = {
    "GET /v1/images",
    "POST /v1/images",
    "POST /v1/images/batch",
    "GET /v1/images/{id}",
    "PATCH /v1/images/{id}",
    "DELETE /v1/images/{id}",
    "POST /v1/images/delete",
    "GET /v1/images/by-key",
    "PATCH /v1/images/by-key",
    "DELETE /v1/images/by-key",
    "POST /v1/images/lookup",
    "POST /v1/images/rename",
    "GET /v1/images/{id}/content",
    "GET /v1/images/{id}/thumbnail",
    "GET /v1/images/{id}/similar",
    "POST /v1/facets",
    "POST /v1/images/metadata",
    "POST /v1/search",
    "POST /v1/search/examples",
    "POST /v1/embeddings",
    "POST /v1/detections",
    "GET /v1/models",
    "GET /health/live",
    "GET /health/ready",
    "GET /metrics",
}


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def examples_of(document: dict[str, Any], content: dict[str, Any]) -> list[Any]:
    """The examples of a body, in the places where the tools look for them."""
    named = [example["value"] for example in content.get("examples", {}).values()]
    here = [content["example"]] if "example" in content else []
    return [*here, *named, *resolved(document, content["schema"]).get("examples", [])]


def is_described(schema: dict[str, Any]) -> bool:
    return any(variant.get("description") for variant in (schema, *schema.get("anyOf", [])))


class DocumentContract(Deployed):
    def test_it_is_valid(self, document: dict[str, Any]) -> None:
        validate(document)

    def test_it_names_every_operation(self, document: dict[str, Any]) -> None:
        assert {name for name, _ in operations(document)} >= OPERATIONS

    def test_every_operation_is_described(self, document: dict[str, Any]) -> None:
        ids = [operation["operationId"] for _, operation in operations(document)]
        assert len(ids) == len(set(ids))
        for name, operation in operations(document):
            assert operation["summary"], name
            assert operation["description"], name
            assert operation["tags"], name
            assert all(response["description"] for response in operation["responses"].values()), name

    def test_every_json_answer_has_an_example_of_its_shape(
        self, document: dict[str, Any], conformance: Conformance
    ) -> None:
        for name, operation in operations(document):
            for status, response in operation["responses"].items():
                for media_type, content in response.get("content", {}).items():
                    if not media_type.endswith("json"):
                        continue
                    examples = examples_of(document, content)
                    assert examples, f"{name} {status} {media_type} has no example"
                    for example in examples:
                        conformance.check_value(example, content["schema"], f"example of {name} {status}")

    def test_every_json_body_has_an_example_of_its_shape(
        self, document: dict[str, Any], conformance: Conformance
    ) -> None:
        for name, operation in operations(document):
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                if media_type.endswith("json"):
                    examples = examples_of(document, content)
                    assert examples, f"{name} has no example of its body"
                    for example in examples:
                        conformance.check_value(example, content["schema"], f"example of {name}")

    def test_every_form_field_and_parameter_is_described(self, document: dict[str, Any]) -> None:
        for name, operation in operations(document):
            for parameter in operation.get("parameters", []):
                assert parameter.get("description") or is_described(parameter["schema"]), f"{name}: {parameter['name']}"
            content = operation.get("requestBody", {}).get("content", {})
            if "multipart/form-data" in content:
                form = resolved(document, content["multipart/form-data"]["schema"])
                for field, schema in form["properties"].items():
                    assert is_described(schema), f"{name}: {field}"

    def test_errors_are_problems_with_examples_of_their_status(self, document: dict[str, Any]) -> None:
        for name, operation in operations(document):
            errors = {status: r for status, r in operation["responses"].items() if int(status) >= 400}
            assert errors, name
            if name.partition(" ")[2].startswith("/v1/"):
                assert {"401", "403", "422", "429", "503", "504"} <= errors.keys(), name
            for status, response in errors.items():
                assert list(response["content"]) == [PROBLEM], f"{name} {status}"
                for example in examples_of(document, response["content"][PROBLEM]):
                    assert example["status"] == int(status), f"{name} {status}"
                    assert example["code"]

    def test_pictures_are_sent_as_multipart_and_many_urls_as_json(self, document: dict[str, Any]) -> None:
        for path in ("/v1/images", "/v1/images/batch", "/v1/search", "/v1/embeddings", "/v1/detections"):
            types = ["multipart/form-data", *(["application/json"] if path.endswith("batch") else [])]
            assert list(document["paths"][path]["post"]["requestBody"]["content"]) == types, path

    @pytest.mark.parametrize("page", ["/docs", "/redoc"])
    def test_the_pages_may_load_nothing_from_elsewhere(self, client: httpx.Client, page: str) -> None:
        policy = client.get(page).headers["content-security-policy"]
        assert policy.startswith("default-src 'none';")
        assert "http" not in policy

    def test_pictures_may_be_too_large_unknown_or_unreadable(self, document: dict[str, Any]) -> None:
        for path in ("/v1/images", "/v1/search", "/v1/embeddings", "/v1/detections"):
            assert {"400", "413", "415", "422"} <= document["paths"][path]["post"]["responses"].keys()

    @pytest.mark.parametrize("page", ["/docs", "/redoc"])
    def test_the_pages_need_no_outside_host(self, client: httpx.Client, page: str) -> None:
        response = client.get(page)
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/html")
        sources = re.findall(r"""(?:src|href)=["']([^"']+)["']""", response.text)
        assert any(source.endswith(".js") for source in sources)
        for source in sources:
            assert not re.match(r"(https?:)?//", source), source
            asset = client.get(source)
            assert asset.status_code == 200, source
            if source.endswith(".css"):
                assert not re.search(r"""(?:url\(|@import)\s*["']?(https?:)?//""", asset.text)
        styles = "".join(re.findall(r"<style.*?</style>", response.text, re.DOTALL))
        assert "//" not in styles
        assert "/openapi.json" in response.text
