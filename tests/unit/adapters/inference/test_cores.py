import os
from pathlib import Path

import pytest

from adapters.inference.cores import available_cores

PRESENT = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("limit", "cores"),
    [("max 100000", PRESENT), ("100000 100000", 1), ("20000 100000", 1), ("9900000 100000", PRESENT), ("odd", PRESENT)],
)
def test_a_quota_of_version_2_bounds_the_cores(tmp_path: Path, limit: str, cores: int) -> None:
    (tmp_path / "cpu.max").write_text(f"{limit}\n")
    assert available_cores(tmp_path) == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1", PRESENT), ("50000", 1)])
def test_a_quota_of_version_1_bounds_the_cores(tmp_path: Path, quota: str, cores: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert available_cores(tmp_path) == cores


def test_without_control_groups_the_affinity_counts(tmp_path: Path) -> None:
    assert available_cores(tmp_path) == PRESENT


@pytest.mark.parametrize("limited", ["system.slice", "system.slice/lookalike.service"])
def test_a_quota_of_the_own_group_or_one_around_it_counts(tmp_path: Path, limited: str) -> None:
    (tmp_path / "system.slice" / "lookalike.service").mkdir(parents=True)
    (tmp_path / limited / "cpu.max").write_text("100000 100000\n")
    membership = tmp_path / "membership"
    membership.write_text("1:name=systemd:/other\n0::/system.slice/lookalike.service\n")
    assert available_cores(tmp_path, membership) == 1


def test_a_group_outside_of_what_is_mounted_says_nothing(tmp_path: Path) -> None:
    membership = tmp_path / "membership"
    membership.write_text("0::/../../elsewhere\n")
    assert available_cores(tmp_path, membership) == PRESENT
