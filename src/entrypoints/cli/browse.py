"""`lookalike list` and `lookalike delete`. No model is loaded for them."""

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

if TYPE_CHECKING:
    from application.browse_images import BrowseImages
    from domain.filters import Filter
    from domain.images import ImagePage

PAGE = 200
"""Records that are fetched at once."""

FILTER_HELP = 'Only these: \'{"all": [{"field": "metadata.brand", "eq": "acme"}]}\'.'


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("list")(list_images)
    app.command()(delete)


def list_images(
    limit: Annotated[int, typer.Option(min=1, help="How many to show at most.")] = 50,
    where: Annotated[str | None, typer.Option("--filter", metavar="JSON", help=FILTER_HELP)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print what the API answers to a listing.")] = False,
) -> None:
    """List what is indexed, newest first.

    Example: [bold]lookalike list --limit 10 --filter '{"any": [{"field": "filename", "eq": "hat-01.jpg"}]}'[/]
    """
    from domain.filters import EVERYTHING
    from domain.images import ImagePage
    from entrypoints.cli.deployment import open_index
    from entrypoints.http.contract.filter_schema import parse_filter

    parsed = EVERYTHING if where is None else parse_filter(where)

    async def fetch() -> ImagePage:
        async with open_index() as container:
            return await _first(container.browse_images(), limit, parsed)

    page = asyncio.run(fetch())
    if json:
        from entrypoints.http.contract.image_schemas import ImagePageOut

        print(ImagePageOut.of(page, root="").model_dump_json(by_alias=True, indent=2))
    else:
        _show(page)


def delete(
    ids: Annotated[list[UUID] | None, typer.Argument(metavar="ID", help="Ids, as `list` shows them.")] = None,
    where: Annotated[
        str | None, typer.Option("--filter", metavar="JSON", help="All that match this filter instead.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, even in a terminal.")] = False,
) -> None:
    """Delete pictures from the index: their vectors and the stored files. The files you indexed stay where they are.

    Example: [bold]lookalike delete --filter '{"all": [{"field": "metadata.brand", "eq": "acme"}]}'[/]
    """
    from application.delete_images import refuse_unmeant
    from entrypoints.http.contract.filter_schema import parse_filter

    if bool(ids) == (where is not None):
        raise typer.BadParameter("name ids, or give --filter: one of the two", param_hint="ID")
    if ids:
        _delete_ids(ids)
        return
    parsed = parse_filter(where or "")
    refuse_unmeant(parsed)
    _delete_matching(parsed, ask=sys.stdin.isatty() and not yes)


def _delete_ids(ids: list[UUID]) -> None:
    from domain.errors import ImageNotFoundError
    from entrypoints.cli.deployment import open_index

    async def delete_all() -> list[UUID]:
        unknown = []
        async with open_index() as container:
            delete_images = container.delete_images()
            for id_ in dict.fromkeys(ids):
                try:
                    await delete_images.one(id_)
                except ImageNotFoundError:
                    unknown.append(id_)
        return unknown

    unknown = asyncio.run(delete_all())
    print(f"{len(set(ids)) - len(unknown)} deleted")
    if unknown:
        raise ImageNotFoundError(unknown)


def _delete_matching(where: "Filter", *, ask: bool) -> None:
    from entrypoints.cli.deployment import open_index

    async def count() -> int:
        async with open_index() as container:
            return (await container.browse_images().page(limit=1, after=None, where=where)).total

    async def delete_all() -> int:
        async with open_index() as container:
            return await container.delete_images().matching(where)

    # Asked outside of the event loop: inside of it, Ctrl-C would not end the question.
    if ask and not _confirmed(f"Delete {asyncio.run(count())} pictures?"):
        raise typer.Exit(1)
    print(f"{asyncio.run(delete_all())} deleted")


def _confirmed(question: str) -> bool:
    from entrypoints.cli.interruption import INTERRUPTED

    try:
        return typer.confirm(question)
    except typer.Abort:
        raise typer.Exit(INTERRUPTED) from None


async def _first(browse: "BrowseImages", limit: int, where: "Filter") -> "ImagePage":
    """The first `limit` of the listing as one page."""
    from dataclasses import replace

    page = await browse.page(limit=min(limit, PAGE), after=None, where=where)
    while page.next_cursor is not None and len(page.items) < limit:
        more = await browse.page(limit=min(limit - len(page.items), PAGE), after=page.next_cursor, where=where)
        page = replace(more, items=page.items + more.items)
    return page


def _show(page: "ImagePage") -> None:
    from entrypoints.cli.tables import print_table

    if page.items:
        print_table(
            ["Indexed (UTC)", "File", "Id", "Size", "Bytes", "Metadata"],
            [
                [
                    f"{record.created_at:%Y-%m-%d %H:%M:%S}",
                    record.filename,
                    str(record.id),
                    f"{record.width} x {record.height}",
                    f"{record.size_bytes:,}",
                    ", ".join(f"{key}={value}" for key, value in record.metadata.items()),
                ]
                for record in page.items
            ],
            right_aligned={"Size", "Bytes"},
        )
    print(f"{len(page.items)} of {page.total}")
