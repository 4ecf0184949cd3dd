"""Questions before something is removed, asked outside of the event loop: inside of it, Ctrl-C would not end them."""

import sys
from typing import Annotated

import typer

from lookalike_client.commands.interruption import INTERRUPTED

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where there is no terminal.")]


def require_consent(*, yes: bool) -> None:
    """Raise BadParameter where nobody said yes and there is nobody to ask."""
    if not yes and not sys.stdin.isatty():
        raise typer.BadParameter("is needed where there is no terminal to ask at", param_hint="--yes")


def confirm(question: str, *, yes: bool) -> None:
    """Ask, unless the answer was given. Raises Exit for another answer than yes."""
    try:
        confirmed = yes or typer.confirm(question)
    except typer.Abort:
        raise typer.Exit(INTERRUPTED) from None
    if not confirmed:
        raise typer.Exit(1)
