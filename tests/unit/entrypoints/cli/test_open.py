"""`lookalike search --open`."""

import base64
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import pytest
from PIL import Image

from entrypoints.cli.result_page import page_address
from tests.pictures import a_photo, a_picture
from tests.serving import Service, running
from tests.unit.entrypoints.cli.command import lookalike

MEMORY = {"REPOSITORY__BACKEND": "memory", "DETECTOR__RUNTIME": "none"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = MEMORY | {"HTTP__ROOT_PATH": "/below"}
    with running(tmp_path_factory.mktemp("service"), settings) as service:
        with service.client() as client:
            for name in ("hat-01.jpg", "hat-02.jpg"):
                assert client.post("/v1/images", files={"file": (name, a_photo(name))}).status_code == 201
        yield service


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A browser that writes down what it is told to open, into this file."""
    browser, notes = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(
        f"#!{sys.executable}\nimport pathlib, sys\npathlib.Path({str(notes)!r}).write_text(sys.argv[1])\n"
    )
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return notes


def search(tmp_path: Path, picture: bytes, *options: str) -> tuple[int, str]:
    (tmp_path / "query.jpg").write_bytes(picture)
    ended = lookalike("search", tmp_path / "query.jpg", "--open", *options, data_dir=tmp_path / "data", settings=MEMORY)
    return ended.returncode, ended.stderr


def test_the_services_page_is_opened_for_a_picture_that_is_there(
    tmp_path: Path, service: Service, opened: Path
) -> None:
    where = '{"none": [{"field": "metadata.brand", "exists": true}]}'
    options = ("--region", "10,20,300,400", "--score-threshold", "0.2", "--filter", where)
    code, told = search(tmp_path, a_photo("hat-01.jpg"), "--url", service.url, *options)
    address = opened.read_text()
    assert code == 0
    assert f"Opened {address}" in told
    assert address.startswith(f"{service.url}/?")
    [item] = [i for i in httpx.get(f"{service.url}/v1/images").json()["items"] if i["filename"] == "hat-01.jpg"]
    assert parse_qs(urlsplit(address).query) == {
        "image": [item["id"]],
        "region": ["10,20,300,400"],
        "score_threshold": ["0.2"],
        "filter": [where],
        "target": ["images"],
    }


@pytest.mark.parametrize("there", ["", "/below", None], ids=["by a service", "by one below a path", "here"])
def test_a_page_of_its_own_is_opened_for_others(
    tmp_path: Path, service: Service, opened: Path, there: str | None
) -> None:
    code, told = search(tmp_path, a_picture(7), *([] if there is None else ["--url", service.url + there]))
    assert code == 0, told
    page = Path(unquote(urlsplit(opened.read_text()).path)).read_text()
    # Nothing is indexed here; the service has two.
    assert len(re.findall("<img ", page)) == (1 if there is None else 3)
    assert ("hat-01.jpg" in page) == (there is not None)
    assert "http" not in page


def test_a_query_that_browsers_cannot_show_is_shown_all_the_same(tmp_path: Path, opened: Path) -> None:
    code, told = search(tmp_path, a_picture(7, format_="TIFF"))
    assert code == 0, told
    page = Path(unquote(urlsplit(opened.read_text()).path)).read_text()
    [shown] = re.findall('src="data:;base64,([^"]+)"', page)
    with Image.open(io.BytesIO(base64.b64decode(shown))) as image:
        assert (image.format, image.size) == ("JPEG", (160, 120))


def test_without_a_browser_the_address_is_told(
    tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROWSER", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    code, told = search(tmp_path, a_photo("hat-01.jpg"), "--url", service.url)
    assert code == 0
    assert f"{service.url}/?image=" in told


def test_addresses_below_a_path() -> None:
    assert (
        page_address("http://host/below/", "1", {"region": ["1,2,3,4"]}) == "http://host/below/?image=1&region=1,2,3,4"
    )


def test_a_search_where_nothing_is_indexed_says_so_and_makes_no_index(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(a_picture(1))

    searched = lookalike("search", picture, data_dir=tmp_path / "data")

    assert (searched.returncode, searched.stdout) == (2, "")
    assert "There is no index in" in searched.stderr
    assert not (tmp_path / "data").exists()
