"""The `lookalike` command."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain.errors import ConfigurationError, EmbeddingSpaceError, InvalidInputError, LookalikeError
from entrypoints.cli import check, keys, maintain, models, serve
from entrypoints.remedies import explained
from lookalike_client import commands
from lookalike_client.commands.connection import Program, Purpose
from lookalike_client.commands.program import FAILED, MISUSED, fail, new_app, run

if TYPE_CHECKING:
    from lookalike_client import AsyncLookalike

app = new_app("lookalike")
serve.register(app)
commands.register(app)
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
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Find images that look like yours.

    Settings are environment variables that begin with LOOKALIKE_ (or lines of a file .env in the working directory);
    LOOKALIKE_DATA_DIR says where everything is kept (./data).
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command, and exit: 0 done, 1 failed, 2 misused, 130 interrupted. Named errors take one message."""

    def command() -> None:
        try:
            app(args=arguments, obj=Program(_connect, _state_folder))
        except LookalikeError as error:  # this process refuses
            misused = isinstance(error, InvalidInputError | ConfigurationError | EmbeddingSpaceError)
            fail(explained(error), MISUSED if misused else FAILED)

    run(command)


def _connect(
    url: str | None, api_key: str | None, purpose: Purpose, model: Path | None = None
) -> AbstractAsyncContextManager["AsyncLookalike"]:
    from entrypoints.cli.deployment import connect

    return connect(url, api_key, purpose, model)


def _state_folder() -> Path | None:
    from entrypoints.settings import load_client_settings

    return load_client_settings().state_dir
