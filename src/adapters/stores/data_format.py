"""The version of the data directory's format."""

import re
from pathlib import Path

from domain.errors import ConfigurationError, Remedy

FORMAT = 2
"""The format of the images' files and of what lies beside them. A release that changes it so that earlier ones would
misread it raises the number. 1 kept originals under the images' ids. The embedded index has a format of its own.
"""

FORMAT_FILE = "format"

_NAME_IN_FORMAT_1 = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def check_format(images: Path) -> bool:
    """Whether the data directory, in which `images` is, says this format.

    Raises ConfigurationError for a format that is not known here, and for an older one if it holds pictures.
    """
    path = images.parent / FORMAT_FILE
    version = _stated(path)
    if version is not None and version > FORMAT:
        raise ConfigurationError(
            f"The data directory {images.parent} has format {version}; this release knows formats up to {FORMAT}. Run "
            "the release that wrote it, or a later one."
        )
    if version != FORMAT and _holds_pictures_of_format_1(images):
        raise ConfigurationError(
            f"The data directory {images.parent} holds pictures in format 1; this release needs format {FORMAT}.",
            remedy=Remedy.CARRY_OVER_THE_OLDER_FORMAT,
        )
    return version == FORMAT


def _stated(path: Path) -> int | None:
    try:
        return int(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigurationError(
            f"{path} is damaged: it must be a number alone, that of the data directory's format. Put it back, or write "
            f"{FORMAT} if no later release than this one has used the directory."
        ) from error


def _holds_pictures_of_format_1(images: Path) -> bool:
    return any(_NAME_IN_FORMAT_1.fullmatch(path.name) for path in images.glob("originals/??/*"))
