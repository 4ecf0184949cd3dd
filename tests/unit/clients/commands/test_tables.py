import sys

import pytest

from lookalike_client.commands.tables import print_table

ID = "ec271676-a889-5954-bcea-88b3a3bed6e7"
HEADERS = ["Indexed (UTC)", "Name", "Id", "Size", "Bytes", "Metadata"]
ROW = [
    "2026-11-26 11:32:54",
    "a-shirt-with-a-long-name.jpg",
    ID,
    "4032 x 3024",
    "12,345,678",
    "brand=acme, tags=['ä', 'b'], price=1.5",
]


def in_a_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)


@pytest.mark.parametrize("columns", [0, 20, 60, 80, 120, 160, 200])
def test_ids_and_numbers_stand_in_one_line_and_nothing_is_lost(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    in_a_terminal(columns, monkeypatch)

    print_table(HEADERS, [ROW], right_aligned={"Size", "Bytes"})

    _, header, _, *lines = capsys.readouterr().out.splitlines()
    assert all(name in header for name in HEADERS)
    assert ROW[0] in lines[0]
    assert f"{ID}   4032 x 3024   12,345,678" in lines[0]
    assert sorted("".join(lines).replace(" ", "")) == sorted("".join(ROW).replace(" ", ""))


@pytest.mark.parametrize(("columns", "name"), [(79, "a-shirt-with-a-long-name.jpg"), (80, "a-shirt-wi")])
def test_names_fold_where_the_table_fits_the_terminal_by_that(
    columns: int, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    in_a_terminal(columns, monkeypatch)

    print_table(["Rank", "Score", "Key", "Id", "Size"], [["1", "0.630", ROW[1], ID, "4032 x 3024"]])

    first = capsys.readouterr().out.splitlines()[3]
    assert first.split() == ["1", "0.630", name, ID, "4032", "x", "3024"]
    assert len(first) == 70 + len(name)
