import re
from pathlib import Path

import pytest

from entrypoints.keys import Role, parse_keys, read_keys_file
from tests.integration.cli.command import lookalike


@pytest.mark.parametrize("role", [Role.SEARCH, Role.WRITE])
def test_a_new_key_comes_with_the_line_that_the_service_needs(tmp_path: Path, role: Role) -> None:
    made = lookalike("keys", "new", "--role", role, data_dir=tmp_path / "data")
    assert made.returncode == 0
    [key] = re.findall(r"^  (lookalike_\S+)$", made.stdout, re.MULTILINE)
    [line] = re.findall(rf"^  ({role}:sha256:\S+)$", made.stdout, re.MULTILINE)
    (tmp_path / "keys").write_text(line)
    assert key not in line
    assert read_keys_file(tmp_path / "keys") == parse_keys([f"{role}:{key}"])
    assert not (tmp_path / "data").exists()


def test_an_unknown_role_is_told(tmp_path: Path) -> None:
    refused = lookalike("keys", "new", "--role", "owner", data_dir=tmp_path / "data")
    assert refused.returncode == 2
    assert all(role in refused.stderr for role in Role)
