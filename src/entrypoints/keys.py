"""API keys: how they are written, made, and recognised. Only their hashes are kept.

SHA-256 without salt or stretching suffices for keys that a machine makes (`new_key`, 256 random bits), which cannot be
guessed. It would not suffice for passwords.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from domain.errors import ConfigurationError

LEAST_LENGTH = 8
"""Least characters of a key."""

HASHED = "sha256:"
_HEX_DIGEST = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)


class Role(StrEnum):
    """What a key allows; each role includes the one before it."""

    SEARCH = "search"
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """The higher, the more it allows."""
        return list(Role).index(self)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key by its SHA-256 (32 bytes), which no representation shows."""

    role: Role
    digest: bytes = field(repr=False)

    def is_of(self, digest: bytes) -> bool:
        """Whether the digest is this key's. It compares in constant time, so that timing reveals nothing."""
        return hmac.compare_digest(self.digest, digest)


def digest_of(key: bytes) -> bytes:
    """The digest that is kept of a key."""
    return hashlib.sha256(key).digest()


def new_key() -> str:
    """A new random key. People, and scanners of published secrets, recognise it by its prefix."""
    return f"lookalike_{secrets.token_urlsafe(32)}"


def written(key: str, role: Role) -> str:
    """The entry that configures a key by its hash."""
    return f"{role}:{HASHED}{digest_of(key.encode()).hex()}"


def parse_keys(entries: Iterable[str]) -> tuple[ApiKey, ...]:
    """Keys written as `role:key` or `role:sha256:hash`. Raises ValueError, which repeats no part of an entry."""
    return tuple(_parse(entry.strip(), number) for number, entry in enumerate(entries, start=1) if entry.strip())


def read_keys_file(path: Path) -> tuple[ApiKey, ...]:
    """One key a line; lines that begin with `#` are comments. Raises ConfigurationError, also where it holds no key."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        keys = parse_keys("" if line.lstrip().startswith("#") else line for line in lines)
        if not keys:
            raise ValueError("it holds no key: one a line, written as role:key")
    except OSError as error:
        reason = f"it cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        reason = "it is not text"
    except ValueError as error:
        reason = str(error)
    else:
        return keys
    raise ConfigurationError(f"LOOKALIKE_AUTH__KEYS_FILE {path}: {reason}")  # without a cause, which might quote a key


def _parse(entry: str, number: int) -> ApiKey:
    role, _, key = entry.partition(":")
    if role not in set(Role):
        raise ValueError(f"entry {number} does not begin with a role: write role:key with roles {', '.join(Role)}")
    if key.startswith(HASHED):
        hexadecimal = key.removeprefix(HASHED)
        if not _HEX_DIGEST.fullmatch(hexadecimal):
            raise ValueError(f"entry {number} has no SHA-256: after sha256: come 64 hexadecimal digits")
        return ApiKey(Role(role), bytes.fromhex(hexadecimal))
    if len(key) < LEAST_LENGTH:
        raise ValueError(f"entry {number} is too short: a key has {LEAST_LENGTH} or more characters")
    return ApiKey(Role(role), digest_of(key.encode()))
