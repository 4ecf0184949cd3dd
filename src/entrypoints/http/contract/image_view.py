"""How one caller sees images: where their links lead, and what of them is hidden."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from domain.errors import FieldNotPublicError
from domain.filters import METADATA_PREFIX
from domain.images import ImageRecord

PRIVATE_FIELDS = ("filename", "source")
"""Fields of an image that are null for callers who may only search."""

PUBLIC_FIELDS = frozenset({"labels", "media_type", "width", "height", "sha256"})
"""Fields that these callers may filter by, besides their keys of metadata."""

PUBLIC_GROUPINGS = frozenset({"sha256"})
"""Likewise, that they may group by."""


def version_of(record: ImageRecord) -> str:
    """The first 12 digits of the SHA-256: a replaced picture has another link."""
    return record.sha256[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageView:
    """How one caller sees images."""

    root: str
    """The path under which a proxy serves us."""
    sign: Callable[[ImageRecord], Mapping[str, str]]
    """The parameters by which a thumbnail loads without a key; none where links are not signed."""
    public_metadata: Collection[str] | None
    """The only keys of metadata that the caller sees; None: it sees everything."""

    def thumbnail_query(self, record: ImageRecord) -> str:
        """The query of the link to a thumbnail."""
        return urlencode({"v": version_of(record), **self.sign(record)})

    def visible(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields of an image without what the caller may not see."""
        if self.public_metadata is None:
            return fields
        metadata = {key: value for key, value in fields["metadata"].items() if key in self.public_metadata}
        return fields | dict.fromkeys(PRIVATE_FIELDS) | {"metadata": metadata}

    def refuse_private_fields(self, names: Iterable[str], among: Collection[str] = PUBLIC_FIELDS) -> None:
        """Raise FieldNotPublicError where the caller may not see a field: a filter by it would tell its values.

        It sees its keys of metadata, and those `among` the others.
        """
        if self.public_metadata is None:
            return
        public = set(among) | {f"{METADATA_PREFIX}{key}" for key in self.public_metadata}
        if private := sorted(set(names) - public):
            raise FieldNotPublicError(
                f"A key of the role search may not name {', '.join(private)}, only {', '.join(sorted(public))}."
            )
