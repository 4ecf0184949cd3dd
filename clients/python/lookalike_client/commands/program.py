"""What every program with these commands does alike, from its start to its exit code."""

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from lookalike_client.commands.connection import NoIndexError

if TYPE_CHECKING:
    from lookalike_client import LookalikeError

FAILED = 1
MISUSED = 2
"""Something must be typed or configured otherwise; Typer's own usage errors exit with it too."""


def new_app(name: str) -> typer.Typer:
    """An application without commands."""
    return typer.Typer(
        name=name,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def run(command: Callable[[], object]) -> None:
    """Run one command, and exit: 0 done, 1 failed, 2 misused, 130 interrupted. Named errors take one message."""
    _open_standard_streams()
    try:
        command()
    except NoIndexError as error:
        fail(str(error), MISUSED)
    except OSError as error:
        # The service and the client name what they meet; this is the rest of what a file system may refuse.
        place = f": {error.filename}" if error.filename else ""
        fail(f"{error.strerror or error}{place}", FAILED)
    except Exception as error:
        from lookalike_client import LookalikeError  # imported already where the error is one of its own

        if not isinstance(error, LookalikeError):
            raise
        fail(*_message_and_code(error))


def fail(message: str, code: int) -> None:
    """Exit with a message."""
    print(f"lookalike: {message}", file=sys.stderr)
    sys.exit(code)


def _message_and_code(error: "LookalikeError") -> tuple[str, int]:
    """What to say of an error of the service, in this process or elsewhere, and the exit code."""
    from lookalike_client import ConflictError, InvalidRequestError, NoServiceError, NotAllowedError

    if isinstance(error, NotAllowedError):
        return f"{error} Give an API key with --api-key or in LOOKALIKE_CLIENT__API_KEY.", MISUSED
    if isinstance(error, NoServiceError):
        return f"{error} Start one with `lookalike serve`, or correct --url.", FAILED
    return str(error), MISUSED if isinstance(error, InvalidRequestError | ConflictError) else FAILED


def _open_standard_streams() -> None:
    """Put the null device where standard input, output or error is closed.

    Python has None there, and the next file to be opened, of the index perhaps, would take the descriptor.
    """
    for descriptor, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest descriptor that is free: this one
            os.set_inheritable(descriptor, True)  # the processes that we start want it as well
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", errors="replace", closefd=False))
