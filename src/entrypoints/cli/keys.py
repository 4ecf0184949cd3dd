"""`lookalike keys new`."""

from typing import Annotated

import typer

from entrypoints.keys import Role, new_key, written


def register(app: typer.Typer) -> None:
    """Add the command."""
    keys = typer.Typer(no_args_is_help=True)
    keys.callback()(_group)
    keys.command()(new)
    app.add_typer(keys, name="keys", help="Make keys for callers of the service.")


def _group() -> None:
    """Without it Typer would make the only command the group itself."""


def new(
    role: Annotated[
        Role,
        typer.Option(help="search (alone, for web pages), read, write (and read), admin (and closed docs and metrics)"),
    ] = Role.READ,
) -> None:
    """Make a strong key, and print it with the line by which the service knows it.

    The service is given its hash alone: its settings do not tell the key. Nothing is stored here.

    Example: [bold]lookalike keys new --role write[/]
    """
    key = new_key()
    print(f"The caller's key, which is shown only here:\n\n  {key}\n")
    print(f"The service's line, in the file of LOOKALIKE_AUTH__KEYS_FILE:\n\n  {written(key, role)}\n")
    print("or in LOOKALIKE_AUTH__KEYS, with a comma between several.")
