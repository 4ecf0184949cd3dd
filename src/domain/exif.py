"""What a picture's own EXIF or XMP says of its taking, as metadata."""

from collections.abc import Collection, Mapping
from enum import StrEnum

from domain.errors import InvalidInputError, InvalidMetadataError
from domain.metadata import Metadata, MetadataTypes, checked_metadata


class ExifPart(StrEnum):
    """What may be taken over. The place, which tells where people live, is taken only where it is named."""

    TAKEN = "taken"
    CAMERA = "camera"
    LENS = "lens"
    PLACE = "place"


KEYS: Mapping[ExifPart, tuple[str, ...]] = {
    ExifPart.TAKEN: ("exif_taken",),
    ExifPart.CAMERA: ("exif_camera",),
    ExifPart.LENS: ("exif_lens",),
    ExifPart.PLACE: ("exif_latitude", "exif_longitude"),
}
"""The keys of metadata. `exif_taken` is an RFC 3339 time, in UTC where the picture names no time zone; latitude and
longitude are degrees, north and east."""

USUAL = frozenset(ExifPart) - {ExifPart.PLACE}


def parse_exif_parts(text: str) -> frozenset[ExifPart]:
    """`true` for all but the place, `false` or nothing for none, or names such as `taken,camera,lens,place`.

    Raises InvalidInputError.
    """
    match text.strip().lower():
        case "true":
            return USUAL
        case "false" | "":
            return frozenset()
    try:
        return frozenset(ExifPart(name.strip().lower()) for name in text.split(","))
    except ValueError:
        names = ", ".join(ExifPart)
        raise InvalidInputError(f"{text[:100]!r} is neither true nor false nor some of {names}.") from None


def chosen_exif(found: Metadata, parts: Collection[ExifPart], types: MetadataTypes) -> Metadata:
    """These parts of what was found, without values that their keys' declared types do not take."""
    keys = [key for part in ExifPart if part in parts for key in KEYS[part] if key in found]
    return {key: found[key] for key in keys if key not in types or types[key].accepts(found[key])}


def completed(metadata: Metadata, exif: Metadata) -> Metadata:
    """`metadata`, and what `exif` has under other keys as far as the limits of metadata leave room for it."""
    result = metadata
    for key, value in exif.items():
        if key in metadata:
            continue
        try:
            result = checked_metadata({**result, key: value})
        except InvalidMetadataError:  # too many keys, or bytes
            continue
    return result
