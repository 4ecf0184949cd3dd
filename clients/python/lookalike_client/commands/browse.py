"""`list`, `show` and `facets`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike_client.commands.arguments import Among, Json, named
from lookalike_client.commands.connection import ApiKey, Purpose, Url, ask
from lookalike_client.commands.files import new_file

if TYPE_CHECKING:
    from lookalike_client import AsyncLookalike, Image, ImagePage

PAGE = 200
"""Records that are fetched at once."""


def list_images(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="How many to show at most.")] = 50,
    among: Among = None,
    prefix: Annotated[
        str | None, typer.Option("--prefix", metavar="TEXT", help="Only those whose key begins so: Holidays/2019/.")
    ] = None,
    order_by: Annotated[
        str | None,
        typer.Option(
            "--order-by",
            metavar="ORDER",
            help="created_at, updated_at, or a metadata key that LOOKALIKE_REPOSITORY__INDEXED_METADATA declares as "
            "integer, float or datetime, such as metadata.price; - before it for descending.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print what the API answers to a listing.")] = False,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """List what is indexed, newest first or in another order.

    Example: [bold]lookalike list --prefix Holidays/2019/ --order-by -metadata.price[/]
    """
    if prefix is not None:
        among = {**(among or {}), "all": [*(among or {}).get("all", ()), {"field": "key", "prefix": prefix}]}
    page = ask(ctx, url, api_key, Purpose.RECORDS, lambda client: _first(client, limit, among, order_by))
    if json:
        print(page.model_dump_json(by_alias=True, indent=2))
        return
    if page.items:
        _print_images(page.items)
    print(f"{len(page.items)} of {page.total}")


def show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A key or an id, as `list` and `search` show them.")],
    original: Annotated[
        Path | None,
        typer.Option(
            "--original",
            metavar="FILE",
            dir_okay=False,
            callback=new_file,
            help="Write the original into this new file.",
        ),
    ] = None,
    json: Json = False,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Show what is known of a picture: its record, its metadata, and the objects detected in it.

    Example: [bold]lookalike show examples/photos/hat-01.jpg --original hat.jpg[/]
    """

    async def fetch(client: "AsyncLookalike") -> "tuple[Image, bytes | None]":
        return await client.get(named(name)), await client.content(named(name)) if original else None

    image, content = ask(ctx, url, api_key, Purpose.RECORDS, fetch)
    if json:
        print(image.model_dump_json(by_alias=True, indent=2))
    else:
        _print_image(image)
    if original is not None and content is not None:
        with original.open("xb") as file:  # never over another
            file.write(content)


def facets(
    ctx: typer.Context,
    fields: Annotated[
        list[str],
        typer.Argument(
            metavar="FIELD",
            help="labels, media_type, or a metadata key that LOOKALIKE_REPOSITORY__INDEXED_METADATA declares as "
            "keyword, integer or bool, such as metadata.brand.",
        ),
    ],
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many values of each to show at most.")] = 20,
    among: Among = None,
    json: Json = False,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Count how many pictures have each value of a field, the most frequent first.

    Example: [bold]lookalike facets labels metadata.brand[/]
    """
    from lookalike_client.commands.tables import print_table
    from lookalike_client.models import Facets

    found = ask(ctx, url, api_key, Purpose.RECORDS, lambda client: client.facets(fields, filter=among, limit=limit))
    if json:
        print(Facets(facets=found).model_dump_json(indent=2))
        return
    for field, counts in found.items():
        rows = [[str(each.value), f"{each.images:,}"] for each in counts]
        print_table([field, "Pictures"], rows, right_aligned={"Pictures"})


async def _first(
    client: "AsyncLookalike", limit: int, among: Mapping[str, Any] | None, order_by: str | None
) -> "ImagePage":
    """The first `limit` of the listing as one page."""
    page = await client.list_images(limit=min(limit, PAGE), filter=among, order_by=order_by)
    items = list(page.items)
    while page.next_cursor is not None and len(items) < limit:
        size = min(limit - len(items), PAGE)
        page = await client.list_images(limit=size, cursor=page.next_cursor, filter=among, order_by=order_by)
        items += page.items
    return page.model_copy(update={"items": items})


def _print_images(images: "list[Image]") -> None:
    from lookalike_client.commands.tables import named_columns, print_table, shown_value

    names, cells_of_name = named_columns(images)
    print_table(
        ["Indexed (UTC)", *names, "Size", "Bytes", "Metadata"],
        [
            [
                f"{image.created_at:%Y-%m-%d %H:%M:%S}",
                *name,
                f"{image.width} x {image.height}",
                f"{image.size_bytes:,}",
                ", ".join(f"{key}={shown_value(value)}" for key, value in image.metadata.items()),
            ]
            for image, name in zip(images, cells_of_name, strict=True)
        ],
        right_aligned={"Size", "Bytes"},
    )


def _print_image(image: "Image") -> None:
    from lookalike_client.commands.tables import print_objects, print_table, shown_value

    facts = {
        **({} if image.key is None else {"Key": image.key}),
        **({} if image.source is None else {"Source": image.source}),
        "File": image.filename,
        "Id": str(image.id),
        "Type": image.media_type,
        "Size": f"{image.width} x {image.height}",
        "Bytes": f"{image.size_bytes:,}",
        "SHA-256": image.sha256,
        "Indexed (UTC)": f"{image.created_at:%Y-%m-%d %H:%M:%S}",
    }
    facts |= {f"metadata.{key}": shown_value(value) for key, value in image.metadata.items()}
    print_table(["Field", "Value"], [[name, value] for name, value in facts.items()])
    if image.objects:
        print_objects(image.objects)
