import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from torture import run
from torture.report import Row


def test_a_service_that_fails_amid_a_section_is_a_row_and_the_next_section_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(directory: Path, *, short: bool) -> Iterable[Row]:
        yield Row(what="first harm", times=3)
        raise AssertionError("The service logged errors:\nmany lines")

    def healthy(directory: Path, *, short: bool) -> Iterable[Row]:
        yield Row(what="second harm", times=5)

    monkeypatch.setattr(run, "SECTIONS", {"one": failing, "two": healthy})
    monkeypatch.setattr(sys, "argv", ["torture", "--short"])
    with pytest.raises(SystemExit, match=r"^Lost, or answered 500: one: The service logged errors:$"):
        run.main()
    printed = capsys.readouterr()
    for row in ("| first harm | 3 |", "| one: The service logged errors: | 1 |", "| second harm | 5 |"):
        assert row in printed.out
    assert "many lines" in printed.err
