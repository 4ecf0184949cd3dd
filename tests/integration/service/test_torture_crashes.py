"""The short form of `make torture`: what ends processes and fills disks. In two files, which run on a core each."""

from pathlib import Path

import pytest
from torture.run import SECTIONS

HERE = ("crashes", "disk")
"""The other sections are in test_torture_requests.py."""


@pytest.mark.timeout(240)
@pytest.mark.parametrize("section", HERE)
def test_nothing_is_lost_and_nothing_is_answered_500(section: str, tmp_path: Path) -> None:
    rows = list(SECTIONS[section](tmp_path, short=True))
    assert rows
    assert [row for row in rows if not row.passed] == []
