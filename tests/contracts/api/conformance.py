"""Every answer that a test receives is checked against the OpenAPI document of the service that gave it."""

import json
import re
from typing import Any

import httpx
from jsonschema import Draft202012Validator

PROBLEM = "application/problem+json"


class Conformance:
    """Looks up what the document says of an operation's answers."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._paths = sorted(
            ((re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path) for path in document["paths"]),
            key=lambda item: "{" in item[1],  # fixed paths first
        )

    def check(self, response: httpx.Response) -> None:
        """An httpx event hook. What is no documented operation (404, 405) is left to the tests."""
        path = next((path for pattern, path in self._paths if pattern.fullmatch(response.request.url.path)), None)
        operation = self.document["paths"].get(path, {}).get(response.request.method.lower())
        if operation is None:
            return
        place = f"{response.request.method} {path} -> {response.status_code}"
        response.read()
        documented = operation["responses"].get(str(response.status_code))
        assert documented is not None, f"{place} is not documented: {response.text[:500]}"
        self._check_headers(response, documented, place)
        if not response.content:
            assert not documented.get("content"), f"{place} has no body, the document promises one"
            return
        media_type = response.headers["content-type"].partition(";")[0]
        content = documented.get("content", {})
        described = content.get(media_type) or content.get(f"{media_type.partition('/')[0]}/*")
        assert described is not None, f"{place} is documented as {sorted(content)}, not as {media_type}"
        if media_type.endswith("json"):
            self.check_value(json.loads(response.content), described["schema"], place)

    def _check_headers(self, response: httpx.Response, documented: dict[str, Any], place: str) -> None:
        for name, reference in documented["headers"].items():
            header = self.document["components"]["headers"][reference["$ref"].rpartition("/")[2]]
            assert header["required"]
            assert name in response.headers, f"{place} has no {name}"
            given = response.headers[name]
            self.check_value(int(given) if header["schema"]["type"] == "integer" else given, header["schema"], name)

    def check_value(self, value: object, schema: dict[str, Any], place: str) -> None:
        """Whether a value has the shape that a schema of the document gives."""
        whole = {**schema, "components": self.document["components"]}
        validator = Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)
        errors = [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(value)]
        assert not errors, f"{place}: {errors}"


def assert_problem(response: httpx.Response, status: int, code: str | None = None, *, says: str = "") -> dict[str, Any]:
    """The answer is a complete problem of this status and code, whose detail matches `says`."""
    assert response.status_code == status, f"{response.status_code}: {response.text[:1000]}"
    assert response.headers["content-type"] == PROBLEM
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    assert problem["type"].endswith(problem["code"])
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"] == response.request.url.path
    assert problem["request_id"] == response.headers["x-request-id"]
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", problem["code"])
    if code is not None:
        assert problem["code"] == code, problem
    assert re.search(says, problem["detail"]), problem
    if problem["code"] == "validation_failed" and "errors" in problem:
        assert all({"loc", "msg", "type"} <= error.keys() for error in problem["errors"])
    return problem


def assert_invalid(response: httpx.Response, name: str | int, *, says: str = "") -> None:
    """The parameter `name` is refused, and named."""
    problem = assert_problem(response, 422, "validation_failed", says=says)
    assert any(name in error["loc"] for error in problem["errors"]), problem
