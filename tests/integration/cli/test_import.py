"""`lookalike import`, on the index here and on a service elsewhere."""

import hashlib
import io
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lookalike_client import Lookalike
from tests.eventually import until
from tests.integration.cli.command import WITHOUT_DETECTOR, Command, lookalike, start
from tests.picture_host import PictureHost, picture_host
from tests.pictures import a_picture
from tests.serving import Service, running

SETTINGS = {
    **WITHOUT_DETECTOR,
    "STORAGE__RESERVE_BYTES": "0",
    "REPOSITORY__INDEXED_METADATA": "product:keyword,price:float",
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("service"), SETTINGS) as service:
        yield service


@pytest.fixture(params=["here", "there"])
def command(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """The command on an empty index."""
    command = Command(tmp_path, monkeypatch, capsys)
    command.set(**SETTINGS)
    if request.param == "here":
        yield command
        return
    url = request.getfixturevalue("service").url
    command.more = ("--url", url)
    with Lookalike(url) as client:
        yield command
        for image in list(client.images()):
            client.delete(image.id)


@pytest.fixture
def host() -> Iterator[PictureHost]:
    with picture_host() as host:
        yield host


def products(folder: Path, host: PictureHost, number: int) -> Path:
    """A table of so many rows, each third with two pictures."""
    host.pictures = {f"/{picture}.png": a_picture(picture) for picture in range(number)}
    rows = [
        f"S{row};größe;{row}.5;{host.url}/{row}.png" + f"|{host.url}/{(row + 1) % number}.png" * (row % 3 == 0)
        for row in range(number)
    ]
    table = folder / "products.csv"
    table.write_bytes("\n".join(["sku;name;price;image_url", *rows, ""]).encode("cp1252"))
    return table


COLUMNS = ("--image-column", "image_url", "--key-column", "sku", "--metadata", "name,price")


def listed(text: str) -> dict[str, Any]:
    """Metadata by key."""
    return {image["key"]: image["metadata"] for image in json.loads(text)["items"]}


def test_a_table_is_searched_by_products_and_kept_current(
    command: Command, host: PictureHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = products(tmp_path, host, 6)
    run = ("import", table, *COLUMNS, "--allow-host", "127.0.0.1")

    code, output, errors = command(*run, "--dry-run")
    assert (code, output) == (0, "8 new, 0 with other metadata, 0 rows failed. Nothing was fetched or sent.\n")
    assert "products.csv: 6 rows with 8 pictures; CSV in cp1252, separated by semicolons" in errors
    assert not host.statuses
    code, output, errors = command(*run)
    assert (code, output) == (0, "8 created, 0 unchanged, 0 rows failed\n"), errors
    assert host.statuses == {200: 8}
    (tmp_path / "query.png").write_bytes(a_picture(1))
    found = json.loads(command("search", tmp_path / "query.png", "--group-by", "metadata.product", "--json")[1])
    assert [match["score"] > 0.99 for match in found["matches"]] == [True, True] + [False] * 4
    assert {match["group"]["value"] for match in found["matches"][:2]} == {"S0", "S1"}
    assert {match["group"]["images"] for match in found["matches"]} == {1, 2}

    assert command(*run)[:2] == (0, "0 created, 8 unchanged, 0 rows failed\n")
    assert host.statuses == {200: 8, 304: 8}
    table.write_bytes(table.read_bytes().replace(b"S1;", b"T1;").replace(b";2.5;", b";2,5;").replace(b";4.5;", b";40;"))
    code, output, errors = command(*run)
    assert (code, output) == (1, "1 created, 1 with other metadata, 5 unchanged, 1 rows failed\n")
    assert "row 4: price is declared as float: it takes a number such as 12.5, not '2,5'" in errors
    assert "1 of 9 pictures that earlier imports of this table brought are in it no more; --delete-missing" in errors
    table.write_bytes(table.read_bytes().replace(b";2,5;", b";2.5;"))
    code, output, errors = command(*run, "--delete-missing")  # a ninth, and nobody is there to ask
    assert (code, "deleted" in output) == (2, False)
    assert "1 of 9 pictures that earlier imports of this table brought are in it no more. They stay" in errors
    table.write_bytes(table.read_bytes().replace(b";2.5;", b";2,5;"))
    assert command(*run, "--delete-missing", "--yes")[1].splitlines()[-1] == "1 deleted"
    images = listed(command("list", "--json")[1])
    assert images.keys() == {"S0/1", "S0/2", "T1", "S2", "S3/1", "S3/2", "S4", "S5"}
    assert images["S4"] == {"product": "S4", "name": "größe", "price": 40.0}

    failed = tmp_path / "products.failed.csv"
    mended = failed.read_bytes().replace(b";2,5;", b";3;")
    failed.write_bytes(mended)
    code, output, errors = command("import", failed, *run[2:])
    assert "in it no more" not in errors  # since it is a part of its table
    assert (code, output) == (0, "0 created, 1 with other metadata, 0 unchanged, 0 rows failed\n")
    assert command("import", failed, *run[2:], "--delete-missing", "--yes")[0] == 2
    (tmp_path / "2.png").write_bytes(a_picture(9))
    lines = json.dumps({"sku": "S9", "image_url": ["2.png"], "name": None, "price": 1}) + "\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    code, output, errors = command("import", "-", *COLUMNS, "--base", tmp_path)
    assert (code, output) == (0, "1 created, 0 unchanged, 0 rows failed\n"), errors


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("products.csv", "--image-column", "image", "--key-column", "sku"), "Did you mean image_url?"),
        (("missing.csv", *COLUMNS), "missing.csv cannot be read: No such file"),
        ((".", *COLUMNS), "`lookalike index` takes one"),
        (("products.csv", *COLUMNS, "--base", "nowhere"), "nowhere"),
        (("products.csv", *COLUMNS, "--encoding", "klingon"), "there is no encoding klingon"),
        (("products.csv", *COLUMNS, "--delimiter", "::"), "is one character"),
        (("products.csv", *COLUMNS, "--failures", "./products.csv"), "is the table itself"),
        (("-", *COLUMNS, "--delete-missing", "--yes"), "needs --as"),
        (("products.csv", *COLUMNS, "--service-fetches", "--allow-host", "x"), "LOOKALIKE_FETCH__ALLOWED_HOSTS"),
    ],
)
def test_mistakes_are_told_before_anything_is_opened(
    arguments: tuple[str, ...],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    products(tmp_path, PictureHost(), 3)
    monkeypatch.setenv("COLUMNS", "200")
    code, output, errors = Command(tmp_path, monkeypatch, capsys)("import", *arguments)
    assert (code in {1, 2}, output) == (True, "")
    assert told in " ".join(errors.replace("│", " ").split())
    assert {path.name for path in tmp_path.iterdir()} == {"products.csv"}


@pytest.mark.timeout(300)  # it starts the command six times
def test_killed_on_the_way_the_result_is_the_same(service: Service, host: PictureHost, tmp_path: Path) -> None:
    table = products(tmp_path, host, 60)
    settings = {"CLIENT__URL": service.url}
    arguments = ("import", table, *COLUMNS, "--allow-host", "127.0.0.1")
    data_dir = tmp_path / "unused"

    for number in range(4):
        host.wait_after(17)  # more than are sent together
        process = start(*arguments, data_dir=data_dir, settings=settings)
        assert until(lambda process=process: host.waiting.is_set() or process.poll() is not None)
        process.send_signal(signal.SIGINT if number == 2 else signal.SIGKILL)
        host.wait_after(None)
        _, errors = process.communicate(timeout=60)
        assert "Traceback" not in errors
    ended = lookalike(*arguments, data_dir=data_dir, settings=settings)
    assert ended.returncode == 0, ended.stderr

    with Lookalike(service.url) as client:
        images = {image.key: (image.sha256, image.metadata, image.source, image.filename) for image in client.images()}
    expected = {}
    for row in range(60):
        pictures = {f"S{row}": row} if row % 3 else {f"S{row}/1": row, f"S{row}/2": row + 1}
        for key, picture in pictures.items():
            sha256 = hashlib.sha256(a_picture(picture)).hexdigest()
            metadata = {"product": f"S{row}", "name": "größe", "price": row + 0.5}
            expected[key] = (sha256, metadata, f"{host.url}/{picture}.png", f"{picture}.png")
    assert images == expected

    before = dict(host.statuses)
    again = lookalike(*arguments, data_dir=data_dir, settings=settings)
    assert again.stdout == "0 created, 80 unchanged, 0 rows failed\n"
    assert host.statuses[200] == before[200]
    with Lookalike(service.url) as client:  # for the tests that come after
        assert client.delete_matching({"all": [{"field": "width", "gte": 1}]}) == 80
