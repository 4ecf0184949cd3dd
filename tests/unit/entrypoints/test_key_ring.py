"""The keys of a running service."""

import os
from pathlib import Path
from typing import Any

import pytest

from domain.errors import ConfigurationError
from entrypoints.http.access.key_ring import REREAD_SECONDS, SECRET_FILE, KeyRing, session_secret
from entrypoints.keys import Role, parse_keys


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def a_ring(*entries: str, file: Path | None = None, secret: bytes = b"s" * 32, clock: Clock | None = None) -> KeyRing:
    return KeyRing(parse_keys(entries), file, secret=lambda: secret, clock=clock or Clock())


def roles(ring: KeyRing, *keys: bytes) -> list[Role | None]:
    return [None if found is None else found.role for found in map(ring.find, keys)]


def test_keys_are_found_by_themselves_alone() -> None:
    ring = a_ring("read:old-key-1", "read:new-key-2", "write:schlüssel")
    assert roles(ring, b"old-key-1", b"new-key-2", "schlüssel".encode()) == [Role.READ, Role.READ, Role.WRITE]
    assert roles(ring, b"", b"old-key-", b"OLD-KEY-1", b"sha256:old-key-1", b"\xff\xfe") == [None] * 5


def test_a_hash_in_the_settings_is_no_key() -> None:
    [entry] = parse_keys(["read:old-key-1"])
    ring = a_ring(f"read:sha256:{entry.digest.hex()}")
    assert roles(ring, b"old-key-1", entry.digest, entry.digest.hex().encode()) == [Role.READ, None, None]


@pytest.mark.parametrize("entries", [("read:a-key-12", "admin:a-key-12"), ("admin:a-key-12", "read:a-key-12")])
def test_of_a_key_with_two_roles_the_higher_counts(entries: tuple[str, str]) -> None:
    assert roles(a_ring(*entries), b"a-key-12") == [Role.ADMIN]


def test_keys_of_the_file_join_those_of_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("write:of-the-file\n")
    assert roles(a_ring("read:of-the-settings", file=file), b"of-the-file", b"of-the-settings") == [
        Role.WRITE,
        Role.READ,
    ]
    assert not a_ring(file=file).is_empty


def test_a_file_that_cannot_be_read_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"LOOKALIKE_AUTH__KEYS_FILE .*none: it cannot be read"):
        a_ring(file=tmp_path / "none")


def test_a_changed_file_is_taken_while_the_service_runs(tmp_path: Path) -> None:
    file, clock = tmp_path / "keys", Clock()
    file.write_text("read:yesterday\n")
    ring = a_ring(file=file, clock=clock)
    file.write_text("read:yesterday\nread:todays-key\n")
    assert roles(ring, b"todays-key") == [None]  # it is not looked at for every request
    clock.now += REREAD_SECONDS
    assert roles(ring, b"yesterday", b"todays-key") == [Role.READ, Role.READ]
    other = tmp_path / "other"
    other.write_text("read:todays-key\n")
    other.replace(file)
    clock.now += REREAD_SECONDS
    assert roles(ring, b"yesterday", b"todays-key") == [None, Role.READ]


@pytest.mark.parametrize("broken", ["", "read:short\n", "owner:a-secret-of-mine\n", None])
def test_a_file_that_breaks_changes_nothing_and_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: str | None
) -> None:
    file, clock = tmp_path / "keys", Clock()
    file.write_text("read:yesterday\n")
    ring = a_ring(file=file, clock=clock)
    if broken is None:
        file.unlink()
    else:
        file.write_text(broken)
    for _ in range(3):
        clock.now += REREAD_SECONDS
        assert roles(ring, b"yesterday") == [Role.READ]
    assert len(caplog.records) == 1  # once, not with every request
    assert "The keys stay what they were" in caplog.text
    assert "secret" not in caplog.text


def test_a_token_stands_for_its_key_as_long_as_that_is_configured() -> None:
    ring = a_ring("read:old-key-1", "write:new-key-2")
    [old, new] = [ring.find(b"old-key-1"), ring.find(b"new-key-2")]
    assert old is not None
    assert new is not None
    token = ring.token_of(old)
    assert ring.find_by_token(token) == old
    assert ring.find_by_token(ring.token_of(new)) == new
    assert a_ring("write:new-key-2").find_by_token(token) is None
    for forged in ("", "0" * 64, token[:-1], "ü", old.digest.hex(), "old-key-1"):
        assert ring.find_by_token(forged) is None


def test_who_knows_only_the_settings_makes_no_token() -> None:
    ring, elsewhere = a_ring("read:old-key-1"), a_ring("read:old-key-1", secret=b"t" * 32)
    entry = elsewhere.find(b"old-key-1")
    assert entry is not None
    assert ring.find_by_token(elsewhere.token_of(entry)) is None


def test_the_secret_is_made_once_and_only_ours_to_read(tmp_path: Path) -> None:
    secret = session_secret(tmp_path / "data")
    assert len(secret) == 32
    assert session_secret(tmp_path / "data") == secret
    assert session_secret(tmp_path / "other") != secret
    [file] = (tmp_path / "data").iterdir()
    assert (file.name, file.stat().st_mode & 0o777) == (SECRET_FILE, 0o600)


def test_processes_that_make_the_secret_at_once_share_it_though_they_have_one_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of containers have, each of which counts its own."""
    link, others = os.link, []

    def link_after_another(*paths: Any) -> None:
        monkeypatch.setattr(os, "link", link)
        others.append(session_secret(tmp_path))
        link(*paths)

    monkeypatch.setattr(os, "link", link_after_another)
    assert [session_secret(tmp_path)] == others
    assert [path.name for path in tmp_path.iterdir()] == [SECRET_FILE]


def test_where_it_cannot_be_kept_there_is_one_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / SECRET_FILE).write_bytes(b"cut")
    first, second = session_secret(tmp_path), session_secret(tmp_path)
    assert len({first, second, b"cut"}) == 3
    assert "it has 3 bytes instead of 32; delete it" in caplog.text
    (tmp_path / "file").touch()
    assert len(session_secret(tmp_path / "file")) == 32
