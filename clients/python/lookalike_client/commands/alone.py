"""`lookalike-client`: these commands on a service elsewhere, where nothing of the service is installed."""

import os
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lookalike_client.commands import register
from lookalike_client.commands.connection import Program, Purpose, over_network
from lookalike_client.commands.program import new_app, run

if TYPE_CHECKING:
    from lookalike_client import AsyncLookalike

app = new_app("lookalike-client")
register(app)


@app.callback()
def describe() -> None:
    """Find images that look like yours, by a Lookalike service that runs elsewhere.

    It is named by --url or LOOKALIKE_CLIENT__URL, and its API key by --api-key or LOOKALIKE_CLIENT__API_KEY.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command, and exit."""
    run(lambda: app(args=arguments, obj=Program(connect, state_folder)))


def connect(
    url: str | None, api_key: str | None, purpose: Purpose, _model: Path | None = None
) -> AbstractAsyncContextManager["AsyncLookalike"]:
    """A client of the service that the options name, else the environment. Raises BadParameter."""
    if purpose is Purpose.TRIAL:
        raise typer.BadParameter("models run where the service is installed: use `lookalike`", param_hint="--model")
    url = os.environ.get("LOOKALIKE_CLIENT__URL") if url is None else url
    if not url:
        raise typer.BadParameter("say where the service is, here or in LOOKALIKE_CLIENT__URL", param_hint="--url")
    return over_network(url, os.environ.get("LOOKALIKE_CLIENT__API_KEY") if api_key is None else api_key)


def state_folder() -> Path | None:
    """By the environment."""
    folder = os.environ.get("LOOKALIKE_CLIENT__STATE_DIR")
    return Path(folder) if folder else None
