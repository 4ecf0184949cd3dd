"""What the client's pyproject.toml says agrees with the service's."""

import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]


def project(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return found


def test_the_client_and_its_commands_take_what_the_service_takes() -> None:
    service, client = project(ROOT), project(ROOT / "clients" / "python")
    commands = client["optional-dependencies"]["commands"]
    assert {*client["dependencies"], *commands} - {*service["dependencies"]} == {
        "pydantic>=2.10,<3"
    }  # FastAPI brings it
    assert client["version"] == service["version"]


def test_both_can_be_installed_together() -> None:
    service, client = project(ROOT), project(ROOT / "clients" / "python")
    assert client["scripts"].keys() == {"lookalike-client"}
    assert not client["scripts"].keys() & service["scripts"].keys()
