"""Whatever settings choose can be made, and imports the libraries of what it has chosen, and no others."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from dependency_injector import providers

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
