"""`detect`."""

from pathlib import Path
from typing import Annotated

import typer

from lookalike_client.commands.connection import ApiKey, Purpose, Url, ask
from lookalike_client.commands.files import place_to_save


def detect(
    ctx: typer.Context,
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
    from lookalike_client.commands.tables import print_objects

    found = ask(
        ctx,
        url,
        api_key,
        Purpose.DETECT,
        lambda client: client.detect(image, score_threshold=score_threshold, labels=labels or ()),
    )
    if json:
        print(found.model_dump_json(indent=2))
    elif found.detections:
        print_objects(found.detections)
    else:
        print("No object is found.")
    if save:
        from lookalike_client.commands.drawing import save_annotated

        # The most confident is drawn last, on top.
        objects = [(each.box, f"{each.label} {each.score:.2f}") for each in reversed(found.detections)]
        save_annotated(save, image.read_bytes(), objects)
