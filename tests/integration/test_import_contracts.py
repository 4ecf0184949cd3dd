"""Each import contract of pyproject.toml, proved by breaking it: one that nothing can break protects nothing."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = {
    contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}
LAYERS = "Layers: entrypoints, then adapters, then application, then domain"
PURE_CORE = "The core is pure: no framework, storage or inference library in domain and application"
PORTS = "The application uses ports: it imports no adapter"
CLIENT = "The client stands alone: it knows the service by its API"
CLIENT_ALONE = "The client needs no command line: that is an extra"
ONE_ROOT = "One composition root: only entrypoints.container imports adapters"
ROOMS = "Rooms of HTTP: the application, then routes, access, server, contract"
FAMILIES = "Adapter families know nothing of each other"
TOOLCHAIN = "What serves pictures imports nothing that fetches, converts or exports models"
SHARED = "What adapter families share knows none of them"

BREAKS = [
    (LAYERS, "domain/images.py", "import application.progress"),
    (LAYERS, "adapters/stores/file_system_image_store.py", "import entrypoints.settings"),
    (PURE_CORE, "domain/raster.py", "import PIL.Image"),
    (PURE_CORE, "application/search_similar.py", "import qdrant_client"),
    (PORTS, "application/search_similar.py", "import adapters.scheduling.slots"),
    (CLIENT, "lookalike_client/forms.py", "import domain.errors"),
    (CLIENT, "lookalike_client/commands/search.py", "import entrypoints.settings"),
    (CLIENT_ALONE, "lookalike_client/pictures.py", "import PIL.Image"),
    (ONE_ROOT, "entrypoints/settings.py", "import adapters.scheduling.slots"),
    (PURE_CORE, "domain/callers.py", "import prometheus_client"),
    (ROOMS, "entrypoints/http/access/gate.py", "import entrypoints.http.routes.dependencies"),
    (FAMILIES, "adapters/telemetry/stages.py", "import adapters.encoders.preprocessing"),
    (FAMILIES, "adapters/encoders/preprocessing.py", "import adapters.decoding.formats"),
    (TOOLCHAIN, "adapters/encoders/timm_image_encoder.py", "import adapters.toolchain.timm_model"),
    (TOOLCHAIN, "adapters/detectors/bundled_detector.py", "import adapters.toolchain.bundled_conversion"),
    (SHARED, "adapters/scheduling/stage.py", "import adapters.telemetry.stages"),
    (SHARED, "adapters/inference/heaps.py", "import adapters.decoding.formats"),
]


@pytest.fixture
def copied_project(tmp_path: Path) -> Path:
    for folder in ("src", "clients/python"):
        shutil.copytree(
            ROOT / folder,
            tmp_path,
            ignore=lambda folder, names: [n for n in names if _is_data(folder, n)],
            dirs_exist_ok=True,
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_clean_copy_keeps_every_contract(copied_project: Path) -> None:
    assert _verdicts(copied_project) == dict.fromkeys(CONTRACTS, "KEPT")


def test_every_contract_is_proved() -> None:
    assert {contract for contract, _, _ in BREAKS} == CONTRACTS


@pytest.mark.parametrize(("contract", "module", "statement"), BREAKS)
def test_violation_breaks_contract(copied_project: Path, contract: str, module: str, statement: str) -> None:
    file = copied_project / module
    file.write_text(f"{file.read_text()}\n{statement}\n")
    assert _verdicts(copied_project)[contract] == "BROKEN"


def _is_data(folder: str, name: str) -> bool:
    return (Path(folder) / name).is_file() and not name.endswith(".py")


def _verdicts(project: Path) -> dict[str, str]:
    """KEPT or BROKEN for each contract's name, by lint-imports on the copy (not on what is installed)."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"]
    environment = os.environ | {"PYTHONPATH": str(project), "COLUMNS": "300"}
    run = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    verdicts = {}
    for line in run.stdout.splitlines():
        for name in CONTRACTS:
            if line.startswith(f"{name} "):
                verdicts[name] = line.removeprefix(f"{name} ").split()[0]
    assert set(verdicts) == CONTRACTS, run.stdout + run.stderr
    assert run.returncode == (1 if "BROKEN" in verdicts.values() else 0)
    return verdicts
