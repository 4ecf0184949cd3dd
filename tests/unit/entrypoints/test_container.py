import itertools
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from dependency_injector import providers

from adapters.detectors import bundled_detector
from domain.ports.image_encoder import ImageEncoder
from domain.ports.object_detector import ObjectDetector
from domain.ports.similarity_repository import SimilarityRepository
from entrypoints.container import Container
from entrypoints.settings import Settings

BACKENDS = ["edge", "qdrant", "memory"]
RUNTIMES = ["openvino", "torch"]
DETECTORS = {
    "auto": "OpenVinoObjectDetector",
    "openvino": "OpenVinoObjectDetector",
    "torch": "TorchvisionObjectDetector",
    "none": "NullObjectDetector",
}

TAKES_ARGUMENTS = {"backup_archive"}


def settings_for(backend: str, runtime: str, directory: Path) -> Settings:
    return Settings(
        data_dir=directory,
        repository={"backend": backend, "url": "http://localhost:6333", "indexed_metadata": {"price": "float"}},
        encoder={"runtime": runtime},
    )


@pytest.mark.parametrize(("backend", "runtime"), list(itertools.product(BACKENDS, RUNTIMES)))
def test_every_provider_resolves(backend: str, runtime: str, tmp_path: Path) -> None:
    container = Container(settings=settings_for(backend, runtime, tmp_path))
    for name, provider in container.providers.items():
        found = provider(tmp_path) if name in TAKES_ARGUMENTS else provider()
        assert found is not None, name
        assert not isinstance(found, providers.Provider), name
    assert SimilarityRepository in type(container.repository()).__mro__
    assert ImageEncoder in type(container.encoder()).__mro__
    assert list(tmp_path.iterdir()) == []  # nothing is touched before it is opened


@pytest.mark.parametrize(("runtime", "name"), DETECTORS.items())
def test_every_detector_resolves(runtime: str, name: str, tmp_path: Path) -> None:
    model = "fasterrcnn_mobilenet_v3_large_320_fpn" if runtime == "torch" else "ssd_mobilenet_v2_coco"
    container = Container(settings=Settings(data_dir=tmp_path, detector={"runtime": runtime, "model": model}))
    assert ObjectDetector in type(container.chosen_detector()).__mro__
    assert type(container.chosen_detector()).__name__ == name


def test_without_the_packaged_weights_there_is_no_detector_and_the_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bundled_detector, "bundled_weights", lambda: None)
    container = Container(settings=Settings(data_dir=tmp_path, models_dir=tmp_path))
    with caplog.at_level(logging.WARNING):
        assert container.detector().description is None
    assert ".[bundled]" in caplog.text


def test_a_detector_that_is_named_runs_without_the_packaged_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundled_detector, "bundled_weights", lambda: None)
    exported = {"model": str(tmp_path / "exported")}
    container = Container(settings=Settings(data_dir=tmp_path, models_dir=tmp_path, detector=exported))
    assert type(container.chosen_detector()).__name__ == DETECTORS["openvino"]


def test_what_was_prepared_at_installation_is_a_packaged_detector_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundled_detector, "bundled_weights", lambda: None)
    (tmp_path / bundled_detector.MODEL).mkdir()
    container = Container(settings=Settings(data_dir=tmp_path, models_dir=tmp_path))
    assert type(container.chosen_detector()).__name__ == DETECTORS["openvino"]


def test_the_settings_make_the_policy_of_objects(tmp_path: Path) -> None:
    objects = {"enabled": False, "min_score": 0.6, "min_area": 0.1, "max_per_image": 3, "padding": 0.2}
    container = Container(settings=Settings(data_dir=tmp_path, objects=objects))
    policy = container.policy()
    assert (policy.enabled, policy.min_score, policy.min_area) == (False, 0.6, 0.1)
    assert (policy.max_objects, policy.padding) == (3, 0.2)


def test_use_cases_share_what_is_one(tmp_path: Path) -> None:
    container = Container(settings=settings_for("memory", "openvino", tmp_path))
    index, delete, edit, search = (
        container.index_images(),
        container.delete_images(),
        container.edit_metadata(),
        container.search_similar(),
    )
    assert index.repository is delete.repository is edit.repository is search.repository
    assert index.locks is delete.locks is edit.locks
    assert index.store is delete.store
    assert index.describe.encoder is search.encoder is container.run_service().encoder
    detect, anew = container.detect_objects(), container.reindex_objects()
    detector = container.run_service().detector
    assert index.describe.detector is search.detector is detect.detector is anew.describe.detector is detector
    assert anew.locks is index.locks
    assert anew.describe.policy is index.describe.policy
    assert container.index_images().clock is index.clock


def test_two_deployments_share_nothing(tmp_path: Path) -> None:
    one, other = (Container(settings=settings_for("memory", "openvino", tmp_path)) for _ in range(2))
    for name in ("repository", "encoder", "detector", "store", "locks", "clock"):
        assert one.providers[name]() is not other.providers[name](), name


FORBIDDEN = """
import sys
from pathlib import Path
from entrypoints.container import Container
from entrypoints.http.app import create_app
from entrypoints.settings import Settings
app = create_app(Settings(data_dir=Path("/nowhere"), repository={repository}))
container = app.state.container
container.encoder(), container.detector(), container.index_images(), container.run_service()
loaded = {{name.partition(".")[0] for name in sys.modules}} & {forbidden}
assert not loaded, loaded
"""


@pytest.mark.parametrize(
    ("repository", "forbidden"),
    [
        ({"backend": "memory"}, {"torch", "torchvision", "timm", "qdrant_client", "qdrant_edge"}),
        ({"backend": "edge"}, {"torch", "torchvision", "timm", "qdrant_client"}),
        ({"backend": "qdrant", "url": "http://localhost:6333"}, {"torch", "torchvision", "timm", "qdrant_edge"}),
    ],
    ids=BACKENDS[-1:] + BACKENDS[:2],
)
def test_what_is_not_chosen_is_not_imported(repository: dict[str, str], forbidden: set[str]) -> None:
    script = FORBIDDEN.format(repository=repository, forbidden=forbidden)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
