"""`delete`, `patch` and `rename`."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike_client.commands.arguments import filter_object, json_object, named
from lookalike_client.commands.confirmation import Yes, confirm, require_consent
from lookalike_client.commands.connection import ApiKey, Purpose, Url, ask

if TYPE_CHECKING:
    from lookalike_client import AsyncLookalike, Edited, Problem, Renamed

Names = Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Keys or ids, as `list` shows them.")]
Where = Annotated[
    dict[str, Any] | None,
    typer.Option("--filter", metavar="JSON", parser=filter_object, help="All that match this filter instead."),
]


def delete(
    ctx: typer.Context,
    names: Names = None,
    where: Where = None,
    yes: Yes = False,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Delete pictures from the index: their vectors and the stored files. The files you indexed stay where they are.

    Example: [bold]lookalike delete --filter '{"all": [{"field": "metadata.brand", "eq": "acme"}]}'[/]
    """
    _check(names, where)
    if where is not None:
        _confirm("Delete", ctx, url, api_key, where, yes=yes)
        print(f"{ask(ctx, url, api_key, Purpose.RECORDS, lambda client: client.delete_matching(where))} deleted")
        return
    deleted: list[str] = []
    unknown: list[Problem] = []

    async def delete_named(client: "AsyncLookalike") -> None:
        from lookalike_client import NotFoundError

        for name in dict.fromkeys(names or ()):
            try:
                await client.delete(named(name))
                deleted.append(name)
            except NotFoundError as error:
                unknown.append(error.problem)

    try:
        ask(ctx, url, api_key, Purpose.RECORDS, delete_named)
    finally:
        if deleted or unknown:
            _report(f"{len(deleted)} deleted", unknown)
    if unknown:
        raise typer.Exit(1)


def patch(
    ctx: typer.Context,
    metadata: Annotated[
        dict[str, Any],
        typer.Argument(
            metavar="JSON",
            parser=json_object,
            help="What to set, such as '{\"price\": 9.9}'; null removes a key, and keys that are not named stay.",
        ),
    ],
    names: Names = None,
    where: Where = None,
    yes: Yes = False,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Change the metadata of pictures. Nothing is encoded again.

    Example: [bold]lookalike patch '{"price": 9.9}' sku-17/front[/]
    """
    _check(names, where)
    if where is not None:
        _confirm("Change", ctx, url, api_key, where, yes=yes)
        updated = ask(ctx, url, api_key, Purpose.RECORDS, lambda client: client.edit_matching(where, metadata))
        print(f"{updated} updated")
        return
    patches = [(named(name), metadata) for name in names or ()]
    _end("updated", ask(ctx, url, api_key, Purpose.RECORDS, lambda client: client.edit_many(patches)))


def rename(
    ctx: typer.Context,
    before: Annotated[str, typer.Argument(metavar="FROM", help="The picture's key.")],
    after: Annotated[str, typer.Argument(metavar="TO", help="The key that it is to have.")],
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Give a picture another key. Its metadata stays, and nothing is encoded again.

    Example: [bold]lookalike rename photos/hat.jpg sku-17/front[/]
    """
    _end("renamed", ask(ctx, url, api_key, Purpose.RECORDS, lambda client: client.rename({before: after})))


def _check(names: list[str] | None, where: Mapping[str, Any] | None) -> None:
    """Raise BadParameter unless one of the two is given, or for a filter that probably means all by mistake.

    The service refuses such a filter too, but only once the question about it was answered.
    """
    if bool(names) == (where is not None):
        raise typer.BadParameter("name keys or ids, or give --filter: one of the two", param_hint="NAME")
    if where is None:
        return
    conditions = [condition for part in where.values() for condition in part]
    empty: tuple[dict[str, object], ...] = ({"in": []}, {"prefix": ""})
    if not conditions or any(
        isinstance(each, dict) and each.items() >= test.items() for each in conditions for test in empty
    ):
        raise typer.BadParameter(
            "it names nothing, or compares a field with an empty `in` or `prefix`. To mean all: "
            '{"all": [{"field": "width", "gte": 1}]}',
            param_hint="--filter",
        )


def _end(done: str, results: "Sequence[Edited | Renamed]") -> None:
    """Report how many there are, and why the others failed. Raises Exit where there are such."""
    problems = [result.problem for result in results if result.problem is not None]
    _report(f"{len(results) - len(problems)} {done}", problems)
    if problems:
        raise typer.Exit(1)


def _report(summary: str, problems: "Sequence[Problem]") -> None:
    for problem in problems:
        print(f"lookalike: {problem.detail}", file=sys.stderr)
    print(summary)


def _confirm(
    verb: str, ctx: typer.Context, url: str | None, api_key: str | None, where: Mapping[str, Any], *, yes: bool
) -> None:
    """Say how many match, and ask. Raises Exit for another answer than yes; BadParameter where nobody can answer."""
    require_consent(yes=yes)
    if not yes:
        page = ask(ctx, url, api_key, Purpose.RECORDS, lambda client: client.list_images(limit=1, filter=where))
        confirm(f"{verb} {page.total} pictures?", yes=yes)
