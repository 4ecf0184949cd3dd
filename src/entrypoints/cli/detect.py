"""`lookalike detect`."""

import asyncio
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entrypoints.cli.pictures import place_to_save

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domain.raster import RasterImage
    from entrypoints.http.schemas.models import DetectionsOut


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
) -> None:
    """Name the objects in a picture. Nothing is stored; a service may run on the same data.

    Example: [bold]lookalike detect street.jpg --save annotated.jpg[/]
    """
    from entrypoints.cli.deployment import open_detector
    from entrypoints.cli.indexing import read_picture
    from entrypoints.http.schemas.models import DetectionsOut

    async def run() -> None:
        async with open_detector() as container:
            content = await asyncio.to_thread(read_picture, image, container.settings().http.max_upload_bytes)
            _require_known(labels or [], container.detector().labels)
            find = container.detect_objects()
            objects = await find(content, score_threshold=score_threshold, labels=labels or None)
            found = DetectionsOut.of(objects)
            if json:
                print(found.model_dump_json(indent=2))
            else:
                _show(found)
            if save:
                all_pixels = max(objects.width, objects.height)
                async with container.decoder().decoded(content, sufficient_side=all_pixels) as picture:
                    _save(save, picture.raster, found)

    asyncio.run(run())


def _require_known(labels: list[str], known: "Sequence[str]") -> None:
    """Raises BadParameter. Where there is no detector, and so no label, that is what is to be told."""
    for label in labels:
        if known and label not in known:
            likely = get_close_matches(label.lower(), known) or sorted(known)
            raise typer.BadParameter(f"the detector knows no {label!r}, but {', '.join(likely)}", param_hint="--label")


def _show(found: "DetectionsOut") -> None:
    from entrypoints.cli.tables import print_table

    if not found.detections:
        print("No object is found.")
        return
    print_table(
        ["Label", "Confidence", "Box"],
        [
            [each.label, f"{each.score:.2f}", ",".join(f"{side:.0f}" for side in each.box.model_dump().values())]
            for each in found.detections
        ],
        right_aligned={"Confidence"},
    )


def _save(path: Path, picture: "RasterImage", found: "DetectionsOut") -> None:
    from entrypoints.cli.drawing import save_annotated

    objects = [
        ((each.box.x_min, each.box.y_min, each.box.x_max, each.box.y_max), f"{each.label} {each.score:.2f}")
        for each in reversed(found.detections)  # the most confident is drawn last, on top
    ]
    try:
        save_annotated(path, picture, objects)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"the picture cannot be written: {error}", param_hint="--save") from error
