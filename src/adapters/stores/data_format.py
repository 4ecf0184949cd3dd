"""The version of the data directory's format."""

from pathlib import Path

from domain.errors import ConfigurationError

FORMAT = 1
"""The format of the images' files and of what lies beside them. A release that changes it so that earlier ones would
misread it raises the number, and upgrades older directories when it opens them. The embedded index has a format of its
own.
"""

FORMAT_FILE = "format"


def check_format(data_dir: Path) -> bool:
    """Whether the data directory says its format. Raises ConfigurationError for one that is not known here."""
    path = data_dir / FORMAT_FILE
    try:
        version = int(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigurationError(
            f"{path} is damaged: it must be a number alone, that of the data directory's format. Put it back, or write "
            f"{FORMAT} if no later release than this one has used the directory."
        ) from error
    if version > FORMAT:
        raise ConfigurationError(
            f"The data directory {data_dir} has format {version}; this release knows formats up to {FORMAT}. Run the "
            "release that wrote it, or a later one."
        )
    return True
