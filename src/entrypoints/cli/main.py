"""The `lookalike` command."""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from domain.errors import ConfigurationError, EmbeddingSpaceError, InvalidInputError, LookalikeError
from entrypoints.cli import browse, change, check, detect, index, keys, maintain, models, search, serve
from entrypoints.remedies import explained

if TYPE_CHECKING:
    import lookalike_client

FAILED = 1
MISUSED = 2
"""Something must be typed or configured otherwise; Typer's own usage errors exit with it too."""

app = typer.Typer(
    name="lookalike",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
serve.register(app)
index.register(app)
search.register(app)
detect.register(app)
browse.register(app)
change.register(app)
maintain.register(app)
check.register(app)
models.register(app)
keys.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"lookalike {version('lookalike')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Find images that look like yours.

    Settings are environment variables that begin with LOOKALIKE_ (or lines of a file .env in the working directory);
    LOOKALIKE_DATA_DIR says where everything is kept (./data).
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command, and exit: 0 done, 1 failed, 2 misused, 130 interrupted. Named errors take one message."""
    _open_standard_streams()
    try:
        app(args=arguments)
    except LookalikeError as error:  # this process refuses
        misused = isinstance(error, InvalidInputError | ConfigurationError | EmbeddingSpaceError)
        _fail(explained(error), MISUSED if misused else FAILED)
    except OSError as error:
        # What adapters name is a LookalikeError; this is the rest of what a file system may refuse.
        place = f": {error.filename}" if error.filename else ""
        _fail(f"{error.strerror or error}{place}", FAILED)
    except Exception as error:
        import lookalike_client  # imported already where the error is one of its own

        if not isinstance(error, lookalike_client.LookalikeError):
            raise
        _fail(*_message_and_code(error))


def _message_and_code(error: "lookalike_client.LookalikeError") -> tuple[str, int]:
    """What to say of an error of the service, in this process or elsewhere, and the exit code."""
    import lookalike_client

    if isinstance(error, lookalike_client.NotAllowedError):
        return f"{error} Give an API key with --api-key or in LOOKALIKE_CLIENT__API_KEY.", MISUSED
    if isinstance(error, lookalike_client.NoServiceError):
        return f"{error} Start one with `lookalike serve`, or correct --url.", FAILED
    misused = isinstance(error, lookalike_client.InvalidRequestError | lookalike_client.ConflictError)
    return str(error), MISUSED if misused else FAILED


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


def _fail(message: str, code: int) -> None:
    print(f"lookalike: {message}", file=sys.stderr)
    sys.exit(code)
