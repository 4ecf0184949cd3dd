"""`lookalike search`."""

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entrypoints.cli.pictures import place_to_save

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entrypoints.cli.drawing import Tile
    from entrypoints.cli.service_client import ServiceClient
    from entrypoints.http.schemas.images import BoxOut
    from entrypoints.http.schemas.search import SearchResultOut

    Answer = tuple[SearchResultOut, list[bytes], str | None]
    """The result, thumbnails of its matches where they are wanted, and the service's page that shows it."""


class Compared(StrEnum):
    """What the query is compared with."""

    IMAGES = "images"
    OBJECTS = "objects"
    ANY = "any"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(search)


def search(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", exists=True, dir_okay=False, help="The picture to match.")],
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many matches to show at most.")] = 10,
    regions: Annotated[
        list[str] | None,
        typer.Option(
            "--region",
            metavar="X_MIN,Y_MIN,X_MAX,Y_MAX",
            help="Search for this part of the picture, in its pixels; several times with --target objects.",
        ),
    ] = None,
    target: Annotated[
        Compared, typer.Option(help="Compare with whole pictures, with the objects in them, or with both.")
    ] = Compared.IMAGES,
    where: Annotated[
        str | None,
        typer.Option(
            "--filter",
            metavar="JSON",
            help='Only among these: \'{"all": [{"field": "metadata.brand", "eq": "acme"}]}\'.',
        ),
    ] = None,
    score_threshold: Annotated[
        float | None, typer.Option(min=-1.0, max=1.0, help="Leave out matches of a lower cosine similarity.")
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            callback=place_to_save,
            help="Write a picture of the query and its matches, such as a.jpg.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print what the API answers to this search.")] = False,
    open_: Annotated[
        bool,
        typer.Option(
            "--open",
            help="Open the result in a browser: with --url the service's page, if the picture is indexed there, else "
            "a page written for it.",
        ),
    ] = False,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Ask the service that runs there instead of opening the index here."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="The service's key, with the role read. LOOKALIKE_CLIENT__KEY is safer: others can read this one.",
        ),
    ] = None,
) -> None:
    """Find indexed pictures that look like this one.

    Example: [bold]lookalike search hat.jpg --limit 5 --region 40,60,300,400[/]
    """
    from domain.filters import EVERYTHING
    from entrypoints.http.filter_schema import parse_filter
    from entrypoints.http.parameters import parse_region
    from entrypoints.http.schemas.search import SearchResultOut

    if key is not None and url is None:
        raise typer.BadParameter("goes with --url", param_hint="--key")
    boxes = [parse_region(region) for region in regions or []]
    parsed = EVERYTHING if where is None else parse_filter(where)

    async def ask_here() -> "Answer":
        from application.search_result import SearchOptions, Target
        from entrypoints.cli.deployment import open_service
        from entrypoints.cli.indexing import read_picture

        async with open_service(must_exist=True) as container:
            content = await asyncio.to_thread(read_picture, image, container.settings().http.max_upload_bytes)
            options = SearchOptions(limit=limit, score_threshold=score_threshold, where=parsed)
            search_similar = container.search_similar()
            found = await search_similar(content, regions=boxes, target=Target(target), options=options)
            browse = container.browse_images()
            shown = [await browse.thumbnail(match.image) for match in found.matches] if save or open_ else []
            return SearchResultOut.of(found), shown, None

    async def ask_there(url: str) -> "Answer":
        from entrypoints.cli.service_client import ServiceClient, chosen_key

        given = {"limit": limit, "target": target.value, "filter": where, "score_threshold": score_threshold}
        async with ServiceClient(url, chosen_key(key)) as service:
            await service.require()
            fields: dict[str, str | list[str]] = {
                name: str(value) for name, value in given.items() if value is not None
            }
            fields["region"] = regions or []
            found = SearchResultOut.model_validate(await service.search(image, fields))
            page = await _page_of(service, url, image, fields) if open_ else None
            wanted = save or (open_ and page is None)
            # Not by its links: they begin at the host, while `url` may hold the path that a proxy serves it under.
            paths = [f"/v1/images/{match.image.id}/thumbnail" for match in found.matches] if wanted else []
            shown = [await service.get(path) for path in paths]
            return found, shown, page

    result, thumbnails, page = asyncio.run(ask_here() if url is None else ask_there(url))
    if json:
        print(result.model_dump_json(by_alias=True, indent=2))
    else:
        _show(result)
    if save:
        _save(save, image, result, thumbnails)
    if open_:
        from entrypoints.cli.result_page import open_page, write_result_page

        open_page(page or write_result_page(image.name, asyncio.run(_thumbnail_of(image)), result, thumbnails))


async def _page_of(
    service: "ServiceClient", url: str, image: Path, fields: "Mapping[str, str | list[str]]"
) -> str | None:
    """The address of the service's page with this search; None where the picture is not indexed there."""
    from domain.images import ContentHash
    from entrypoints.cli.result_page import page_address

    image_id = str(ContentHash.of(await asyncio.to_thread(image.read_bytes)).image_id)
    if not await service.has_image(image_id):
        return None
    return page_address(url, image_id, {name: value for name, value in fields.items() if name != "limit"})


async def _thumbnail_of(query: Path) -> bytes:
    """The query as results show pictures: browsers show few of the formats that can be searched with."""
    from domain.ports.thumbnail_renderer import THUMBNAIL_SOURCE_SIDE
    from entrypoints.cli.deployment import open_decoder

    async with open_decoder() as container:
        content = await asyncio.to_thread(query.read_bytes)
        async with container.decoder().decoded(content, sufficient_side=THUMBNAIL_SOURCE_SIDE) as picture:
            return await container.thumbnails().render(picture.raster)


def _save(path: Path, query: Path, result: "SearchResultOut", thumbnails: list[bytes]) -> None:
    from entrypoints.cli.drawing import save_contact_sheet

    tiles = asyncio.run(_tiles(query, result, thumbnails))
    try:
        save_contact_sheet(path, tiles)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"the picture cannot be written: {error}", param_hint="--save") from error


async def _tiles(query: Path, result: "SearchResultOut", thumbnails: list[bytes]) -> "list[Tile]":
    from domain.errors import ImageError
    from entrypoints.cli.deployment import open_decoder
    from entrypoints.cli.drawing import TILE, Tile

    async with open_decoder() as container:
        decoder = container.decoder()

        async def tile(content: bytes, caption: str, full_width: int, boxes: "list[BoxOut]") -> Tile:
            async with decoder.decoded(content, sufficient_side=TILE) as picture:
                return Tile.of(picture.raster, caption, full_width, [_corners(box) for box in boxes])

        content = await asyncio.to_thread(query.read_bytes)
        tiles = [await tile(content, "query", result.query.width, result.query.regions)]
        for shown, match in zip(thumbnails, result.matches, strict=True):
            found = [match.region] if match.region else [pair.object for pair in match.regions or [] if pair.object]
            caption = f"{match.score:.3f}  {match.image.filename}"
            try:
                tiles.append(await tile(shown, caption, match.image.width, [each.box for each in found]))
            except ImageError as error:
                raise ImageError(f"The thumbnail of {match.image.filename} cannot be shown: {error}") from error
    return tiles


def _corners(box: "BoxOut") -> tuple[float, float, float, float]:
    return box.x_min, box.y_min, box.x_max, box.y_max


def _show(result: "SearchResultOut") -> None:
    from entrypoints.cli.tables import print_table

    if not result.matches:
        print("Nothing indexed matches.")
        return
    print_table(
        ["Rank", "Score", "File", "Id", "Size"],
        [
            [str(m.rank), f"{m.score:.3f}", m.image.filename, str(m.image.id), f"{m.image.width} x {m.image.height}"]
            for m in result.matches
        ],
        right_aligned={"Rank", "Score", "Size"},
    )
