"""The commands that need a client alone, one family a file. What `--help` does not need is imported by the command.

A program registers them in its Typer application, and runs that by `program.run` with its way to connect.
"""

import typer

from lookalike_client.commands import browse, change, detect, evaluate, import_table, index, search, sync


def register(app: typer.Typer) -> None:
    """Add all commands."""
    app.command()(index.index)
    app.command()(sync.sync)
    app.command("import")(import_table.import_table)
    app.command()(search.search)
    app.command()(detect.detect)
    app.command()(evaluate.evaluate)
    app.command("list")(browse.list_images)
    app.command()(browse.show)
    app.command()(browse.facets)
    app.command()(change.delete)
    app.command()(change.patch)
    app.command()(change.rename)
