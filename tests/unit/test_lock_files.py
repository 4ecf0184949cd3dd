"""The lock files hold what pyproject.toml asks for, with digests, and name no place to fetch it from."""

import re
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = {
    "image": ("bundled", "heif", "otel"),
    "torch": ("bundled", "heif", "otel", "torch"),
    "dev": ("bundled", "heif", "otel", "torch", "dev", "e2e"),
}
"""What `make lock` puts into each."""

ENTRY = re.compile(r"^(\S+==\S+)(?: ; (.+?))? \\\n((?:    --hash=\S+(?: \\)?\n)+)((?:    #.*\n)*)", re.MULTILINE)


def text(lock: str) -> str:
    return (ROOT / "requirements" / f"{lock}.lock").read_text()


def pins(lock: str) -> list[tuple[Requirement, str]]:
    """Each pinned release, and who asks for it."""
    return [(Requirement(pin), via) for pin, _, _, via in ENTRY.findall(text(lock))]


def asked(lock: str) -> dict[str, list[Requirement]]:
    project = PYPROJECT["project"]
    lines = [*project["dependencies"]]
    lines += [line for extra in EXTRAS[lock] for line in project["optional-dependencies"][extra]]
    found: dict[str, list[Requirement]] = {}
    for line in lines:
        requirement = Requirement(line)
        found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


@pytest.mark.parametrize("lock", EXTRAS)
def test_a_lock_file_is_up_to_date(lock: str) -> None:
    """If this fails, dependencies have changed since: run `make lock`."""
    versions: dict[str, list[str]] = {}
    for pin, _ in pins(lock):
        versions.setdefault(canonicalize_name(pin.name), []).append(next(iter(pin.specifier)).version)
    for name, requirements in asked(lock).items():
        assert name in versions, f"requirements/{lock}.lock lacks {name}: run `make lock`"
        for requirement in requirements:
            for version in versions[name]:
                message = f"requirements/{lock}.lock has {name} {version}, not {requirement}: run `make lock`"
                assert requirement.specifier.contains(version, prereleases=True), message
    direct = {canonicalize_name(pin.name) for pin, via in pins(lock) if "(pyproject.toml)" in via}
    assert direct == set(asked(lock)), "pyproject.toml no longer asks for some of these: run `make lock`"


@pytest.mark.parametrize("lock", [*EXTRAS, "build"])
def test_every_release_has_its_digests_and_no_address(lock: str) -> None:
    content = text(lock)
    lines = [line for line in content.splitlines() if line and not line.lstrip().startswith("#")]
    assert len(lines) == sum(2 + hashes.count("\n") - 1 for _, _, hashes, _ in ENTRY.findall(content))
    assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?", line) for line in lines if "--hash" in line)
    assert not re.search(r"://|index-url|find-links|trusted-host", content)


@pytest.mark.parametrize("lock", ["image", "torch"])
def test_the_image_has_the_releases_that_the_tests_ran_with(lock: str) -> None:
    assert {str(pin) for pin, _ in pins(lock)} <= {str(pin) for pin, _ in pins("dev")}


def test_the_image_is_built_with_what_the_project_asks_for() -> None:
    [backend] = [Requirement(line) for line in PYPROJECT["build-system"]["requires"]]
    [pin] = [pin for pin, _ in pins("build") if pin.name == backend.name]
    assert backend.specifier.contains(next(iter(pin.specifier)).version)
    assert PYPROJECT["build-system"]["requires"][0] in (ROOT / "requirements" / "build.in").read_text()


def test_every_dependency_has_bounds_and_a_reason() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    project = PYPROJECT["project"]
    for line in chain(project["dependencies"], *project["optional-dependencies"].values()):
        specifier = Requirement(line).specifier
        operators = {part.operator for part in specifier}
        assert operators in ({"=="}, {">=", "<"}), f"{line} needs a lower and an upper bound"
        places = [number for number, written in enumerate(lines) if f'"{line}"' in written]
        assert all("#" in lines[number] or "#" in lines[number - 1] for number in places), f"{line} needs its reason"
