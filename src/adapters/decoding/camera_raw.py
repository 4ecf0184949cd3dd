"""Camera RAW files, by name: they hold what a sensor saw, and beside it at most a preview that can be shown."""

import re

from domain.errors import CameraRawError

_SIGNATURES = {
    rb"II\*\0.{4}CR": "Canon CR2",
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

_MAKERS = {
    "NIKON": "Nikon NEF",
    "SONY": "Sony ARW",
    "PENTAX": "Pentax PEF",
    "RICOH": "Pentax PEF",
    "SAMSUNG": "Samsung SRW",
    "HASSELBLAD": "Hasselblad 3FR",
    "CANON": "Canon CR2",
    "OLYMPUS": "Olympus ORF",
    "EPSON": "Epson ERF",
    "KODAK": "Kodak DCR",
    "MAMIYA": "Mamiya MEF",
    "LEAF": "Leaf MOS",
    "PHASE ONE": "Phase One IIQ",
}
"""A part of the TIFF tag Make, and what that maker's RAW files are called."""


def refuse_camera_raw(content: bytes) -> None:
    """Raise CameraRawError where the first bytes alone tell a RAW file. What TIFFs tell otherwise: `tiff`."""
    for signature, name in _SIGNATURES.items():
        if re.match(signature, content, re.DOTALL):
            raise raw_error(name)


def raw_name(make: str) -> str:
    """What a RAW file in the clothes of a TIFF is called, by its tag Make."""
    return next((name for maker, name in _MAKERS.items() if maker in make.upper()), "of the TIFF family")


def raw_error(name: str) -> CameraRawError:
    """The refusal of a RAW file of this name."""
    return CameraRawError(
        f"The content is a camera RAW file ({name}), of which only a preview could be shown. "
        "Export it as JPEG or TIFF, and send that."
    )
