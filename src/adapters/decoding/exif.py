"""What EXIF and XMP say of a picture's taking: a time, a camera, a lens, a place."""

import math
import re
from datetime import datetime
from html import unescape
from typing import Any

from PIL import ExifTags, Image, ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from adapters.decoding.formats import MAX_EXIF

MAX_TEXT = 200
"""Characters of a camera's or a lens's name."""

_OFFSET = re.compile(r"[+-][0-9]{2}:[0-9]{2}|Z")
_XMP = re.compile(
    rb"\b(exif:DateTimeOriginal|xmp:CreateDate|tiff:Make|tiff:Model|exifEX:LensModel|aux:Lens)"
    rb"(?:\s*=\s*[\"']|>)([^<\"'>]{1,400})"
)
"""Properties as attributes or as elements. Any parser of XML would be one more that reads what strangers write."""


def exif_of(image: ImageFile.ImageFile) -> dict[str, Any]:
    """Values under the keys of `domain.exif`, of a picture whose header was read. Damaged parts say nothing."""
    exif, xmp = _exif(image), _xmp(image)

    def tag(number: int, directory: int | None = None) -> Any:  # noqa: ANN401 - what strangers write
        try:
            return (exif if directory is None else exif.get_ifd(directory)).get(number)
        except Exception:  # the same variety as for pictures
            return None

    make = _text(tag(ExifTags.Base.Make)) or xmp.get("tiff:Make", "")
    model = _text(tag(ExifTags.Base.Model)) or xmp.get("tiff:Model", "")
    taken, offset = (
        _text(tag(number, ExifTags.IFD.Exif))
        for number in (ExifTags.Base.DateTimeOriginal, ExifTags.Base.OffsetTimeOriginal)
    )
    gps = ExifTags.GPS
    latitude, north, longitude, east = (
        tag(number, ExifTags.IFD.GPSInfo)
        for number in (gps.GPSLatitude, gps.GPSLatitudeRef, gps.GPSLongitude, gps.GPSLongitudeRef)
    )
    found: dict[str, Any] = {
        "exif_taken": _time(taken, offset) or _time(xmp.get("exif:DateTimeOriginal") or xmp.get("xmp:CreateDate", "")),
        # Makers begin their models' names with their own, or do not.
        "exif_camera": model if model.lower().startswith(make.lower().split(" ")[0]) else f"{make} {model}".strip(),
        "exif_lens": _text(tag(ExifTags.Base.LensModel, ExifTags.IFD.Exif))
        or xmp.get("exifEX:LensModel")
        or xmp.get("aux:Lens"),
    }
    place = _degrees(latitude, north, "NS", 90), _degrees(longitude, east, "EW", 180)
    if None not in place:
        found |= dict(zip(("exif_latitude", "exif_longitude"), place, strict=True))
    return {key: value for key, value in found.items() if value not in (None, "")}


def _exif(image: ImageFile.ImageFile) -> Image.Exif:
    """That of the header: nothing more of the picture is read for it."""
    try:
        if isinstance(image, TiffImageFile):
            return image.getexif()
        exif, stored = Image.Exif(), image.info.get("exif") or b""
        if len(stored) <= MAX_EXIF:
            exif.load(stored)
    except Exception:  # likewise
        return Image.Exif()
    return exif


def _xmp(image: ImageFile.ImageFile) -> dict[str, str]:
    packet = image.info.get("xmp") or b""
    if not isinstance(packet, bytes) or len(packet) > MAX_EXIF:
        return {}
    found = {name.decode(): _text(unescape(value.decode(errors="replace"))) for name, value in _XMP.findall(packet)}
    return {name: value for name, value in found.items() if value}


def _text(value: object) -> str:
    """A printable text of one line, or nothing."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if not isinstance(value, str):
        return ""
    printable = "".join(each if each.isprintable() else " " for each in value.partition("\0")[0])
    return " ".join(printable.split())[:MAX_TEXT]


def _time(text: str, offset: str = "") -> str | None:
    """RFC 3339, of EXIF's `2019:07:14 12:33:10` or of XMP's `2019-07-14T12:33:10+02:00`; UTC where no zone is given."""
    date, _, rest = text.strip().replace("T", " ").partition(" ")
    try:
        moment = datetime.fromisoformat(f"{date.replace(':', '-')}T{rest}")
        if moment.tzinfo is None:
            moment = datetime.fromisoformat(f"{moment.isoformat()}{offset if _OFFSET.fullmatch(offset) else 'Z'}")
    except ValueError:
        return None
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _degrees(parts: Any, reference: Any, directions: str, most: int) -> float | None:  # noqa: ANN401 - strangers' values
    """Degrees, minutes and seconds as one number, by a reference such as N or S. Rounded to a tenth of a metre."""
    try:
        degrees, minutes, seconds = map(float, parts)
        value = degrees + minutes / 60 + seconds / 3600
        sign = (1, -1)[directions.index(_text(reference).upper())]
    except (TypeError, ValueError, ZeroDivisionError, IndexError):
        return None
    return round(sign * value, 6) if math.isfinite(value) and 0 <= value <= most and _text(reference) else None
