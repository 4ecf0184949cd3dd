"""`import`."""

import asyncio
import codecs
import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from lookalike_client.commands.confirmation import consents_to_removal, is_much
from lookalike_client.commands.connection import ApiKey, Program, Purpose, Url
from lookalike_client.commands.interruption import say_how_to_go_on
from lookalike_client.commands.program import MISUSED

FROM_STANDARD_INPUT = "-"
FAILED = ".failed"
"""Ends the name, before its suffix, of the file of rows that failed."""


def import_table(
    ctx: typer.Context,
    table: Annotated[
        str,
        typer.Argument(metavar="TABLE", help="CSV, JSON Lines or Parquet; - is standard input.", show_default=False),
    ],
    images: Annotated[
        list[str],
        typer.Option(
            "--image-column",
            metavar="COLUMN",
            help="The column of pictures: URLs or paths, one or a list in a cell. Repeatable.",
        ),
    ],
    key: Annotated[
        str, typer.Option("--key-column", metavar="COLUMN", help="The column whose values name the rows, such as sku.")
    ],
    metadata: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMNS",
            help="Further columns, with commas between them, or '*' for all, as metadata. Repeatable.",
        ),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            exists=True,
            file_okay=False,
            help="Where relative paths begin; without it, in the table's folder.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done. Nothing is fetched, sent or remembered.")
    ] = False,
    delete_missing: Annotated[
        bool,
        typer.Option(
            "--delete-missing",
            help="At the end, delete pictures that earlier imports of this table brought and that are in it no more. "
            "More than a tenth of them only if you say yes.",
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="With --delete-missing: also more than a tenth, without asking.")
    ] = False,
    allow_hosts: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            metavar="HOST[:PORT]",
            help="Fetch from this host, though its address is not public. Repeatable.",
        ),
    ] = None,
    service_fetches: Annotated[
        bool,
        typer.Option(
            "--service-fetches",
            help="Let the service fetch URLs, which LOOKALIKE_FETCH__ENABLED allows it to: only those that are new.",
        ),
    ] = False,
    name: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="NAME", help="What the table is remembered by; without it, where it lies. For exports."
        ),
    ] = None,
    failures: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="The file for rows that failed, to be imported again; without it, products.failed.csv beside "
            "products.csv.",
        ),
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of text, such as cp1252; without it, it is found out.")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(metavar="CHARACTER", help="Of CSV; without it, it is found out.")
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Index the pictures that a table names, under the keys of its rows, with metadata from its columns.

    A row's picture has the row's key (sku-17); several have sku-17/1, sku-17/2. All have the row's key as
    metadata.product too. Importing the table again does only what has changed: metadata is patched, URLs are fetched if
    the far side says that they have changed, and nothing is encoded twice. A row with a value that does not fit its
    declared type fails alone. Ctrl-C finishes the pictures that have begun; run the same command again to go on.
    Exits 1 if any row failed, 2 if pictures were kept for want of --yes.

    Example: [bold]lookalike import products.csv --image-column image_url --key-column sku --metadata price,brand[/]
    """
    from lookalike_client.commands.importing import import_products as importing
    from lookalike_client.commands.importing.open_table import STANDARD_INPUT, open_table, table_at
    from lookalike_client.commands.importing.products import ProductReader
    from lookalike_client.commands.importing.survey import survey
    from lookalike_client.names import text_of_path

    path = None if table == FROM_STANDARD_INPUT else _readable(Path(table))
    _check_form(encoding, delimiter)
    if path is not None and failures is not None and failures.resolve() == path.resolve():
        raise typer.BadParameter("is the table itself, which would be overwritten", param_hint="--failures")
    if service_fetches and allow_hosts:
        raise typer.BadParameter(
            "is for pictures that are fetched here; LOOKALIKE_FETCH__ALLOWED_HOSTS of the service names its own",
            param_hint="--allow-host",
        )
    if delete_missing:
        _check_deletion(path, name)
    columns = [column.strip() for text in metadata or () for column in next(csv.reader([text]), [])]
    program: Program = ctx.obj
    try:
        with table_at(path) as file:
            read = open_table(
                file,
                STANDARD_INPUT if path is None else path.name,
                [key, *images, *columns],
                encoding=encoding,
                delimiter=delimiter,
            )
            reader = ProductReader.of(
                read,
                images=images,
                key=key,
                metadata=columns,
                base=base or (Path() if path is None else path.parent),
            )
            found = survey(read, reader)
            print(f"{read.name}: {found.rows} rows with {found.pictures} pictures; {read.kind}", file=sys.stderr)
            given = importing.Import(
                table=read,
                reader=reader,
                survey=found,
                identity=text_of_path(name or (STANDARD_INPUT if path is None else _without_failed(path))),
                is_whole=_is_whole(path, name),
                state_folder=program.state_folder(),
                failures=failures or _failures_beside(path, read.suffix),
                allowed_hosts=frozenset(allow_hosts or ()),
                service_fetches=service_fetches,
            )
            call = importing.rehearse_import if dry_run else importing.import_products
            purpose = Purpose.SEARCH if dry_run else Purpose.INDEX
            ended = asyncio.run(call(given, program.connect(url, api_key, purpose)))
    except KeyboardInterrupt:  # before it began, or a second time
        say_how_to_go_on(importing.GO_ON)
        raise
    if not ended.missing:
        raise typer.Exit(ended.code)
    missing = (
        f"{len(ended.missing)} of {ended.brought} pictures that earlier imports of this table brought are in it no more"
    )
    if delete_missing and dry_run:
        for missing_key in ended.missing:
            print("delete", missing_key)
    if not delete_missing or dry_run:
        print(f"{missing}; --delete-missing {'would delete' if delete_missing else 'deletes'} them.", file=sys.stderr)
    elif found.rows == 0 or found.unclear_rows:
        print(f"{missing}. None is deleted: {_why_not(found.unclear_rows)}.", file=sys.stderr)
        raise typer.Exit(ended.code or 1)
    elif not consents_to_removal(f"{missing}.", much=is_much(len(ended.missing), ours=ended.brought), yes=yes):
        raise typer.Exit(ended.code or MISUSED)
    else:
        deleted = asyncio.run(importing.delete(given, ended, program.connect(url, api_key, Purpose.RECORDS)))
        print(f"{deleted} deleted")
    raise typer.Exit(ended.code)


def _readable(path: Path) -> Path:
    """Raises BadParameter."""
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder: `lookalike index` takes one", param_hint="TABLE")
    try:
        path.open("rb").close()
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror}", param_hint="TABLE") from error
    return path


def _check_form(encoding: str | None, delimiter: str | None) -> None:
    """Raise BadParameter for what no table can have."""
    try:
        codecs.lookup(encoding or "utf-8")
    except LookupError:
        raise typer.BadParameter(
            f"there is no encoding {encoding}; write utf-8, cp1252 or utf-16", param_hint="--encoding"
        ) from None
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise typer.BadParameter(
            "is one character, such as ';'; a tab is written $'\\t' in most shells", param_hint="--delimiter"
        )


def _check_deletion(path: Path | None, name: str | None) -> None:
    """Raise BadParameter where it cannot be told what is missing."""
    if not _is_whole(path, name):
        hint = "needs --as for a table from standard input"
        if path is not None:
            hint = f"does not go with {path.name}, which holds only some rows of its table"
        raise typer.BadParameter(hint, param_hint="--delete-missing")


def _is_whole(path: Path | None, name: str | None) -> bool:
    """Whether what the table does not name can be told to be missing from it."""
    return name is not None if path is None else not path.stem.endswith(FAILED)


def _without_failed(path: Path) -> Path:
    """What a table is remembered by, wherever it is named from: failed rows of it belong to it."""
    place = path.resolve().parent / path.name
    if not path.stem.endswith(FAILED):
        return place
    stem = path.stem
    while stem.endswith(FAILED):
        stem = stem.removesuffix(FAILED)
    other_format = place.with_name(stem)
    return other_format if other_format.is_file() else place.with_name(stem + path.suffix)


def _failures_beside(path: Path | None, suffix: str) -> Path:
    if path is None:
        return Path(f"import{FAILED}{suffix}")
    same = path.suffix.lower() in ({".jsonl", ".ndjson"} if suffix == ".jsonl" else {".csv", ".tsv", ".txt"})
    return path.with_name(f"{path.stem}{FAILED}{path.suffix}" if same else f"{path.name}{FAILED}{suffix}")


def _why_not(unclear_rows: Sequence[int]) -> str:
    from lookalike_client.commands.importing.failures import rows_named

    if unclear_rows:
        return f"it cannot be told which keys {rows_named(unclear_rows)} are to have"
    return "the table has no rows, which may be a mistake"
