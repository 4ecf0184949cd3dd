"""The short form of `make torture`: the sections that test_torture_crashes.py leaves."""

from pathlib import Path

import pytest
from torture.run import SECTIONS

from tests.integration.service.test_torture_crashes import HERE as ELSEWHERE


@pytest.mark.timeout(240)
@pytest.mark.parametrize("section", [section for section in SECTIONS if section not in ELSEWHERE])
def test_nothing_is_lost_and_nothing_is_answered_500(section: str, tmp_path: Path) -> None:
    rows = list(SECTIONS[section](tmp_path, short=True))
    assert rows
    if not any(row.times for row in rows):
        pytest.skip(rows[0].what)
    assert [row for row in rows if not row.passed] == []
