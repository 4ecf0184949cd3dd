"""`lookalike reindex`, `backup` and `restore`."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from application.progress import Progress


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(reindex)
    app.command()(backup)
    app.command()(restore)


def reindex(
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Encode all stored originals with the encoder of the settings.")
    ] = False,
    objects: Annotated[
        bool, typer.Option("--objects", help="Detect objects in all stored originals by the settings of now.")
    ] = False,
    url: Annotated[str | None, typer.Option("--url", hidden=True)] = None,
) -> None:
    """Build the index anew from the stored originals, after changing a model or what is indexed of objects.

    With another encoder, the old index serves until the new one is complete and replaces it. Interrupted, it goes on
    where it stopped.

    Example: [bold]LOOKALIKE_ENCODER__RUNTIME=torch lookalike reindex --embeddings[/]
    """
    if url is not None:
        raise typer.BadParameter(
            "a running service is not reindexed through its API: run this command where its settings are, with an "
            "embedded index after stopping it, with a Qdrant server also while it runs",
            param_hint="--url",
        )
    if not embeddings and not objects:
        raise typer.BadParameter("say what is to be built anew", param_hint="--embeddings, --objects")
    hint = "Run the same command again to go on where it stopped."
    if embeddings:
        _run(_reindex_embeddings(), f"{hint} Until it is complete the old index stays.")
    if objects:
        _run(_reindex_objects(), hint)


async def _reindex_embeddings() -> str:
    from entrypoints.cli.deployment import load_container
    from entrypoints.container import check_index

    container = load_container()
    check_index(container.settings())
    repository, encoder, detector = container.repository(), container.encoder(), container.detector()
    try:
        await repository.open(None)
        await container.store().open()
        await encoder.open()
        await detector.open()  # it detects nothing here, but decides how much is decoded, as in indexing
        if repository.space == encoder.space:
            return f"Nothing to do: the index holds embeddings of {encoder.space.model} already."
        done = await _follow("Encoding", container.reindex_embeddings()())
        return f"{done} pictures encoded with {encoder.space.model}"
    finally:
        await repository.close()
        await detector.close()
        await encoder.close()
        await container.decoder().close()


async def _reindex_objects() -> str:
    from entrypoints.cli.deployment import open_service

    async with open_service() as container:
        done = await _follow("Detecting", container.reindex_objects()())
        objects = (await container.repository().status()).objects
        return f"{done} pictures hold {objects} objects"


def backup(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty directory.")],
) -> None:
    """Copy everything to a directory of plain files.

    It restores into any backend: from the embedded index to a Qdrant server, say. No model is needed.

    Example: [bold]lookalike backup /backups/2026-01-31[/]
    """
    from entrypoints.cli.deployment import open_index

    async def run() -> str:
        async with open_index() as container:
            done = await _follow("Backing up", container.back_up()(container.backup_archive(directory)))
            return f"{done} pictures in {directory}"

    _run(run(), f"{directory} is incomplete; run the same command again to begin it anew.")


def restore(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What `lookalike backup` has written.")],
) -> None:
    """Fill the index from a backup. What is indexed under the same ids is replaced, the rest stays.

    No model is needed. A new index holds the embeddings of the backup: if another encoder made them than that of the
    settings, run `lookalike reindex --embeddings` afterwards.

    Example: [bold]LOOKALIKE_DATA_DIR=/srv/lookalike lookalike restore /backups/2026-01-31[/]
    """
    from entrypoints.cli.deployment import load_container, open_index

    async def run() -> str:
        archive = load_container().backup_archive(directory)
        async with open_index(new=await archive.read_space()) as container:
            done = await _follow("Restoring", container.restore()(archive))
            return f"{done} pictures restored"

    _run(run(), "Run the same command again to complete it.")


def _run(command: Coroutine[Any, Any, str], hint: str) -> None:
    """Run to the end and print what was done, or after Ctrl-C how to go on."""
    from lookalike_client.commands.interruption import say_how_to_go_on

    try:
        print(asyncio.run(command))
    except KeyboardInterrupt:
        say_how_to_go_on(hint)
        raise


async def _follow(what: str, steps: "AsyncIterator[Progress]") -> int:
    """Run all steps, showing how far they are; how many images that was."""
    from lookalike_client.commands.progress import progress

    total = 0
    with progress(what) as show:
        # Closed before this returns, also by an interruption: its own clean-up is waited for.
        async with aclosing(cast("AsyncGenerator[Progress]", steps)) as following:
            async for step in following:
                total = step.total
                show(step.done, step.total)
    return total
