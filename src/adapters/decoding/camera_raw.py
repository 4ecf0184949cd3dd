"""Camera RAW files, by name: they hold what a sensor saw, and beside it at most a preview that can be shown."""

import re

from domain.errors import CameraRawError

_SIGNATURES = {
    rb"II\*\0\x10\0\0\0CR\x02": "Canon CR2",
    rb".{4}ftypcrx ": "Canon CR3",
    rb"(II|MM).{4}HEAPCCDR": "Canon CRW",
    rb"II\*\0.{4}IIII.waR|MM\0\*.{4}MMMMRaw": "Phase One IIQ",
    rb"IIRO|IIRS|MMOR": "Olympus ORF",
    rb"IIU\0": "Panasonic RW2",  # and Leica's RWL
    rb"FUJIFILMCCD-RAW": "Fujifilm RAF",
    rb"\0MRM": "Minolta MRW",
    rb"FOVb": "Sigma X3F",
}
"""Source: ExifTool's tables of file types."""

TIFF_NAMES = (
    *("Nikon NEF", "Sony ARW", "Pentax PEF", "Ricoh PEF", "Samsung SRW", "Hasselblad 3FR", "Canon CR2", "Olympus ORF"),
    *("Epson ERF", "Kodak DCR", "Mamiya MEF", "Leaf MOS", "Phase One IIQ"),
)
"""RAW files in the clothes of a TIFF: the first word is in the tag Make, in whatever letters."""


def refuse_camera_raw(content: bytes) -> None:
    """Raise CameraRawError where the first bytes alone tell a RAW file. What TIFFs tell otherwise: `tiff`."""
    for signature, name in _SIGNATURES.items():
        if re.match(signature, content, re.DOTALL):
            raise raw_error(name)


def raw_error(name: str) -> CameraRawError:
    """The refusal of a RAW file of this name."""
    return CameraRawError(
        f"The content is a camera RAW file ({name}), of which only a preview could be shown. "
        "Export it as JPEG or TIFF, and send that."
    )
