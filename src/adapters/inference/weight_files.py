"""Files of weights, and the digests that say which they are."""

import hashlib
from pathlib import Path

from domain.errors import ModelError


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hex. Raises ModelError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"The model file {path} cannot be read: {error.strerror}.") from error


def verified_sha256(path: Path, expected: str | None) -> str:
    """SHA-256 of a file, hex, having checked that it is (or begins with) `expected`, if given.

    Raises ModelError if the file cannot be read, or is another than expected.
    """
    digest = sha256_of(path)
    if expected is not None and not (len(expected) >= 8 and digest.startswith(expected.lower())):
        raise ModelError(
            f"The model file {path} is not the expected one: its SHA-256 is {digest}, not {expected}. "
            "Fetch it again, or correct the digest (at least its first 8 hex digits)."
        )
    return digest
