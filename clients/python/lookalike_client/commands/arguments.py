"""What several commands take, from text to what the client takes. The service checks the rest."""

import json
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

if TYPE_CHECKING:
    from lookalike_client import Key


def json_object(text: str) -> dict[str, Any]:
    """A JSON object from text. Raises BadParameter."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"it is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise typer.BadParameter('it is no JSON object, such as {"brand": "acme"}')
    return value


def filter_object(text: str) -> dict[str, Any]:
    """A filter from JSON text: its parts are lists, of conditions if the service finds so. Raises BadParameter."""
    value = json_object(text)
    if not all(isinstance(part, list) for part in value.values()):
        raise typer.BadParameter('each part of it is a list of conditions, such as {"all": [...]}')
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


Among = Annotated[
    dict[str, Any] | None,
    typer.Option(
        "--filter",
        metavar="JSON",
        parser=filter_object,
        help='Only these: \'{"all": [{"field": "metadata.brand", "eq": "acme"}]}\'.',
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print what the API answers.")]


def region(text: str) -> tuple[float, float, float, float]:
    """A box from `x_min,y_min,x_max,y_max`. Raises BadParameter."""
    try:
        x_min, y_min, x_max, y_max = map(float, text.split(","))
    except ValueError as error:
        raise typer.BadParameter(
            f"a region is written x_min,y_min,x_max,y_max, not {text[:100]!r}", param_hint="--region"
        ) from error
    return x_min, y_min, x_max, y_max


def _checked_name(name: str | None) -> str | None:
    """Raises BadParameter."""
    if name is None:
        return None
    name = name.strip("/")
    if not name or not name.isprintable():
        raise typer.BadParameter("is text without control characters, and not empty")
    return name


As = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="NAME",
        callback=_checked_name,
        help="Begin the pictures' keys with this instead of the folder's name.",
    ),
]


Exif = Annotated[
    bool,
    typer.Option(
        "--exif",
        help="Take exif_taken, exif_camera and exif_lens into the metadata of pictures that are sent.",
    ),
]
ExifPlace = Annotated[bool, typer.Option("--exif-place", help="Take the place too: exif_latitude, exif_longitude.")]


def exif_parts(exif: bool, exif_place: bool) -> bool | str | None:
    """What the service is to take from EXIF, by the two options; None leaves it to its settings."""
    return "taken,camera,lens,place" if exif_place else exif or None


def named(text: str) -> "UUID | Key":
    """What an argument names: an id where it is one, else a key."""
    from lookalike_client import Key

    try:
        id_ = UUID(text)
    except ValueError:
        return Key(text)
    return id_ if str(id_) == text.lower() else Key(text)  # 32 bare digits may well be a key
