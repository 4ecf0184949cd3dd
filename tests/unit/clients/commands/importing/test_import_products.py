"""Whole imports in this process: a table, a far side on loopback, and the service on fakes."""

import csv
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from lookalike_client import AsyncLookalike, Image, InvalidRequestError, Key, NoServiceError
from lookalike_client.commands import state
from lookalike_client.commands.import_table import _failures_beside, _without_failed
from lookalike_client.commands.importing import pictures
from lookalike_client.commands.importing.failures import FailureFileError
from lookalike_client.commands.importing.import_products import (
    Import,
    Imported,
    delete,
    import_products,
    rehearse_import,
)
from lookalike_client.commands.importing.open_table import open_table
from lookalike_client.commands.importing.products import ProductReader
from lookalike_client.commands.importing.survey import survey
from lookalike_client.commands.state import State, StateError, open_state
from tests.far_side import FarSide, Script, far_side, ok
from tests.pictures import a_picture
from tests.unit.entrypoints.application import an_app, serving

DECLARED = {"product": "keyword", "price": "float"}
Transport = httpx.AsyncBaseTransport


def report(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """What was done, among the log lines of the service, and standard error."""
    output, errors = capsys.readouterr()
    return [line for line in output.splitlines() if re.match(r"\d+ (created|new)", line)][-1], errors


def scope_in(state: State) -> str:
    """The only one that there is."""
    [scope] = {row[0] for row in state._connection.execute("SELECT scope FROM source")}
    return str(scope)


class Shop:
    """The far side's pictures, a folder for the table, and the service."""

    def __init__(self, folder: Path, app: FastAPI, side: FarSide) -> None:
        self.folder = folder
        self.side = side
        self.transport: Transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    def shows(self, **pictures: bytes) -> None:
        """Serve these with a tag, and answer 304 to who has it."""
        for name, content in pictures.items():
            self.side.answers[f"/{name}"] = self._tagged(content)

    def _tagged(self, content: bytes) -> Script:
        tag = f'"{hash(content)}"'

        async def answer(writer: Any) -> None:
            is_known = f"if-none-match: {tag}" in self.side.heads[-1].lower()
            writer.write(ok(b"", status="304 Not Modified") if is_known else ok(content, f"ETag: {tag}"))

        return answer

    def asked(self) -> list[str]:
        """The paths that were asked for since the last call."""
        paths = [head.split()[1] for head in self.side.heads]
        self.side.heads.clear()
        return sorted(paths)

    def table(self, *rows: str, name: str = "products.csv", **changes: Any) -> Import:
        """Rows of sku, image, price. `{}` in them is the far side."""
        path = self.folder / name
        lines = [row.replace("{}", f"http://127.0.0.1:{self.side.port}") for row in rows]
        path.write_text("\n".join(["sku,image,price", *lines, ""]))
        table = open_table(path, path.name, [])
        reader = ProductReader.of(table, images=["image"], key="sku", metadata=["price"], base=self.folder)
        return replace(
            Import(
                table=table,
                reader=reader,
                survey=survey(table, reader),
                identity="products",
                state_folder=self.folder / "state",
                failures=self.folder / "failed.csv",
                allowed_hosts=frozenset({"127.0.0.1"}),
            ),
            **changes,
        )

    def client(self) -> AsyncLookalike:
        return AsyncLookalike("http://t", transport=self.transport, retries=0)

    async def imported(self, given: Import) -> Imported:
        return await import_products(given, self.client())

    async def images(self) -> dict[str, Image]:
        async with self.client() as client:
            return {image.key or "": image async for image in client.images()}

    async def metadata(self) -> dict[str, Any]:
        return {key: image.metadata for key, image in sorted((await self.images()).items())}


@asynccontextmanager
async def a_shop(folder: Path, **sections: Any) -> AsyncIterator[Shop]:
    app = an_app(folder / "data", **({"repository": {"backend": "memory", "indexed_metadata": DECLARED}} | sections))
    async with serving(app), far_side() as side:
        yield Shop(folder, app, side)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with a_shop(tmp_path) as shop:
        yield shop


async def test_a_second_import_does_only_what_has_changed(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.shows(a=a_picture(1), b=a_picture(2), c=a_picture(3))
    rows = ["A,{}/a,5", "B,{}/b|{}/c,6.5", "C,,7"]
    assert (await shop.imported(shop.table(*rows))).code == 0
    assert report(capsys)[0] == "3 created, 0 unchanged, 0 rows failed"
    assert shop.asked() == ["/a", "/b", "/c"]
    assert await shop.metadata() == {
        "A": {"product": "A", "price": 5.0},
        "B/1": {"product": "B", "price": 6.5},
        "B/2": {"product": "B", "price": 6.5},
    }
    before = await shop.images()
    assert before["A"].source == f"http://127.0.0.1:{shop.side.port}/a"
    assert before["A"].filename == "a"

    assert (await shop.imported(shop.table(*rows))).code == 0
    out, err = report(capsys)
    assert out == "0 created, 3 unchanged, 0 rows failed"
    assert "1 row has no picture: row 4." in err
    assert await shop.images() == before  # when they were changed too

    async with shop.client() as client:
        await client.edit(Key("B/1"), {"note": "by hand"})
        await client.edit(Key("A"), {"note": "by hand", "exif_camera": "that of the bytes"})
    shop.asked()
    shop.shows(a=a_picture(4))
    assert (await shop.imported(shop.table("A,{}/a,5", "B,{}/b|{}/c,"))).code == 0
    assert report(capsys)[0] == "0 created, 1 replaced, 2 with other metadata, 0 unchanged, 0 rows failed"
    assert shop.asked() == ["/a", "/b", "/c"]
    assert await shop.metadata() == {
        "A": {"product": "A", "price": 5.0, "note": "by hand"},
        "B/1": {"product": "B", "note": "by hand"},
        "B/2": {"product": "B"},
    }
    after = await shop.images()
    assert after["A"].sha256 != before["A"].sha256


async def test_pictures_that_are_lost_there_are_brought_again(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """What is remembered saves work; what is indexed is asked of the service."""
    shop.shows(a=a_picture(1), b=a_picture(2))
    rows = ["A,{}/a,5", "B,{}/b,6"]
    await shop.imported(shop.table(*rows))
    async with shop.client() as client:
        await client.delete(Key("A"))
        await client.index(a_picture(9), key="B")
    capsys.readouterr()
    await shop.imported(shop.table(*rows))
    assert report(capsys)[0] == "1 created, 1 replaced, 0 unchanged, 0 rows failed"
    (shop.folder / "state" / state.FILE).unlink()
    await shop.imported(shop.table(*rows))
    assert report(capsys)[0] == "0 created, 2 unchanged, 0 rows failed"


async def test_files_are_read_again_only_when_they_have_changed(
    shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        (shop.folder / f"{number} größe.png").write_bytes(a_picture(number))
    rows = ["A,1 größe.png,5", "B,2 größe.png,6", "C,3.png,7"]
    assert (await shop.imported(shop.table(*rows))).code == 1
    out, err = report(capsys)
    assert out == "2 created, 0 unchanged, 1 rows failed"
    assert f"row 4: {shop.folder}/3.png: The file cannot be read: No such file or directory." in err
    assert (await shop.images())["A"].source == f"{shop.folder}/1 größe.png"

    (shop.folder / "2 größe.png").write_bytes(a_picture(3))
    (shop.folder / "3.png").write_bytes(a_picture(4))
    read: list[Path] = []
    read_picture = pictures.read_picture

    def noted(new: Any) -> Any:
        read.append(new.picture)
        return read_picture(new)

    monkeypatch.setattr(pictures, "read_picture", noted)
    assert (await shop.imported(shop.table(*rows))).code == 0
    assert report(capsys)[0] == "1 created, 1 replaced, 1 unchanged, 0 rows failed"
    assert sorted(path.name for path in read) == ["2 größe.png", "3.png"]
    assert not (shop.folder / "failed.csv").exists()  # of the first import


async def test_a_row_fails_alone_and_can_be_fed_back_in(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.shows(a=a_picture(1), b=a_picture(2), c=a_picture(3), broken=a_picture(4)[:80])
    given = shop.table("A,{}/a,cheap", "B,{}/b|{}/gone,6", "C,{}/c,7", "C,{}/a,8", "D,{}/broken,9", ",{}/a,1")
    assert (await shop.imported(given)).code == 1
    out, err = report(capsys)
    # B/1 is there: what a row has is brought, as far as it can be.
    assert out == "2 created, 0 unchanged, 5 rows failed"
    at = f"http://127.0.0.1:{shop.side.port}"
    lines = [line for line in err.splitlines() if line.startswith("row ")]
    assert lines[0] == "row 2: price is declared as float: it takes a number such as 12.5, not 'cheap'"
    assert lines[1] == f"row 3: {at}/gone answered 404 Not Found."
    assert lines[2] == "row 5: its key C is that of row 4 already"
    assert lines[3].startswith(f"row 6: {at}/broken: ")
    assert lines[4] == "row 7: sku is empty, which is to be its key"
    assert f"Rows that failed are in {given.failures}" in err

    mended = list(csv.reader(given.failures.read_text().splitlines()))
    assert mended[0] == ["import_error", "sku", "image", "price"]
    assert [row[1] for row in mended[1:]] == ["A", "B", "C", "D", ""]
    rows = [",".join(row[1:]).replace("cheap", "5") for row in mended[1:3]]
    shop.shows(gone=a_picture(5))
    again = shop.table(*rows, name="failed.csv")
    assert (await shop.imported(replace(again, failures=shop.folder / "failed.failed.csv"))).code == 0
    assert {*await shop.images()} == {"A", "B/1", "B/2", "C"}


@pytest.mark.parametrize("rows", [["A,{}/a,5"], ["A,{}/a,5", "B,{}/gone,6"]])
@pytest.mark.parametrize("content", ["precious", ""])
async def test_a_file_that_is_none_of_failed_rows_is_never_touched(rows: list[str], content: str, shop: Shop) -> None:
    shop.shows(a=a_picture(1))
    notes = shop.folder / "notes.txt"
    notes.write_text(content)
    with pytest.raises(FailureFileError, match=r"notes\.txt is there and has no column import_error"):
        await shop.imported(shop.table(*rows, failures=notes))
    assert notes.read_text() == content
    assert shop.side.connections == 0


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
async def test_a_file_of_failed_rows_is_replaced_at_the_end(encoding: str, shop: Shop) -> None:
    shop.shows(a=a_picture(1))
    failed = shop.folder / "failed.csv"
    failed.write_text("sku;import_error\nB;because\n", encoding=encoding)  # saved again by a spreadsheet

    async def look(writer: Any) -> None:
        seen.append(failed.read_text(encoding=encoding))
        writer.write(ok(b"", status="404 Not Found"))

    seen: list[str] = []
    shop.side.answers["/gone"] = look
    await shop.imported(shop.table("C,cheap", "A,{}/a,5", "B,{}/gone,6"))
    assert seen == ["sku;import_error\nB;because\n"]
    assert [line.split(",")[1] for line in failed.read_text().splitlines()] == ["sku", "C", "B"]
    await shop.imported(shop.table("A,{}/a,5"))
    assert {path.name for path in shop.folder.glob("*fail*")} == set()


async def test_what_earlier_imports_brought_and_nothing_else_is_missing(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.shows(a=a_picture(1), b=a_picture(2), c=a_picture(3))
    async with shop.client() as client:
        await client.index(a_picture(2), key="B")  # which the table then finds
        await client.index(a_picture(8), key="other")
    await shop.imported(shop.table("A,{}/a|{}/c,5", "B,{}/b,6", "C,{}/c,7", "D,{}/gone,8"))
    other = replace(shop.table("E,{}/a,1"), identity="another table")
    await shop.imported(other)
    given = shop.table("A,{}/a,5", "C,{}/gone,7")
    ended = await shop.imported(given)
    assert sorted(ended.missing) == ["A/1", "A/2"]  # C failed, but is in the table
    assert await delete(given, ended, shop.client()) == 2
    assert {*await shop.images()} == {"A", "B", "C", "E", "other"}
    assert not (await shop.imported(given)).missing


async def test_what_was_not_brought_after_all_is_never_missing(shop: Shop) -> None:
    """Neither what was there before, nor what another client brings later under the key of a row that failed."""
    async with shop.client() as client:
        await client.index(a_picture(7), key="B")
    shop.shows(a=a_picture(1), broken=b"no picture at all")
    await shop.imported(shop.table("A,{}/a,5", "B,{}/broken,6", "C,{}/broken,7"))
    with open_state(shop.folder / "state") as kept:
        assert [each.name for each in kept.all(scope_in(kept))] == ["A"]
    async with shop.client() as client:
        await client.index(a_picture(8), key="C")
    given = shop.table("A,{}/a,5")
    ended = await shop.imported(given)
    assert not ended.missing
    assert {*await shop.images()} == {"A", "B", "C"}


async def test_half_a_character_fails_its_row_alone(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.shows(a=a_picture(1))
    given = shop.table("A,{}/a,5")
    path = shop.folder / "products.jsonl"
    image = f"http://127.0.0.1:{shop.side.port}/a"
    path.write_text(
        "".join(
            f'{{"sku": "{sku}", "image": "{image}", "note": {note}}}\n'
            for sku, note in (("A", '"\\ud800"'), ("B", '["x", "\\udfff"]'), ("C", '"\\ud83d\\ude00"'))
        )
    )
    table = open_table(path, path.name, [])
    reader = replace(given.reader, metadata=["note"])
    assert (await shop.imported(replace(given, table=table, reader=reader, survey=survey(table, reader)))).code == 1
    assert await shop.metadata() == {"C": {"product": "C", "note": "\U0001f600"}}
    assert report(capsys)[1].count("note has half of a character (an unpaired surrogate)") == 2
    assert [json.loads(line)["sku"] for line in given.failures.read_text().splitlines()] == ["A", "B"]


@pytest.mark.skipif(sys.platform != "linux", reason="Other systems have no such names.")
async def test_a_table_in_a_folder_whose_name_is_no_text(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(os.fsdecode(os.fsencode(shop.folder) + b"/caf\xe9"))
    folder.mkdir()
    (folder / "a.png").write_bytes(a_picture(1))
    given = shop.table("A,a.png,5")
    given = replace(given, reader=replace(given.reader, base=folder))
    assert (await shop.imported(given)).code == 0
    assert (await shop.images())["A"].source == f"{shop.folder}/caf%E9/a.png"
    assert (await shop.imported(given)).code == 0
    assert report(capsys)[0] == "0 created, 1 unchanged, 0 rows failed"


@pytest.mark.parametrize(
    ("table", "failed"),
    [
        ("products.csv", "products.failed.csv"),
        ("products.jsonl", "products.failed.jsonl"),
        ("products.v2.csv", "products.v2.failed.csv"),
        ("products.parquet", "products.parquet.failed.jsonl"),
        ("products", "products.failed.csv"),
    ],
)
def test_failed_rows_belong_to_their_table(table: str, failed: str, tmp_path: Path) -> None:
    path = tmp_path / table
    path.touch()
    suffix = Path(failed).suffix
    assert _failures_beside(path, suffix).name == failed
    again = _failures_beside(tmp_path / failed, suffix)
    assert [_without_failed(each) for each in (path, tmp_path / failed, again)] == [path] * 3


async def test_the_one_picture_of_a_row_that_has_several_now_or_none_is_missing(shop: Shop) -> None:
    shop.shows(a=a_picture(1), b=a_picture(2))
    await shop.imported(shop.table("A,{}/a,5", "B,{}/b,6", "C,{}/a,7"))
    given = shop.table("A,{}/a|{}/b,5", "B,,6", "C,ftp://s.example/c,7")
    ended = await shop.imported(given)
    assert [*ended.missing] == ["A", "B"]
    assert given.survey.unclear_rows == []


async def test_bytes_that_another_client_put_under_a_key_are_not_missing(shop: Shop) -> None:
    shop.shows(a=a_picture(1), b=a_picture(2), c=a_picture(3))
    await shop.imported(shop.table("A,{}/a,5", "B,{}/b,6", "C,{}/c,7"))
    async with shop.client() as client:
        await client.index(a_picture(9), key="A")
    given = shop.table("C,{}/c,7")
    ended = await shop.imported(given)
    assert [*ended.missing] == ["B"]
    async with shop.client() as client:
        await client.index(a_picture(8), key="B")  # while the user thinks about it
    assert await delete(given, ended, shop.client()) == 0
    assert {*await shop.images()} == {"A", "B", "C"}


async def test_what_another_table_names_is_missing_once_it_is_in_neither(shop: Shop) -> None:
    shop.shows(a=a_picture(1), b=a_picture(2))
    await shop.imported(shop.table("A,{}/a,5", "B,{}/b,6"))
    await shop.imported(shop.table("A,{}/a,5", "B,{}/b,6", identity="other"))
    assert not (await shop.imported(shop.table("B,{}/b,6"))).missing
    assert not (await shop.imported(shop.table("B,{}/b,6", identity="other"))).missing  # which only found it
    assert [*(await shop.imported(shop.table("B,{}/b,6"))).missing] == ["A"]


async def test_a_picture_that_was_there_without_a_key_is_not_missing_with_it(shop: Shop) -> None:
    shop.shows(a=a_picture(1), b=a_picture(2))
    async with shop.client() as client:
        await client.index(a_picture(1))
    await shop.imported(shop.table("A,{}/a,5", "B,{}/b,6"))
    assert {*await shop.images()} == {"A", "B"}
    assert not (await shop.imported(shop.table("B,{}/b,6"))).missing


async def test_what_was_sent_before_a_crash_is_known_to_be_of_the_table(shop: Shop) -> None:
    shop.shows(a=a_picture(1), b=a_picture(2))

    async def lost(request: httpx.Request) -> httpx.Response | None:
        if request.url.path != "/v1/images/batch":
            return None
        await service.handle_async_request(request)
        raise httpx.ReadError("the answer is lost")

    service, shop.transport = shop.transport, Disturbed(shop.transport, lost)
    with pytest.raises(NoServiceError):
        await shop.imported(shop.table("A,{}/a,5", "B,{}/b,6"))
    shop.transport = service
    assert {*await shop.images()} == {"A", "B"}
    assert [*(await shop.imported(shop.table("A,{}/a,5"))).missing] == ["B"]


async def test_a_rehearsal_says_what_would_be_done_and_does_nothing(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.shows(a=a_picture(1), b=a_picture(2))
    (shop.folder / "c.png").write_bytes(a_picture(3))
    rows = ["A,{}/a,5", "B,c.png,6"]
    await rehearse_import(shop.table(*rows), shop.client())
    assert report(capsys)[0] == "2 new, 0 with other metadata, 0 rows failed. Nothing was fetched or sent."
    assert (await shop.images(), shop.asked()) == ({}, [])
    await shop.imported(shop.table(*rows))
    before = await shop.images()
    shop.asked()
    (shop.folder / "c.png").write_bytes(a_picture(4))
    capsys.readouterr()
    ended = await rehearse_import(
        shop.table("A,{}/a,6", "B,c.png,6", "D,{}/b,7", "E,d.png,8", "D,{}/b,9"), shop.client()
    )
    assert ended.code == 1
    out, err = report(capsys)
    assert out == (
        "1 new, 1 replaced, 1 asked after at their URLs, 1 with other metadata, 2 rows failed. "
        "Nothing was fetched or sent."
    )
    assert "row 6: its key D is that of row 4 already" in err
    assert (await shop.images(), shop.asked()) == (before, [])
    assert not (shop.folder / "failed.csv").exists()


async def test_hosts_that_are_not_allowed_are_told_with_the_way_out(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.shows(a=a_picture(1))
    given = shop.table("A,{}/a,5", "B,{}/a,6", "C,http://[::1]:9/c,7", "D,,8", "E,,9", allowed_hosts=frozenset())
    assert (await shop.imported(given)).code == 1
    err = report(capsys)[1]
    assert re.search(r"row 3: .*not public\.\n", err)
    [told] = [line for line in err.splitlines() if "--allow-host" in line]
    assert told.startswith("Not fetched, since their hosts are not public: 3 pictures.")
    assert sorted(re.findall(r"--allow-host (\S+)", told)) == sorted([f"127.0.0.1:{shop.side.port}", "[::1]:9"])
    assert "2 rows have no picture: rows 5 and 6." in err
    assert shop.side.connections == 0


async def test_undeclared_columns_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with a_shop(tmp_path, repository={"backend": "memory"}) as shop:
        shop.shows(a=a_picture(1))
        await shop.imported(shop.table("A,{}/a,5"))
        assert await shop.metadata() == {"A": {"product": "A", "price": "5"}}
    _, err = report(capsys)
    assert "metadata.product is not declared: searches cannot be grouped by it until" in err
    assert "does not declare them: price." in err


class Disturbed(Transport):
    """The service, with something in front of it."""

    def __init__(self, service: Transport, before: Callable[[httpx.Request], Awaitable[httpx.Response | None]]) -> None:
        self.service = service
        self.before = before

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.before(request) or await self.service.handle_async_request(request)


async def test_no_more_are_begun_once_there_is_no_room_and_the_next_import_goes_on(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.shows(**{f"p{number}": a_picture(number) for number in range(100)})
    rows = [f"P{number},{{}}/p{number},5" for number in range(100)]
    batches = 0

    async def full(request: httpx.Request) -> httpx.Response | None:
        nonlocal batches
        if request.url.path != "/v1/images/batch":
            return None
        batches += 1
        if batches <= 2:
            return None
        problem = {"status": 507, "code": "storage_full", "detail": "No room is left."}
        return httpx.Response(207, json={"results": [{"status": "failed", "problem": problem}] * 16})

    service, shop.transport = shop.transport, Disturbed(shop.transport, full)
    ended = await shop.imported(shop.table(*rows))
    out, err = report(capsys)
    assert (ended.code, out) == (1, "32 created, 0 unchanged, 0 rows failed")
    assert "stopped after 32 of 100 pictures: No room is left. Run the same command again" in err
    assert not (shop.folder / "failed.csv").exists()  # the rows are not to blame
    shop.transport = service
    there = {f"/{key.lower()}" for key in await shop.images()}
    shop.asked()
    assert (await shop.imported(shop.table(*rows))).code == 0
    assert report(capsys)[0] == "68 created, 32 unchanged, 0 rows failed"
    assert not there & {*shop.asked()}  # it goes on, and asks for nothing twice
    assert (await shop.imported(shop.table(*rows))).code == 0
    assert len(shop.asked()) == 100  # a new import asks after all


async def test_a_service_that_goes_away_leaves_the_report(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.shows(a=a_picture(1))

    async def away(request: httpx.Request) -> httpx.Response | None:
        if request.url.path == "/v1/images/batch":
            raise httpx.ConnectError("away")
        return None

    shop.transport = Disturbed(shop.transport, away)
    with pytest.raises(Exception, match="No service answers"):
        await shop.imported(shop.table("A,{}/a,5", "B,{}/gone,5"))
    out, err = report(capsys)
    assert out == "0 created, 0 unchanged, 0 rows failed"
    assert "stopped after 1 of 2 pictures. Run the same command again" in err


async def test_nothing_more_is_fetched_for_a_service_that_went_away(shop: Shop) -> None:
    shop.shows(**{f"p{number}": a_picture(number) for number in range(200)})

    async def away(request: httpx.Request) -> httpx.Response | None:
        if request.url.path == "/v1/images/batch":
            raise httpx.ConnectError("away")
        return None

    shop.transport = Disturbed(shop.transport, away)
    with pytest.raises(NoServiceError):
        await shop.imported(shop.table(*(f"P{number},{{}}/p{number},5" for number in range(200))))
    assert len(shop.asked()) < 100


async def test_a_state_file_that_cannot_be_used_is_told_first(shop: Shop) -> None:
    (shop.folder / "state").write_text("a file")
    with pytest.raises(StateError, match="LOOKALIKE_CLIENT__STATE_DIR"):
        await shop.imported(shop.table("A,{}/a,5"))
    assert shop.side.connections == 0


async def test_the_service_fetches_what_it_has_not_from_that_url(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_shop(tmp_path, fetch={"enabled": True, "allowed_hosts": ["127.0.0.1"]}) as shop:
        shop.shows(a=a_picture(1), b=a_picture(2), b2=a_picture(3))
        (shop.folder / "d.png").write_bytes(a_picture(4))
        how: dict[str, Any] = {"service_fetches": True, "allowed_hosts": frozenset()}
        rows = ["A,{}/a,5", "B,{}/b,6", "C,{}/gone,7", "D,d.png,8"]
        assert (await shop.imported(shop.table(*rows, **how))).code == 1
        out, err = report(capsys)
        assert out == "3 created, 0 unchanged, 1 rows failed"
        [told] = [line for line in err.splitlines() if line.startswith("row 4: ")]
        assert "404" in told
        assert told.count("/gone") == 1
        assert shop.asked() == ["/a", "/b", "/gone"]
        images = await shop.images()
        assert images["A"].source == f"http://127.0.0.1:{shop.side.port}/a"
        assert images["A"].metadata == {"product": "A", "price": 5.0}

        await rehearse_import(shop.table("A,{}/a,50", "B,{}/b2,6", **how), shop.client())
        assert report(capsys)[0].startswith("0 new, 1 replaced, 1 with other metadata, 0 rows failed.")
        assert (await shop.imported(shop.table("A,{}/a,50", "B,{}/b2,6", **how))).code == 0
        assert report(capsys)[0] == "0 created, 1 replaced, 1 with other metadata, 0 unchanged, 0 rows failed"
        assert shop.asked() == ["/b2"]


async def test_a_service_that_does_not_fetch_says_so(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidRequestError, match="fetch"):
        await shop.imported(shop.table("A,{}/a,5", service_fetches=True))
    assert "leave out --service-fetches" in report(capsys)[1]
