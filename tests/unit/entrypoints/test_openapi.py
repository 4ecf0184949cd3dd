"""The OpenAPI document by the rules that linters (Spectral's `oas` set) hold documents to, and by our own."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from adapters.detectors.postprocessing import SCORE_FLOOR
from domain.images import sha256_of
from domain.names import id_of_key
from domain.ports.thumbnail_renderer import DEFAULT_THUMBNAIL_SIDE, THUMBNAIL_SIDES
from entrypoints.http.contract.image_schemas import EXAMPLE_IMAGE
from tests.pictures import a_photo, opened
from tests.unit.entrypoints.application import an_app, serving


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    return an_app(tmp_path).openapi()


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield {"name": f"{method} {path}", **operation}


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in the document."""
    if isinstance(value, dict):
        yield value
        for child in value.values():
            yield from nodes(child)
    elif isinstance(value, list):
        for child in value:
            yield from nodes(child)


def test_it_is_valid(document: dict[str, Any]) -> None:
    validate(document)


def test_it_says_what_it_is(document: dict[str, Any]) -> None:
    assert document["info"]["description"]
    assert document["info"]["license"]["identifier"] == "Apache-2.0"
    assert document["servers"]
    assert all(not server["url"].endswith("example.com") for server in document["servers"])


def test_tags_are_described_and_used(document: dict[str, Any]) -> None:
    declared = [tag["name"] for tag in document["tags"]]
    assert all(tag["description"] for tag in document["tags"])
    assert len(set(declared)) == len(declared)
    assert {tag for operation in operations(document) for tag in operation["tags"]} == set(declared)


def test_operations_have_ids_that_are_names(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for operation in operations(document)]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[a-z][a-z_]*", id_) for id_ in ids), ids


def test_paths_are_plain_and_their_parameters_declared(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        assert not path.endswith("/")
        assert "?" not in path
        for operation in methods.values():
            declared = [(given["name"], given["in"]) for given in operation.get("parameters", [])]
            assert len(set(declared)) == len(declared)
            assert {name for name, place in declared if place == "path"} == set(re.findall(r"\{(\w+)\}", path))


def test_every_operation_may_succeed_and_fail(document: dict[str, Any]) -> None:
    for operation in operations(document):
        statuses = {int(status) // 100 for status in operation["responses"]}
        assert {2, 4} <= statuses, operation["name"]


def test_every_component_is_used_and_described(document: dict[str, Any]) -> None:
    used = {node["$ref"] for node in nodes(document) if isinstance(node.get("$ref"), str)}
    for name, schema in document["components"]["schemas"].items():
        assert f"#/components/schemas/{name}" in used, name
        assert schema.get("description"), name


def test_every_header_is_used_and_described(document: dict[str, Any]) -> None:
    used = {node["$ref"] for node in nodes(document) if isinstance(node.get("$ref"), str)}
    for name, header in document["components"]["headers"].items():
        assert f"#/components/headers/{name}" in used, name
        assert header["description"], name


def test_headers_are_told_where_they_matter(document: dict[str, Any]) -> None:
    for operation in operations(document):
        responses, name = operation["responses"], operation["name"]
        headers = {status: {*response["headers"]} for status, response in responses.items()}
        assert all("X-Request-ID" in told for told in headers.values()), name
        files = "/content" in name or "/thumbnail" in name
        expected = {"Location": {"201"}, "WWW-Authenticate": {"401"}, "Retry-After": {"429", "503"}}
        expected["ETag"] = {"200", "304"} if files else set()
        for header, statuses in expected.items():
            assert {status for status, told in headers.items() if header in told} == statuses & headers.keys(), name
        taken = {given["name"] for given in operation.get("parameters", []) if given["in"] == "header"}
        deadline = {"X-Request-Deadline-Ms"} if " /v1/" in name else set()
        assert taken == deadline | ({"If-None-Match"} if files else set()), name


def test_whatever_may_be_401_says_how_a_key_is_sent(document: dict[str, Any]) -> None:
    for operation in operations(document):
        assert bool(operation.get("security")) == ("401" in operation["responses"]), operation["name"]


def test_no_text_holds_markup_that_could_run(document: dict[str, Any]) -> None:
    assert not re.search(r"<script|eval\(|javascript:", json.dumps(document))


def test_enumerations_are_of_their_type(document: dict[str, Any]) -> None:
    enumerations = [node for node in nodes(document) if isinstance(node.get("enum"), list)]
    assert enumerations
    for node in enumerations:
        kind = {"string": str, "integer": int}[node["type"]]
        assert all(type(value) is kind for value in node["enum"])
        assert len(set(node["enum"])) == len(node["enum"])


def test_thumbnails_are_of_the_sizes_that_are_kept(document: dict[str, Any]) -> None:
    parameters = document["paths"]["/v1/images/{id}/thumbnail"]["get"]["parameters"]
    [size] = [each["schema"] for each in parameters if each["name"] == "size"]
    assert tuple(size["enum"]) == THUMBNAIL_SIDES
    assert size["default"] == DEFAULT_THUMBNAIL_SIDE


def test_files_are_marked_as_generators_expect(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["SearchForm"]["properties"]["file"]["format"] == "binary"
    assert schemas["BatchForm"]["properties"]["files"]["items"]["format"] == "binary"


@pytest.mark.parametrize(
    ("name", "nulls"),
    [
        ("ImagePageOut", ["next_cursor"]),
        ("SearchResultOut", ["query", "objects"]),
        ("MetadataPatchIn", ["metadata", "brand"]),
    ],
)
def test_nulls_of_examples_are_told(document: dict[str, Any], name: str, nulls: list[str]) -> None:
    [value] = document["components"]["schemas"][name]["examples"]
    for key in nulls:
        value = value[key]
    assert value is None


def test_the_least_confidence_that_counts_is_told(document: dict[str, Any]) -> None:
    threshold = document["components"]["schemas"]["DetectionForm"]["properties"]["score_threshold"]
    assert f"below {SCORE_FLOOR}".replace("0.", ".") in threshold["description"]


def test_the_example_is_a_picture_of_the_demo() -> None:
    content = a_photo(str(EXAMPLE_IMAGE["filename"]))
    assert EXAMPLE_IMAGE["sha256"] == sha256_of(content)
    assert EXAMPLE_IMAGE["id"] == str(id_of_key(str(EXAMPLE_IMAGE["key"])))
    assert EXAMPLE_IMAGE["size_bytes"] == len(content)
    assert (EXAMPLE_IMAGE["width"], EXAMPLE_IMAGE["height"]) == opened(content).size


async def test_every_operation_refuses_query_parameters_that_it_does_not_know(tmp_path: Path) -> None:
    app = an_app(tmp_path)
    async with serving(app) as client:
        for path, methods in app.openapi()["paths"].items():
            for method in methods:
                answer = await client.request(method, path.format(id=EXAMPLE_IMAGE["id"]), params={"nope": "1"})
                errors = answer.json().get("errors", [])
                assert ["query", "nope"] in [error["loc"] for error in errors], f"{method} {path}"
