"""Tables as they are found in the world: encodings, delimiters, formats, and what is wrong with some."""

import builtins
import csv
import io
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from lookalike_client.commands.importing.failures import FailureFile, FailureFileError
from lookalike_client.commands.importing.open_table import open_table, table_at
from lookalike_client.commands.importing.rows import REASON, Row, Table, TableError

WANTED = ["sku", "image"]


def opened(tmp_path: Path, content: bytes | str, wanted: Sequence[str] = WANTED, **form: str) -> Table:
    path = tmp_path / "products.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return open_table(path, path.name, wanted, **form)


def cells(table: Table) -> list[tuple[int, dict[str, object]]]:
    return [(row.number, dict(row.cells)) for row in table.rows()]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_the_one_that_makes_the_columns(delimiter: str, tmp_path: Path) -> None:
    header, row = ["sku", "a,b;c|d\te", "image"], ["1", 'said "so"; and, so | on\t', "hat.jpg"]
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter).writerows([header, row])
    table = opened(tmp_path, written.getvalue())
    assert cells(table) == [(2, dict(zip(header, row, strict=True)))]
    assert cells(table) == cells(table)  # again and again


def test_one_column_is_enough_and_others_may_be_named(tmp_path: Path) -> None:
    assert cells(opened(tmp_path, "image\nhat.jpg\n", ["image"])) == [(2, {"image": "hat.jpg"})]
    assert cells(opened(tmp_path, "sku:image\n1:hat.jpg\n", delimiter=":")) == [(2, {"sku": "1", "image": "hat.jpg"})]


@pytest.mark.parametrize(
    ("encoding", "text", "found"),
    [
        ("utf-8", "größe", "utf-8"),
        ("utf-8-sig", "größe", "utf-8-sig"),
        ("utf-16", "größe", "utf-16"),
        ("cp1252", "Größe für Mädchen, 5 €", "cp1252"),
        ("cp1252", "Café crème à l'été", "cp1252"),
        ("cp1250", "Žluťoučký kůň příšerně úpěl ďábelské ódy", "cp1250"),
        ("cp1251", "Шапка красная, зимняя", "cp1251"),
        ("cp932", "赤い帽子と革の靴です。これはとても暖かい。", "cp932"),
        ("gb18030", "红色的帽子和皮鞋。这是非常温暖的。", "gb18030"),
    ],
)
def test_the_encoding_is_found_and_told(encoding: str, text: str, found: str, tmp_path: Path) -> None:
    filler = "".join(f"{number};hat;hat.jpg\n" for number in range(50_000))  # what is not ASCII comes late
    table = opened(tmp_path, f"sku;name;image\n{filler}x;{text};hat.jpg\n".encode(encoding))
    *_, last = table.rows()
    assert (last.number, last.cells) == (50_002, {"sku": "x", "name": text, "image": "hat.jpg"})
    assert table.kind == f"CSV in {found}, separated by semicolons"


def test_another_encoding_can_be_named_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    content = "sku,image,name\n1,hat.jpg,Größe\n".encode("mac_roman")
    assert cells(opened(tmp_path, content, encoding="mac_roman"))[0][1]["name"] == "Größe"
    with pytest.raises(TableError, match=r"products.csv is no text in utf-8 .*--encoding"):
        cells(opened(tmp_path, content, encoding="utf-8"))


def test_rows_are_numbered_as_spreadsheets_do_and_short_ones_are_filled(tmp_path: Path) -> None:
    table = opened(tmp_path, '\n sku , image,note\n1,"two\nlines",n\n\n2,hat.jpg\n3,hat.jpg,n,,\n4,hat.jpg,n,more\n')
    assert table.columns == ["sku", "image", "note"]
    assert [row.number for row in table.rows()] == [3, 5, 6, 7]
    *_, short, padded, long = table.rows()
    assert short.cells == {"sku": "2", "image": "hat.jpg"}
    assert padded.problem is None
    assert long.problem == "it has 4 cells, and the header 3"


def test_a_quotation_mark_that_is_not_closed_is_told(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"products.csv cannot be read on from line 4: unexpected end of data"):
        cells(opened(tmp_path, 'sku,image\n1,"hat.jpg\n2,shoe.jpg\n3,bag.jpg\n'))


def test_json_lines_have_types_and_any_columns(tmp_path: Path) -> None:
    table = opened(
        tmp_path, '\ufeff{"sku": 1, "image": ["a.jpg", "b.jpg"]}\n\n{"sku": "2", "price": 9.5, "gone": null}\n'
    )
    assert (table.columns, table.has_types) == (["sku", "image", "price", "gone"], True)
    assert cells(table) == [
        (1, {"sku": 1, "image": ["a.jpg", "b.jpg"]}),
        (3, {"sku": "2", "price": 9.5, "gone": None}),
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b'{"sku": 1}\n{"sku": \n', "Line 2 of products.csv is no JSON"),
        (b'{"sku": 1}\n[1]\n', "Line 2 of products.csv is no JSON object"),
        (b'{"sku": "\xff"}\n', "is no text in utf-8 from line 1 on"),
        (b'[{"sku": 1}]', "is a JSON array: write one object on each line"),
        (b"PK\x03\x04rest", "save the sheet as CSV"),
        (b"\x1f\x8brest", "is compressed"),
        (b"PAR1rest", "cannot be read as Parquet"),
    ],
)
def test_what_is_no_table_is_told_by_its_name(content: bytes, told: str, tmp_path: Path) -> None:
    with pytest.raises(TableError, match=told):
        cells(opened(tmp_path, content))


def parquet(path: Path) -> Path:
    columns: dict[str, list[Any]] = {
        "sku": [1, 2],
        "image": [["a.jpg", "b.jpg"], None],
        "at": [datetime(2026, 1, 31, tzinfo=UTC), None],
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def test_parquet_is_read_row_by_row(tmp_path: Path) -> None:
    table = open_table(parquet(tmp_path / "products.parquet"), "products.parquet", WANTED)
    assert (table.columns, table.has_types) == (["sku", "image", "at"], True)
    assert cells(table) == [
        (1, {"sku": 1, "image": ["a.jpg", "b.jpg"], "at": datetime(2026, 1, 31, tzinfo=UTC)}),
        (2, {"sku": 2, "image": None, "at": None}),
    ]


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = parquet(tmp_path / "products.parquet")
    true_import = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ModuleNotFoundError(name="pyarrow")
        return true_import(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(TableError, match=r"the extra \[parquet\]: pip install '\.\[parquet\]'"):
        open_table(path, "products.parquet", WANTED)


def test_standard_input_is_kept_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"sku,image\n1,hat.jpg\n")))
    with table_at(None) as path:
        table = open_table(path, "standard input", WANTED)
        assert cells(table) == cells(table) == [(2, {"sku": "1", "image": "hat.jpg"})]
    assert not path.exists()


FAILING = {
    "commas": (b"sku,image\n1,hat.jpg\n2,shoe.jpg,more\n", ".csv"),
    "another encoding": ("sku;größe;image\n1;groß;hat.jpg\n".encode("cp1252"), ".csv"),
    "a mark": ("\ufeffsku\timage\n1\t größe\n".encode(), ".csv"),
    "json": (b'{"sku": 1, "image": ["a.jpg"], "price": 1.5}\n{"sku": 2}\n', ".jsonl"),
}


@pytest.mark.parametrize("case", FAILING)
def test_failed_rows_come_back_as_they_were(case: str, tmp_path: Path) -> None:
    content, suffix = FAILING[case]
    before = opened(tmp_path, content)
    for number in range(3):  # the failed rows of failed rows too
        path = tmp_path / f"failed-{number}"
        failures = FailureFile(path, before)
        for row in before.rows():
            failures.add(row, f"because, {number}; 赤い")
        failures.close()
        after = open_table(path, path.name, WANTED)
        assert before.suffix == suffix
        assert after.columns[0] == REASON
        assert [column for column in after.columns if column != REASON] == [
            each for each in before.columns if each != REASON
        ]
        of_before, of_after = (
            [
                ({name: cell for name, cell in row.cells.items() if name != REASON}, row.problem is None)
                for row in table.rows()
            ]
            for table in (before, after)
        )
        assert of_after == of_before
        before = after


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_every_name_of_the_header_may_be_quoted(delimiter: str, tmp_path: Path) -> None:
    table = opened(tmp_path, f'"sku"{delimiter}"image"\n"1"{delimiter}"hat.jpg"\n')
    assert cells(table) == [(2, {"sku": "1", "image": "hat.jpg"})]


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "utf-16-le"])
def test_a_mark_before_the_table_is_no_part_of_it_where_the_encoding_is_given(encoding: str, tmp_path: Path) -> None:
    table = opened(tmp_path, '\ufeff"sku",image\n1,hat.jpg\n'.encode(encoding), encoding=encoding)
    assert cells(table) == [(2, {"sku": "1", "image": "hat.jpg"})]


def test_a_mark_before_json_lines_is_no_part_of_them(tmp_path: Path) -> None:
    for encoding in (None, "utf-8", "UTF8"):
        path = tmp_path / "products.jsonl"
        path.write_bytes('\ufeff{"sku": 1}\n'.encode())
        assert cells(open_table(path, path.name, WANTED, encoding=encoding)) == [(1, {"sku": 1})]


def test_failed_rows_of_parquet_are_json_lines(tmp_path: Path) -> None:
    table = open_table(parquet(tmp_path / "products.parquet"), "products.parquet", WANTED)
    failures = FailureFile(tmp_path / f"failed{table.suffix}", table)
    for row in table.rows():
        failures.add(row, "because")
    failures.close()
    assert [json.loads(line) for line in failures.path.read_text().splitlines()] == [
        {REASON: "because", "sku": 1, "image": ["a.jpg", "b.jpg"], "at": "2026-01-31 00:00:00+00:00"},
        {REASON: "because", "sku": 2, "image": None, "at": None},
    ]


def test_a_file_of_failed_rows_is_made_when_one_fails_and_an_old_one_goes_when_none_does(tmp_path: Path) -> None:
    table = opened(tmp_path, "sku,image\n1,hat.jpg\n")
    path = tmp_path / "products.failed.csv"
    path.write_text(f"{REASON},of an earlier run")
    failures = FailureFile(path, table)
    assert path.read_text() == f"{REASON},of an earlier run"
    failures.close()
    failures.remove_old()
    assert not path.exists()
    failures = FailureFile(path, table)
    failures.add(next(iter(table.rows())), "because")
    failures.close()
    failures.remove_old()
    assert path.read_text().splitlines() == [f"{REASON},sku,image", "because,1,hat.jpg"]


@pytest.mark.parametrize(("name", "reason"), [("failed.csv", "No space left"), ("missing/failed.csv", "No such file")])
def test_a_file_of_failed_rows_that_cannot_be_written_is_named(name: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / name
    failures = FailureFile(path, opened(tmp_path, "sku,image\n1,hat.jpg\n"))
    if path.parent == tmp_path:
        if not os.path.exists("/dev/full"):  # noqa: PTH110
            pytest.skip("no /dev/full here")
        failures._new.symlink_to("/dev/full")
    with pytest.raises(FailureFileError, match=rf"{path}, the file of failed rows, cannot be written: {reason}"):
        failures.add(Row(2, {"sku": "1"}, ["1"]), "because")
    assert [each.name for each in tmp_path.iterdir()] == ["products.csv"]
