"""What Dockerfile and compose files say of settings, extras and files, against what there is.

They are read by machines that have a container registry, so a slip in them would otherwise show only there.
"""

import re
import tomllib
from pathlib import Path

import pytest

from entrypoints.settings import HttpSettings, Settings, setting_names

ROOT = Path(__file__).parents[2]
FILES = ("Dockerfile", "docker-compose.yml", "docker-compose.gpu.yml")


@pytest.mark.parametrize("file", FILES)
def test_settings_exist(file: str) -> None:
    # The service refuses to start with an unknown LOOKALIKE_ variable.
    named = set(re.findall(r"LOOKALIKE_[A-Z0-9_]+", (ROOT / file).read_text()))
    assert named <= set(setting_names(Settings))
    assert named


@pytest.mark.parametrize("file", ["Dockerfile", "docker-compose.gpu.yml"])
def test_extras_exist(file: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [extras] = re.findall(r"^\s*(?:ARG )?EXTRAS[=:]\s*(\S+)$", (ROOT / file).read_text(), flags=re.MULTILINE)
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    assert ("torch" in extras) == (file == "docker-compose.gpu.yml")


def test_build_context_has_what_is_copied() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    let_through = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), flags=re.MULTILINE)
    assert sources == set(let_through)
    assert all((ROOT / source).exists() for source in sources)


def test_service_may_drain_before_it_is_killed() -> None:
    graces = re.findall(r"stop_grace_period: (\d+)s", (ROOT / "docker-compose.yml").read_text())
    assert min(map(int, graces)) > HttpSettings().shutdown_seconds
