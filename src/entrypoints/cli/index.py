"""`lookalike index`."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(index)


def index(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH", exists=True, help="Pictures, or folders to take pictures from, recursively."),
    ],
    metadata: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            help='Metadata for every picture, such as \'{"brand": "acme"}\'. It replaces all that pictures have which '
            "are indexed already.",
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Send to the service that runs there instead of opening the index here."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="The service's key, with the role write. LOOKALIKE_CLIENT__KEY is safer: others can read this one.",
        ),
    ] = None,
) -> None:
    """Index pictures.

    What is indexed already is skipped, whatever its name, but for --metadata, which replaces the whole of its metadata.
    Ctrl-C finishes the pictures in hand; run the same command again to go on. Exits 1 if any picture failed, and names
    each with the reason.

    Example: [bold]lookalike index ~/Pictures --metadata '{"album": "2026"}'[/]
    """
    from entrypoints.cli.indexing import GO_ON, index_here, run_index
    from entrypoints.cli.interruption import say_how_to_go_on
    from entrypoints.cli.pictures import SUFFIXES, find_pictures
    from entrypoints.cli.service_client import chosen_key, index_there
    from entrypoints.container import bound_heaps
    from entrypoints.http.contract.parameters import parse_metadata

    bound_heaps()
    if key is not None and url is None:
        raise typer.BadParameter("goes with --url", param_hint="--key")
    parsed = None if metadata is None else parse_metadata(metadata)
    found = find_pictures(paths)
    if not found:
        places = ", ".join(map(str, paths))
        raise typer.BadParameter(
            f"no picture in {places} (files named {', '.join(sorted(SUFFIXES))}); other files can be named themselves",
            param_hint="PATH",
        )
    source = index_here(parsed) if url is None else index_there(url, chosen_key(key), metadata)
    try:
        code = asyncio.run(run_index(found, source, replaces_metadata=metadata is not None))
    except KeyboardInterrupt:  # before it began, or a second time
        say_how_to_go_on(GO_ON)
        raise
    raise typer.Exit(code)
