"""`lookalike delete`, `patch` and `rename`. No model is loaded for them."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from entrypoints.cli.service import ApiKey, Url

if TYPE_CHECKING:
    from lookalike_client import AsyncLookalike, Edited, Renamed


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(delete)
    app.command()(patch)
    app.command()(rename)


def delete(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Keys or ids, as `list` shows them.")
    ] = None,
    where: Annotated[
        str | None, typer.Option("--filter", metavar="JSON", help="All that match this filter instead.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where there is no terminal.")] = False,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Delete pictures from the index: their vectors and the stored files. The files you indexed stay where they are.

    Example: [bold]lookalike delete --filter '{"all": [{"field": "metadata.brand", "eq": "acme"}]}'[/]
    """
    if bool(names) == (where is not None):
        raise typer.BadParameter("name keys or ids, or give --filter: one of the two", param_hint="NAME")
    if where is not None:
        _delete_matching(where, url, api_key, yes=yes)
    else:
        _delete_named(names or [], url, api_key)


def _delete_named(names: list[str], url: str | None, api_key: str | None) -> None:
    from domain.errors import ImageNotFoundError
    from entrypoints.cli.deployment import open_index
    from entrypoints.cli.service import connect, named
    from lookalike_client import NotFoundError

    deleted, unknown = 0, []

    async def delete_all() -> None:
        nonlocal deleted
        async with connect(url, api_key, open_index()) as client:
            for name in dict.fromkeys(names):
                try:
                    await client.delete(named(name))
                    deleted += 1
                except NotFoundError:
                    unknown.append(name)

    try:
        asyncio.run(delete_all())
    finally:
        if deleted or unknown:
            print(f"{deleted} deleted")
    if unknown:
        raise ImageNotFoundError(unknown)


def _delete_matching(where: str, url: str | None, api_key: str | None, *, yes: bool) -> None:
    async def delete_all(client: "AsyncLookalike", among: dict[str, Any]) -> int:
        return await client.delete_matching(among)

    print(f"{_all_matching(where, url, api_key, delete_all, 'Delete', yes=yes)} deleted")


def patch(
    metadata: Annotated[
        str,
        typer.Argument(
            metavar="JSON",
            help="What to set, such as '{\"price\": 9.9}'; null removes a key, and keys that are not named stay.",
        ),
    ],
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Keys or ids, as `list` shows them.")
    ] = None,
    where: Annotated[
        str | None, typer.Option("--filter", metavar="JSON", help="All that match this filter instead.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where there is no terminal.")] = False,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Change the metadata of pictures. Nothing is encoded again.

    Example: [bold]lookalike patch '{"price": 9.9}' sku-17/front[/]
    """
    from entrypoints.cli.deployment import open_index
    from entrypoints.cli.service import connect, named
    from entrypoints.http.contract.parameters import parse_json_object
    from lookalike_client import Edited

    changes = parse_json_object(metadata)
    if bool(names) == (where is not None):
        raise typer.BadParameter("name keys or ids, or give --filter: one of the two", param_hint="NAME")
    if where is not None:

        async def patch_all(client: "AsyncLookalike", among: dict[str, Any]) -> int:
            return await client.edit_matching(among, changes)

        print(f"{_all_matching(where, url, api_key, patch_all, 'Change', yes=yes)} updated")
        return

    async def patch_named() -> list[Edited]:
        async with connect(url, api_key, open_index()) as client:
            return await client.edit_many([(named(name), changes) for name in names or []])

    results = asyncio.run(patch_named())
    _report("updated", results)


def rename(
    before: Annotated[str, typer.Argument(metavar="FROM", help="The picture's key.")],
    after: Annotated[str, typer.Argument(metavar="TO", help="The key that it is to have.")],
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Give a picture another key. Its metadata stays, and nothing is encoded again.

    Example: [bold]lookalike rename photos/hat.jpg sku-17/front[/]
    """
    from entrypoints.cli.deployment import open_index
    from entrypoints.cli.service import connect
    from lookalike_client import Renamed

    async def rename_one() -> list[Renamed]:
        async with connect(url, api_key, open_index()) as client:
            return await client.rename({before: after})

    _report("renamed", asyncio.run(rename_one()))


def _report(done: str, results: "Sequence[Edited | Renamed]") -> None:
    """How many there are, and why the others failed. Raises Exit where there are such."""
    problems = [result.problem for result in results if result.problem is not None]
    for problem in problems:
        print(f"lookalike: {problem.detail}", file=sys.stderr)
    print(f"{len(results) - len(problems)} {done}")
    if problems:
        raise typer.Exit(1)


def _all_matching(
    where: str,
    url: str | None,
    api_key: str | None,
    change: "Callable[[AsyncLookalike, dict[str, Any]], Awaitable[int]]",
    verb: str,
    *,
    yes: bool,
) -> int:
    """Do something to all that match, once it was said how many that are; how many it was."""
    from application.delete_images import refuse_unmeant
    from entrypoints.cli.deployment import open_index
    from entrypoints.cli.service import checked_filter, connect
    from entrypoints.http.contract.filter_schema import parse_filter

    refuse_unmeant(parse_filter(where))
    among = checked_filter(where)

    async def count() -> int:
        async with connect(url, api_key, open_index()) as client:
            return (await client.list_images(limit=1, filter=among)).total

    async def change_all() -> int:
        async with connect(url, api_key, open_index()) as client:
            return await change(client, among)

    if not yes:
        if not sys.stdin.isatty():
            raise typer.BadParameter("is needed where there is no terminal to ask at", param_hint="--yes")
        # Asked outside of the event loop: inside of it, Ctrl-C would not end the question.
        if not _confirmed(f"{verb} {asyncio.run(count())} pictures?"):
            raise typer.Exit(1)
    return asyncio.run(change_all())


def _confirmed(question: str) -> bool:
    from entrypoints.cli.interruption import INTERRUPTED

    try:
        return typer.confirm(question)
    except typer.Abort:
        raise typer.Exit(INTERRUPTED) from None
