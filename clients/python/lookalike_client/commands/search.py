"""`search`."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike_client.commands.arguments import Among, region
from lookalike_client.commands.connection import ApiKey, Purpose, Url, ask
from lookalike_client.commands.files import place_to_save

if TYPE_CHECKING:
    from lookalike_client import AsyncLookalike, Match, SearchResult


class Compared(StrEnum):
    """What the query is compared with."""

    IMAGES = "images"
    OBJECTS = "objects"
    ANY = "any"


def search(
    ctx: typer.Context,
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
    among: Among = None,
    score_threshold: Annotated[
        float | None, typer.Option(min=-1.0, max=1.0, help="Leave out matches of a lower cosine similarity.")
    ] = None,
    min_likeness: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Leave out what is less alike: .5 is alike, .75 very alike, 1 the same."),
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(metavar="FIELD", help="Show each value once: metadata.<key> of a declared key, or sha256."),
    ] = None,
    group_size: Annotated[
        int | None, typer.Option(min=1, max=10, help="How many matches of a group to show at most.  [default: 1]")
    ] = None,
    diversity: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="How much likeness to better matches counts against a match.")
    ] = 0.0,
    adapt_to: Annotated[
        str | None,
        typer.Option(metavar="FIELD", help="Count what tells the values apart of metadata.<key>, a declared keyword."),
    ] = None,
    color_weight: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="How much colours count against all else.")
    ] = 0.0,
    show: Annotated[
        str | None, typer.Option(metavar="KEYS", help="Metadata to print with each match, such as price,brand.")
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
    open_: Annotated[
        bool, typer.Option("--open", help="Show a picture of the query and its matches in the system's viewer.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print what the API answers to this search.")] = False,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Find indexed pictures that look like this one.

    Example: [bold]lookalike search hat.jpg --limit 5 --region 40,60,300,400[/]

    Example: [bold]lookalike search hat.jpg --show price,brand --group-by metadata.product --group-size 3[/]
    """
    boxes = [region(text) for text in regions or ()]

    async def find(client: "AsyncLookalike") -> "tuple[SearchResult, list[bytes]]":
        result = await client.search(
            image,
            limit=limit,
            score_threshold=score_threshold,
            min_likeness=min_likeness,
            filter=among,
            regions=boxes,
            target=target.value,
            group_by=group_by,
            group_size=group_size,
            diversity=diversity,
            adapt_to=adapt_to,
            color_weight=color_weight,
        )
        wanted = result.matches if save or open_ else []
        return result, [await client.thumbnail(match.image.id) for match in wanted]

    result, thumbnails = ask(ctx, url, api_key, Purpose.SEARCH, find)
    if json:
        print(result.model_dump_json(by_alias=True, indent=2))
    else:
        _show(result, [key.strip() for key in (show or "").split(",") if key.strip()])
    if save:
        _save(save, image, result, thumbnails)
    if open_:
        _open(save, image, result, thumbnails)


def _open(saved: Path | None, query: Path, result: "SearchResult", thumbnails: list[bytes]) -> None:
    import sys
    import tempfile
    import webbrowser

    if saved is None:
        with tempfile.NamedTemporaryFile(prefix="lookalike-", suffix=".jpg", delete=False) as file:
            saved = Path(file.name)
        _save(saved, query, result, thumbnails)
    address = saved.resolve().as_uri()
    opened = webbrowser.open(address)
    print(f"Opened {address}" if opened else f"No viewer could be opened. See {address}", file=sys.stderr)


def _save(path: Path, query: Path, result: "SearchResult", thumbnails: list[bytes]) -> None:
    from lookalike_client import PictureFileError
    from lookalike_client.commands.drawing import Tile, save_contact_sheet

    tiles = [Tile.of(query.read_bytes(), "query", result.query.width, result.query.regions)]
    for thumbnail, match in zip(thumbnails, result.matches, strict=True):
        found = [match.region] if match.region else [pair.object for pair in match.regions or [] if pair.object]
        name = match.image.key or match.image.filename or match.image.id
        caption = f"{_in_words(match) or f'{match.score:.3f}'}  {name}"
        try:
            tiles.append(Tile.of(thumbnail, caption, match.image.width, [each.box for each in found]))
        except PictureFileError as error:
            raise PictureFileError(f"The thumbnail of {name} cannot be shown: {error}") from error
    save_contact_sheet(path, tiles)


def _show(result: "SearchResult", shown: list[str]) -> None:
    import sys

    from lookalike_client.commands.tables import named_columns, print_table, shown_value

    if result.query.low_detail:
        print(
            "The picture shows little to be found by: expect matches that have nothing to do with it.", file=sys.stderr
        )
    if not result.matches:
        print("Nothing indexed matches.")
        return
    is_grouped = result.matches[0].group is not None
    has_bands = any(match.band for match in result.matches)
    matches = [(rank, match) for best in result.matches for rank, match in _with_its_group(best)]
    names, cells_of_name = named_columns([match.image for _, match in matches])
    rows = []
    for (rank, match), name in zip(matches, cells_of_name, strict=True):
        image, group = match.image, match.group
        metadata = [shown_value(image.metadata[key]) if key in image.metadata else None for key in shown]
        row = [
            rank,
            *([_in_words(match)] if has_bands else []),
            f"{match.score:.3f}",
            *name,
            f"{image.width} x {image.height}",
            *metadata,
        ]
        if is_grouped:
            row += (
                ["", ""] if group is None else ["-" if group.value is None else str(group.value), f"{group.images:,}"]
            )
        rows.append(row)
    print_table(
        [
            "Rank",
            *(["Likeness"] if has_bands else []),
            "Score",
            *names,
            "Size",
            *shown,
            *(["Group", "Pictures"] if is_grouped else []),
        ],
        rows,
        right_aligned={"Rank", "Score", "Size", "Pictures"},
        folding=shown,
    )


def _with_its_group(best: "Match") -> "list[tuple[str, Match]]":
    """The match with its rank, and the others of its group without one."""
    return [(str(best.rank), best), *(("", match) for match in (best.group.more if best.group else []))]


def _in_words(match: "Match") -> str:
    """The band, and the likeness behind it."""
    name = (match.band or "").replace("_", " ")
    return name if match.likeness in {None, 1.0} else f"{name} {match.likeness:.2f}"
