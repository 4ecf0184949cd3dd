"""The four packages stand directly under src/, and nothing else answers to their names."""

from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("domain", "application", "adapters", "entrypoints")


@pytest.mark.parametrize("name", PACKAGES)
def test_package_comes_from_src(name: str) -> None:
    # The names are generic: a distribution that brings a package `domain` would shadow ours without a word.
    file = import_module(name).__file__
    assert file is not None
    assert Path(file).resolve() == ROOT / "src" / name / "__init__.py"


def test_src_holds_the_packages_and_is_none() -> None:
    holds_modules = {path.name for path in (ROOT / "src").iterdir() if path.is_dir() and any(path.rglob("*.py"))}
    assert holds_modules == set(PACKAGES)
    assert not list((ROOT / "src").glob("*.py")), "src must not be importable itself"


def test_every_folder_with_modules_is_a_package() -> None:
    # Without __init__.py a folder is a namespace package, which the import contracts do not look into.
    folders = {path.parent for path in (ROOT / "src").rglob("*.py")}
    assert {folder for folder in folders if not (folder / "__init__.py").exists()} == set()
