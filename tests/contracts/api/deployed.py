"""A deployment under test, and the pictures of one test on it."""

import itertools
import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from tests.contracts.api.conformance import Conformance
from tests.pictures import a_picture
from tests.serving import Service, running

MAX_UPLOAD = 1024 * 1024
MAX_BATCH = 4 * MAX_UPLOAD
MAX_FILES = 24
"""Small limits, so that passing them is cheap."""

DECLARED = {"REPOSITORY__INDEXED_METADATA": "product:keyword,pieces:integer,weight:float,due:datetime"}

LIMITS = {
    "HTTP__MAX_UPLOAD_BYTES": str(MAX_UPLOAD),
    "HTTP__MAX_BATCH_BYTES": str(MAX_BATCH),
    "HTTP__MAX_BATCH_FILES": str(MAX_FILES),
}


class Album:
    """The pictures of one test: a mark in their metadata keeps them apart from those of others."""

    def __init__(self, client: httpx.Client, numbers: Iterator[int]) -> None:
        self.client = client
        self.mark = uuid.uuid4().hex
        self._numbers = numbers

    def picture(self, **options: Any) -> bytes:
        """One that nobody has seen."""
        return a_picture(next(self._numbers), **options)

    def metadata(self, **more: Any) -> str:
        return json.dumps({"mark": self.mark, **more})

    def post(self, content: bytes, filename: str = "picture.png", **metadata: Any) -> httpx.Response:
        return self.client.post(
            "/v1/images", files={"file": (filename, content)}, data={"metadata": self.metadata(**metadata)}
        )

    def add(self, content: bytes | None = None, filename: str = "picture.png", **metadata: Any) -> dict[str, Any]:
        """Index a picture, by default a new one; its record."""
        response = self.post(self.picture() if content is None else content, filename, **metadata)
        assert response.status_code == 201, response.text
        record: dict[str, Any] = response.json()
        return record

    def batch(self, *files: tuple[str, bytes], metadata: str | None = None) -> httpx.Response:
        return self.client.post(
            "/v1/images/batch",
            files=[("files", file) for file in files],
            data={"metadata": self.metadata() if metadata is None else metadata},
        )

    def where(self, *more: Mapping[str, Any], **parts: Any) -> dict[str, Any]:
        """A filter that keeps to this album."""
        return {"all": [{"field": "metadata.mark", "eq": self.mark}, *more], **parts}

    def filter(self, *more: Mapping[str, Any], **parts: Any) -> str:
        return json.dumps(self.where(*more, **parts))

    def listed(self, **query: Any) -> dict[str, Any]:
        response = self.client.get("/v1/images", params={"filter": self.filter(), **query})
        assert response.status_code == 200, response.text
        page: dict[str, Any] = response.json()
        return page

    def ids(self) -> list[str]:
        """All that is listed of it, newest first."""
        return [item["id"] for item in self.listed(limit=200)["items"]]

    def search(self, content: bytes, **form: Any) -> dict[str, Any]:
        """A search within the album."""
        response = self.client.post(
            "/v1/search", files={"file": ("query.png", content)}, data={"filter": self.filter(), **form}
        )
        assert response.status_code == 200, response.text
        result: dict[str, Any] = response.json()
        return result


def ids_of(result: Mapping[str, Any]) -> list[str]:
    return [match["image"]["id"] for match in result["matches"]]


def scores_of(result: Mapping[str, Any]) -> list[float]:
    return [match["score"] for match in result["matches"]]


class Deployed:
    """The fixtures that the parts of the contract share."""

    @pytest.fixture(scope="class")
    @classmethod
    def service(cls, deployment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
        with running(tmp_path_factory.mktemp("service"), {**LIMITS, **DECLARED, **deployment}) as service:
            yield service

    @pytest.fixture(scope="class")
    @classmethod
    def document(cls, service: Service) -> dict[str, Any]:
        document: dict[str, Any] = httpx.get(f"{service.url}/openapi.json", timeout=30).json()
        return document

    @pytest.fixture(scope="class")
    @classmethod
    def conformance(cls, document: dict[str, Any]) -> Conformance:
        return Conformance(document)

    @pytest.fixture(scope="class")
    @classmethod
    def client(cls, service: Service, conformance: Conformance) -> Iterator[httpx.Client]:
        with service.client(event_hooks={"response": [conformance.check]}) as client:
            yield client

    @pytest.fixture(scope="class")
    @classmethod
    def numbers(cls) -> Iterator[int]:
        return itertools.count(1000)

    @pytest.fixture
    def album(self, client: httpx.Client, numbers: Iterator[int]) -> Album:
        return Album(client, numbers)
