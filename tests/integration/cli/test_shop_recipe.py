"""The commands and programs of docs/shop.md, run against a service."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli.command import lookalike
from tests.picture_host import picture_host
from tests.serving import Service, running

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "shop.md").read_text()
PHOTOS = ROOT / "examples" / "photos"
SERVICE = "http://127.0.0.1:8000"
SHOES = {"sku-17": "shoes-01.jpg", "sku-18": "shoes-10.jpg", "sku-19": "shoes-07.jpg", "sku-20": "shoes-03.jpg"}
SHIRTS = {f"sku-{number}": f"shirt-{number - 29:02}.jpg" for number in range(30, 33)}
PRICES = {"sku-18": 80}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def declared() -> str:
    """The setting that the page begins with."""
    [value] = re.findall(r"LOOKALIKE_REPOSITORY__INDEXED_METADATA=(\S+)", blocks("sh")[0])
    return value


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Path]]:
    """The service with the products that the page's command brought, and a folder with a customer's photo."""
    folder = tmp_path_factory.mktemp("shop")
    shutil.copy(PHOTOS / "shoes-10.jpg", folder / "photo.jpg")
    settings = {"REPOSITORY__INDEXED_METADATA": declared()}
    with picture_host() as host, running(tmp_path_factory.mktemp("service"), settings) as service:
        lines = ["sku,image_url,brand,price"]
        for sku, name in (SHOES | SHIRTS).items():
            host.pictures[f"/{name}"] = (PHOTOS / name).read_bytes()
            lines.append(f"{sku},{host.url}/{name},acme,{PRICES.get(sku, 20)}")
        (folder / "products.csv").write_text("\n".join(lines))
        [command] = [shlex.split(line) for line in blocks("sh")[1].splitlines()]
        arguments = [
            str(folder / part) if part == "products.csv" else part.replace(SERVICE, service.url) for part in command
        ]
        done = lookalike(*arguments[1:], "--allow-host", "127.0.0.1", data_dir=folder / "data")
        assert done.returncode == 0, done.stdout + done.stderr
        yield service, folder


def printed(program: list[str], source: Path, folder: Path) -> list[str]:
    done = subprocess.run([*program, source], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("language", ["python", "js"])
def test_similar_products_and_a_search_by_photo(shop: tuple[Service, Path], language: str) -> None:
    service, folder = shop
    [source] = blocks(language)
    program = {"python": sys.executable, "js": shutil.which("node")}[language]
    if program is None:
        pytest.skip("There is no Node.")
    path = folder / f"recipe.{'py' if language == 'python' else 'mjs'}"
    path.write_text(source.replace(SERVICE, service.url))
    lines = [line.split() for line in printed([program], path, folder)]
    similar = [line[1] for line in lines if line[0] == "similar:"]
    by_photo = [line[2] for line in lines if line[:2] == ["by", "photo:"]]
    assert similar
    assert set(similar) <= set(SHOES) - {"sku-17", "sku-18"}  # neither itself, nor one at 80, nor a shirt
    assert by_photo
    assert set(by_photo) <= set(SHOES)
