"""Files of weights, and the digests that say which they are."""

import hashlib
import re
from pathlib import Path

from domain.errors import ModelError

LEAST_DIGITS = 8
"""Of a digest, to tell files from one another."""


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hex. Raises ModelError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"The model file {path} cannot be read: {error.strerror}.") from error


def require_digest(expected: str | None) -> None:
    """Raise ModelError if that is given and is neither a SHA-256 in hex nor 8 or more digits of its beginning."""
    if expected is not None and not re.fullmatch(rf"[0-9a-fA-F]{{{LEAST_DIGITS},64}}", expected):
        raise ModelError(
            f"{expected!r} is no SHA-256, and not the beginning of one: give its 64 hex digits, or at least the first "
            f"{LEAST_DIGITS}."
        )


def verified_sha256(path: Path, expected: str | None) -> str:
    """SHA-256 of a file, hex, having checked that it is (or begins with) `expected`, if given.

    Raises ModelError if the file cannot be read, or is another than expected.
    """
    digest = sha256_of(path)
    if expected is not None and not (len(expected) >= LEAST_DIGITS and digest.startswith(expected.lower())):
        raise ModelError(
            f"The model file {path} is not the expected one: its SHA-256 is {digest}, not {expected}. "
            f"Fetch it again, or correct the digest (at least its first {LEAST_DIGITS} hex digits)."
        )
    return digest
