"""The service where no object detector runs."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.contracts.api.conformance import Conformance, assert_problem
from tests.photos import picture
from tests.pictures import a_truncated_photo, encoded
from tests.serving import running


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    settings = {"REPOSITORY__BACKEND": "memory", "DETECTOR__RUNTIME": "none"}
    with running(tmp_path_factory.mktemp("service"), settings) as service:
        conformance = Conformance(httpx.get(f"{service.url}/openapi.json", timeout=30).json())
        with service.client(event_hooks={"response": [conformance.check]}) as client:
            yield client


@pytest.fixture(scope="module")
def image(client: httpx.Client) -> dict[str, Any]:
    response = client.post("/v1/images", files={"file": ("cat.png", encoded(picture("chelsea")))})
    assert response.status_code == 201
    image: dict[str, Any] = response.json()
    return image


def test_detections_are_unavailable_whatever_is_sent(client: httpx.Client) -> None:
    for content in (encoded(picture("chelsea")), a_truncated_photo()):
        response = client.post("/v1/detections", files={"file": content})
        assert_problem(response, 503, "detector_unavailable", says="LOOKALIKE_DETECTOR__RUNTIME")
        assert int(response.headers["retry-after"]) > 0


def test_it_is_told_and_the_service_is_ready(client: httpx.Client, image: dict[str, Any]) -> None:
    body = client.get("/v1/models").json()
    assert body["detector"] is None
    assert (body["repository"]["images"], body["repository"]["objects"]) == (1, 0)
    assert client.get("/health/ready").status_code == 200


def test_pictures_are_indexed_and_found_without_objects(client: httpx.Client, image: dict[str, Any]) -> None:
    assert image["objects"] == []
    assert client.post("/v1/facets", json={"fields": ["labels"]}).json() == {"facets": {"labels": []}}
    expected: dict[str, list[str]] = {"images": [image["id"]], "objects": [], "any": [image["id"]]}
    for target, ids in expected.items():
        files = {"file": encoded(picture("chelsea"))}
        result = client.post("/v1/search", files=files, data={"target": target}).json()
        assert [match["image"]["id"] for match in result["matches"]] == ids
        assert result["query"]["objects"] is None
