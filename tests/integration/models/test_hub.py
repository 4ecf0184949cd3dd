"""Against a server that speaks the hub's protocol, since the hub itself is no part of a test run."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from adapters.inference.model_directory import sha256_of
from adapters.toolchain.catalogue import pull_model
from adapters.toolchain.timm_model import load_timm_model
from domain.errors import ModelError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "someone/small"

PULL = """
import json, sys
from pathlib import Path
from adapters.toolchain.catalogue import pull_model
from domain.errors import ModelError
from entrypoints.remedies import explained
for arguments in json.loads(sys.argv[1]):
    try:
        model, commit = pull_model(**arguments)
        size = model.preprocessing.size
        print(json.dumps([model.name, model.weights_digest, commit, model.features.dimension, size]))
    except ModelError as error:
        print(json.dumps(explained(error)))
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in the hub's layout: config.json beside model.safetensors."""
    directory = tmp_path_factory.mktemp("repository")
    torch.manual_seed(4)
    model = timm.create_model("resnet10t")
    save_file(model.state_dict(), directory / "model.safetensors")
    config = {"architecture": "resnet10t", "pretrained_cfg": {"input_size": [3, 64, 64], "license": "cc0-1.0"}}
    (directory / "config.json").write_text(json.dumps(config))
    return directory


@pytest.fixture(scope="module")
def hub(repository: Path) -> Iterator[str]:
    """A hub that has this one repository, at one commit, and its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            owner, name, _, revision, filename = self.path.removeprefix("/").split("/", 4)
            path = repository / filename
            if f"{owner}/{name}" != REPOSITORY:
                self._refuse("RepoNotFound")
            elif revision not in ("main", COMMIT):
                self._refuse("RevisionNotFound")
            elif not path.is_file():
                self._refuse("EntryNotFound")
            else:
                content = path.read_bytes()
                self.send_response(HTTPStatus.OK)
                self.send_header("ETag", f'"{sha256_of(path)}"')
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if body:
                    self.wfile.write(content)

        def _refuse(self, code: str) -> None:
            self.send_response(HTTPStatus.NOT_FOUND)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def pull(*calls: dict[str, Any], **environment: str) -> list[Any]:
    """What `pull_model` answers, in a process of its own: the hub's client reads its environment at import."""
    done = subprocess.run(
        [sys.executable, "-c", PULL, json.dumps(calls)],
        env=os.environ | {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_model_is_pulled_by_revision_verified_and_then_needs_no_network(
    hub: str, repository: Path, tmp_path: Path
) -> None:
    digest = sha256_of(repository / "model.safetensors")
    name = f"hf-hub:{REPOSITORY}"
    pulled = [name, digest, COMMIT, 512, 64]
    answers = pull(
        {"name": name, "revision": COMMIT, "sha256": digest},
        {"name": name},
        {"name": name, "sha256": "f" * 64},
        {"name": name, "revision": "gone"},
        {"name": "hf-hub:someone/else"},
        HF_ENDPOINT=hub,
        HF_HOME=str(tmp_path),
    )
    assert answers[:2] == [pulled, pulled]
    assert "is not the expected one" in answers[2]
    assert "at revision gone: give a commit" in answers[3]
    assert "has no someone/else, or does not show it" in answers[4]
    # What was never pulled is out of reach there, and its answer says what to do.
    *offline, never_pulled, elsewhere = pull(
        {"name": name, "revision": COMMIT},
        {"name": name},
        {"name": "resnet10t.c3_in1k", "revision": COMMIT},
        {"name": "hf-hub:someone/else"},
        HF_HUB_OFFLINE="1",
        HF_HOME=str(tmp_path),
    )
    assert offline == [pulled, pulled]
    for answer in (never_pulled, elsewhere):
        assert "could not be reached" in answer
        assert "lookalike models pull" in answer


def test_a_directory_in_the_hubs_layout_needs_no_hub(repository: Path) -> None:
    model = load_timm_model(f"local-dir:{repository}")
    assert model.name == "resnet10t"
    assert model.preprocessing.size == 64
    assert model.licence == "cc0-1.0"
    assert model.weights_digest == sha256_of(repository / "model.safetensors")
    _, commit = pull_model(f"local-dir:{repository}")
    assert commit is None


def test_a_directory_without_weights_is_named(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((repository / "config.json").read_bytes())
    with pytest.raises(ModelError, match="has none of model"):
        load_timm_model(f"local-dir:{tmp_path}")


def test_a_tag_that_timm_does_not_know_is_refused() -> None:
    with pytest.raises(ModelError, match=r"timm cannot build a model .resnet10t\.no_such_tag."):
        load_timm_model("resnet10t.no_such_tag")
