"""`index`."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from lookalike_client.commands.arguments import As, Exif, ExifPlace, exif_parts, json_object
from lookalike_client.commands.connection import ApiKey, Program, Purpose, Url
from lookalike_client.commands.files import find_pictures
from lookalike_client.commands.interruption import say_how_to_go_on
from lookalike_client.commands.selection import SUFFIXES, Exclude


def index(
    ctx: typer.Context,
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH", exists=True, help="Pictures, or folders to take pictures from, recursively."),
    ],
    metadata: Annotated[
        dict[str, Any] | None,
        typer.Option(
            metavar="JSON",
            parser=json_object,
            help='Metadata for every picture, such as \'{"brand": "acme"}\'. It replaces all that pictures have which '
            "are indexed already.",
        ),
    ] = None,
    name: As = None,
    key: Annotated[
        str | None, typer.Option(metavar="KEY", help="The key of the picture, where one file is named.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Send what has not changed too: it puts back stored files that were lost.")
    ] = False,
    exclude: Exclude = None,
    exif: Exif = False,
    exif_place: ExifPlace = False,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Index pictures, each under the name of its folder and its path below that.

    A file that has changed replaces its picture; what has not is skipped, but for --metadata, which replaces the whole
    of its metadata. A picture of the same bytes that is stored without a key gets the key. A file that is named itself
    has the name of its folder too. Files that are gone stay indexed. Ctrl-C finishes the pictures that have begun; run
    the same command again to go on. Exits 1 if any picture failed, and names each with the reason.

    Hidden files, folders that systems keep for themselves, and files that are no pictures are passed over, and counted.

    Example: [bold]lookalike index ~/Pictures --metadata '{"album": "2026"}'[/]
    """
    from lookalike_client.commands.indexing import GO_ON, index_found

    found, passed_over = find_pictures(paths, exclude or ())
    if not found:
        places = ", ".join(map(str, paths))
        raise typer.BadParameter(
            f"no picture in {places} (files named {', '.join(sorted(SUFFIXES))}); other files can be named themselves",
            param_hint="PATH",
        )
    if key is not None and (len(paths) != 1 or paths[0].is_dir() or name is not None):
        raise typer.BadParameter("goes with one file, and without --as", param_hint="--key")
    try:
        program: Program = ctx.obj
        stored, service = (program.connect(url, api_key, purpose) for purpose in (Purpose.RECORDS, Purpose.INDEX))
        index_all = index_found(
            found,
            stored,
            service,
            metadata=metadata,
            name=name,
            key=key,
            again=again,
            passed_over=passed_over,
            exif=exif_parts(exif, exif_place),
        )
        code = asyncio.run(index_all)
    except KeyboardInterrupt:  # before it began, or a second time
        say_how_to_go_on(GO_ON)
        raise
    raise typer.Exit(code)
