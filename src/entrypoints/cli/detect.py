"""`lookalike detect`."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entrypoints.cli.pictures import place_to_save
from entrypoints.cli.service import ApiKey, Url

if TYPE_CHECKING:
    from lookalike_client import Detections


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(detect)


def detect(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", exists=True, dir_okay=False, help="The picture.")],
    score_threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Least confidence; below .05 it counts as .05.")
    ] = 0.3,
    labels: Annotated[
        list[str] | None, typer.Option("--label", metavar="LABEL", help="Only objects of this label; may be repeated.")
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            callback=place_to_save,
            help="Write the picture with boxes and labels, such as a.jpg.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print what the API answers to this.")] = False,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Name the objects in a picture. Nothing is stored; without --url, a service may run on the same data.

    Example: [bold]lookalike detect street.jpg --save annotated.jpg[/]
    """
    from entrypoints.cli.deployment import open_detector
    from entrypoints.cli.service import connect
    from entrypoints.cli.tables import print_objects

    async def ask() -> "Detections":
        async with connect(url, api_key, open_detector()) as client:
            return await client.detect(image, score_threshold=score_threshold, labels=labels or ())

    found = asyncio.run(ask())
    if json:
        print(found.model_dump_json(indent=2))
    elif found.detections:
        print_objects(found.detections)
    else:
        print("No object is found.")
    if save:
        asyncio.run(_save(save, image.read_bytes(), found))


async def _save(path: Path, content: bytes, found: "Detections") -> None:
    from entrypoints.cli.deployment import open_decoder
    from entrypoints.cli.drawing import save_annotated

    async with open_decoder() as container:
        all_pixels = max(found.image.width, found.image.height)
        # The most confident is drawn last, on top.
        objects = [(each.box, f"{each.label} {each.score:.2f}") for each in reversed(found.detections)]
        async with container.decoder().decoded(content, sufficient_side=all_pixels) as picture:
            try:
                save_annotated(path, picture.raster, objects)
            except (OSError, ValueError) as error:
                raise typer.BadParameter(f"the picture cannot be written: {error}", param_hint="--save") from error
