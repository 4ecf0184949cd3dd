"""How keys are written and made."""

import hashlib
from pathlib import Path

import pytest

from domain.errors import ConfigurationError
from entrypoints.keys import LEAST_LENGTH, ApiKey, Role, digest_of, new_key, parse_keys, read_keys_file, written


def test_a_key_may_hold_colons_and_is_kept_as_its_hash() -> None:
    [key] = parse_keys([" write:a:key:of=sorts "])
    assert key == ApiKey(Role.WRITE, hashlib.sha256(b"a:key:of=sorts").digest())


def test_a_hash_is_the_key_of_which_it_is() -> None:
    digest = hashlib.sha256(b"a-plain-key").hexdigest()
    plain, hashed, shouted = parse_keys(
        ["admin:a-plain-key", f"admin:sha256:{digest}", f"admin:sha256:{digest.upper()}"]
    )
    assert plain == hashed == shouted
    assert written("a-plain-key", Role.ADMIN) == f"admin:sha256:{digest}"


def test_several_keys_of_one_role_stand_side_by_side() -> None:
    assert [key.role for key in parse_keys(["read:old-key-1", "", "read:new-key-2"])] == [Role.READ, Role.READ]


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("owner:secret-12345", "entry 2 does not begin with a role"),
        ("secret-12345", "entry 2 does not begin with a role"),
        ("read:secret", "entry 2 is too short"),
        ("read:sha256:secret-12345", "entry 2 has no SHA-256"),
        (f"read:sha256:{'a' * 63}", "entry 2 has no SHA-256"),
    ],
)
def test_what_is_wrong_is_told_without_the_key(entry: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as error:
        parse_keys(["read:right-key", entry])
    assert "secret" not in str(error.value)


def test_no_representation_shows_what_could_be_tried_out() -> None:
    [key] = parse_keys(["read:a-plain-key"])
    for shown in (repr(key), str(key), f"{key}", repr([key])):
        assert digest_of(b"a-plain-key").hex() not in shown
        assert repr(key.digest)[2:-1] not in shown


def test_new_keys_are_long_and_different() -> None:
    made = {new_key() for _ in range(100)}
    assert len(made) == 100
    assert all(len(key) >= 43 + LEAST_LENGTH and "," not in key and ":" not in key for key in made)


def test_a_file_has_one_key_a_line(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# the shop's, since May\nwrite:shop-key-1\n\n  # another\r\nread:other,key-2\r\n")
    assert read_keys_file(file) == parse_keys(["write:shop-key-1", "read:other,key-2"])


@pytest.mark.parametrize("content", [b"", b"# only a comment\n\n"])
def test_a_file_without_keys_does_not_open_the_service(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "keys"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"LOOKALIKE_AUTH__KEYS_FILE .*/keys: it holds no key"):
        read_keys_file(file)


def test_a_file_that_cannot_be_used_is_named_with_the_line(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    with pytest.raises(ConfigurationError, match=r"keys: it cannot be read: No such file"):
        read_keys_file(file)
    file.write_bytes(b"read:\xff\xfe-secret-1")
    with pytest.raises(ConfigurationError, match="it is not text"):
        read_keys_file(file)
    file.write_text("# one\nread:right-key\nwrong:secret-1\n")
    with pytest.raises(ConfigurationError, match="keys: entry 3 does not begin with a role") as error:
        read_keys_file(file)
    assert "secret" not in str(error.value)
