"""A directory that holds a model for OpenVINO, the manifest that says what is in it, and the digests that prove it."""

import hashlib
import json
import re
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from domain.errors import ModelError

MANIFEST = "manifest.json"
GRAPH = "openvino_model.xml"
WEIGHTS = "openvino_model.bin"

FORMAT = 1
"""The manifest's version."""

LEAST_DIGITS = 8
"""The least digits of a digest that tell files from one another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDirectory(ABC):
    """What the manifest of an exported model says; each family of models adds its own fields."""

    FILES: ClassVar[tuple[str, ...]] = (GRAPH, WEIGHTS)
    """Those that the manifest has digests of. Families add what the model gives for golden pictures."""

    directory: Path
    model: str
    weights_digest: str
    """SHA-256 (hex) of the checkpoint that it was exported from."""
    licence: str
    made_with: Mapping[str, str]
    """Versions of what exported it."""
    sha256: Mapping[str, str]
    """Of each of `FILES`, hex."""

    @staticmethod
    @abstractmethod
    def _own_fields(stored: Mapping[str, Any]) -> dict[str, Any]:
        """The family's fields of what a manifest says. Raises KeyError, TypeError, ValueError or ModelError."""

    @property
    def size_bytes(self) -> int:
        """Of all files on disk."""
        return sum(path.stat().st_size for path in self.directory.iterdir() if path.is_file())

    def verify(self) -> None:
        """Raise ModelError, naming the file, if one is missing or not what was exported."""
        for name in self.FILES:
            verified_sha256(self.directory / name, self.sha256[name])

    @classmethod
    def write_manifest(
        cls,
        directory: Path,
        *,
        model: str,
        weights_digest: str,
        licence: str,
        made_with: Mapping[str, str],
        **own: object,
    ) -> Self:
        """Say what is in `directory`, with the files' digests. `own` are the family's fields, as JSON has them."""
        content = {
            "format": FORMAT,
            "model": model,
            "weights_digest": weights_digest,
            **own,
            "licence": licence,
            "made_with": dict(made_with),
            "sha256": {name: sha256_of(directory / name) for name in cls.FILES},
        }
        (directory / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        return cls.read(directory)

    @classmethod
    def read(cls, directory: Path) -> Self:
        """What the manifest in `directory` says. Raises ModelError; does not read the other files."""
        path = directory / MANIFEST
        try:
            stored: Any = json.loads(path.read_text(encoding="utf-8"))
            if stored["format"] != FORMAT:
                raise ModelError(f"{path} has format {stored['format']}, not {FORMAT}: export the model again.")
            return cls(
                directory=directory,
                model=str(stored["model"]),
                weights_digest=str(stored["weights_digest"]),
                licence=str(stored["licence"]),
                made_with=dict(stored["made_with"]),
                sha256={name: str(stored["sha256"][name]) for name in cls.FILES},
                **cls._own_fields(stored),
            )
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
        except KeyError as error:
            raise ModelError(
                f"{path} does not tell {error}: an earlier release exported this model, or the file is damaged. Export "
                "the model again."
            ) from error
        except (TypeError, ValueError) as error:
            raise ModelError(f"{path} is damaged ({error!r}): export the model again.") from error


@contextmanager
def new_directory(directory: Path) -> Iterator[Path]:
    """An empty directory to fill; it becomes `directory`, replacing what is there, when the block ends well.

    Raises ModelError if the place cannot be written.
    """
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        place = tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}-")
    except OSError as error:
        raise ModelError(f"{directory} cannot be written: {error.strerror}.") from error
    with place as name:
        new = Path(name) / directory.name
        new.mkdir()
        yield new
        if directory.exists():
            directory.rename(Path(name) / "replaced")
        new.rename(directory)


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
