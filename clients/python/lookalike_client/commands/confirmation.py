"""Questions before something is removed, asked outside of the event loop: inside of it, Ctrl-C would not end them."""

import sys
from typing import Annotated

import typer

from lookalike_client.commands.interruption import INTERRUPTED

CONSENT_SHARE = 0.1
"""If more of what a folder or a table has brought than this is gone from it, it may be a mistake."""

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where there is no terminal.")]


def require_consent(*, yes: bool) -> None:
    """Raise BadParameter without `yes` and without a terminal to ask at."""
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


def is_much(gone: int, *, ours: int) -> bool:
    """Whether `gone` of `ours` pictures are so many that their removal may be a mistake."""
    return gone > CONSENT_SHARE * ours


def consents_to_removal(told: str, *, much: bool, yes: bool, may_ask: bool = True) -> bool:
    """Whether pictures are to be removed. If they are much, the user is asked; without a terminal they stay.

    Raises Exit where the question is interrupted.
    """
    if yes or not much:
        return True
    if not (may_ask and sys.stdin.isatty()):
        print(
            f"lookalike: {told} They stay in the index: more than a tenth is removed with --yes only. See which with "
            "--dry-run.",
            file=sys.stderr,
        )
        return False
    try:
        return typer.confirm(f"{told} Remove them from the index?")
    except typer.Abort:
        raise typer.Exit(INTERRUPTED) from None
