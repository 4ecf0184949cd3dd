"""A client that a generator makes of the OpenAPI document indexes and searches."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.requirements import require
from tests.pictures import a_photo
from tests.serving import Service, running

GENERATOR = Path(sys.prefix) / "generator" / "bin" / "openapi-python-client"
"""Where `make e2e` installs it."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("service"), {"REPOSITORY__BACKEND": "memory"}) as service:
        yield service


@pytest.fixture(scope="module")
def generated(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of the generated package, which can be imported."""
    require(GENERATOR.exists(), "The generator of clients is not installed: make e2e")
    directory = tmp_path_factory.mktemp("client")
    document = directory / "openapi.json"
    document.write_text(json.dumps(httpx.get(f"{service.url}/openapi.json", timeout=30).json()))
    # No hooks: the generator would format its output by commands that must be on the path.
    (directory / "config.yml").write_text("post_hooks: []")
    options = ["--meta", "none", "--config", directory / "config.yml", "--output-path", directory / "lookalike_client"]
    made = subprocess.run(
        [GENERATOR, "generate", "--path", document, *options], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stdout + made.stderr
    sys.path.insert(0, str(directory))
    yield "lookalike_client"
    sys.path.remove(str(directory))


def test_it_indexes_and_searches(service: Service, generated: str) -> None:
    def part(name: str) -> Any:
        return importlib.import_module(f"{generated}.{name}")

    def file(name: str) -> Any:
        return part("types").File(payload=a_photo(name), file_name=name)

    with part("client").Client(base_url=service.url) as client:
        _index_and_search(client, part, file)


def _index_and_search(client: Any, part: Callable[[str], Any], file: Callable[[str], Any]) -> None:
    form, image_type = part("models.index_form").IndexForm, part("models.image_out").ImageOut
    for name in ("hat-01.jpg", "hat-02.jpg", "shoes-01.jpg"):
        image = part("api.images.index_image").sync(
            client=client, body=form(file=file(name), metadata=json.dumps({"kind": name[:-7]}))
        )
        assert isinstance(image, image_type)
        assert image.filename == name

    search = part("models.search_form").SearchForm(file=file("hat-01.jpg"), limit=2)
    found = part("api.search.search").sync(client=client, body=search)
    assert [match.image.filename for match in found.matches] == ["hat-01.jpg", "hat-02.jpg"]
    assert found.matches[0].score == pytest.approx(1, abs=0.01)

    where = json.dumps({"all": [{"field": "metadata.kind", "eq": "shoes"}]})
    search = part("models.search_form").SearchForm(file=file("hat-01.jpg"), filter_=where)
    found = part("api.search.search").sync(client=client, body=search)
    assert [match.image.filename for match in found.matches] == ["shoes-01.jpg"]

    listed = part("api.images.list_images").sync(client=client, limit=2)
    assert len(listed.items) == 2
    assert isinstance(listed.next_cursor, str)

    refused = part("api.search.search").sync(
        client=client,
        body=part("models.search_form").SearchForm(file=part("types").File(payload=b"no picture", file_name="a.jpg")),
    )
    assert refused.code == "unsupported_image_format"
