"""An import from the connection to the report."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, closing
from dataclasses import dataclass, field
from pathlib import Path

from lookalike_client import AsyncLookalike, InvalidRequestError, Key
from lookalike_client.commands.connection import NoIndexError
from lookalike_client.commands.importing.failures import TOLD, FailureFile, rows_named
from lookalike_client.commands.importing.pictures import BROUGHT
from lookalike_client.commands.importing.products import PRODUCT, Product, ProductReader
from lookalike_client.commands.importing.rehearsal import rehearse
from lookalike_client.commands.importing.rows import Table
from lookalike_client.commands.importing.run import ImportRun
from lookalike_client.commands.importing.survey import Survey, products
from lookalike_client.commands.interruption import finish_on_interrupt, say_how_to_go_on
from lookalike_client.commands.progress import progress
from lookalike_client.commands.state import Remembered, State, open_state, scope_of
from lookalike_client.fetching import FetchLimits, PictureFetcher
from lookalike_client.models import Models
from lookalike_client.pictures import MAX_PICTURE_BYTES, chunks

GO_ON = "Run the same command again to go on; what is imported is kept."
DECLARE = "LOOKALIKE_REPOSITORY__INDEXED_METADATA of the service"

UNFINISHED = ""
"""Under this name, which no key is, the beginning of an import is remembered until it has ended."""
GO_ON_SECONDS = 24 * 3600.0
"""An import that began longer ago is not gone on with: its pictures are looked at again."""

ROWS_TOGETHER = 200
"""Looked up together, and patched together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """A table, and what is to be done with it."""

    table: Table
    reader: ProductReader
    survey: Survey
    identity: str
    """What the table is remembered by."""
    is_whole: bool = True
    """Whether pictures that it does not name are missing from it, rather than left to another part or table."""
    state_folder: Path | None
    failures: Path
    allowed_hosts: frozenset[str] = frozenset()
    """Those that pictures are fetched from though their addresses are not public."""
    service_fetches: bool = False

    def scope(self, models: Models) -> str:
        """What its pictures are remembered under."""
        return scope_of(str(models.index_id), "table", self.identity)

    def groups(self, reader: ProductReader) -> Iterator[list[Product]]:
        """All products, some together."""
        return chunks(products(self.table, reader, self.survey.claims), ROWS_TOGETHER)


@dataclass(slots=True)
class Imported:
    """How an import ended."""

    code: int = 0
    scope: str = ""
    missing: dict[str, str] = field(default_factory=dict)
    """By key, the SHA-256 of pictures that earlier imports of the table brought, that are there with these bytes, that
    it has no more, and that no other table has.

    Known only once all rows were gone through.
    """
    brought: int = 0
    """How many pictures it has brought, as far as is remembered: these are among them."""


async def import_products(given: Import, connection: AbstractAsyncContextManager[AsyncLookalike]) -> Imported:
    """Import, report, and say how it ended. Raises what concerns the service as a whole, after the report."""
    failures = FailureFile(given.failures, given.table)
    with open_state(given.state_folder) as state:
        async with (
            connection as client,
            PictureFetcher(FetchLimits(allowed_hosts=given.allowed_hosts, max_bytes=MAX_PICTURE_BYTES)) as fetcher,
        ):
            models = await client.models()
            _say_what_is_not_declared(given, models)
            scope = given.scope(models)
            with closing(failures), finish_on_interrupt() as interruption, progress("Importing") as show:
                run = ImportRun(
                    client=client,
                    fetcher=None if given.service_fetches else fetcher,
                    state=state,
                    scope=scope,
                    failures=failures,
                    interruption=interruption,
                    show=show,
                    total=given.survey.pictures,
                    since=_begun(state, scope),
                )
                try:
                    await run(given.groups(given.reader.typed(models.metadata_types)))
                except BaseException as error:
                    _report(run, failures)
                    if isinstance(error, InvalidRequestError) and error.code == "fetching_disabled":
                        print("To fetch the pictures from here instead, leave out --service-fetches.", file=sys.stderr)
                    elif run.counts.done:
                        print(f"lookalike: stopped after {_share(run)}. {GO_ON}", file=sys.stderr)
                    raise
            _report(run, failures)
            ended = Imported(code=1 if failures.count else 0, scope=scope)
            if run.stopped_by is not None:
                print(f"lookalike: stopped after {_share(run)}: {run.stopped_by} {GO_ON}", file=sys.stderr)
                ended.code = 1
            elif interruption.requested and run.counts.done < run.total:
                say_how_to_go_on(GO_ON)
                ended.code = interruption.code
            else:
                state.forget(scope, [UNFINISHED])
                failures.remove_old()
                gone = await _gone(client, state, scope, given)
                _forget_what_has_gone(state, scope, given, gone)
                ended.missing, ended.brought = _missing(state, scope, gone), _brought(state, scope)
            return ended


async def rehearse_import(given: Import, connection: AbstractAsyncContextManager[AsyncLookalike]) -> Imported:
    """Say what `import_products` would do."""
    with open_state(given.state_folder) as state:
        groups, scope, ended = given.groups, "", Imported()
        fetches = given.service_fetches
        try:
            async with connection as client:
                models = await client.models()
                _say_what_is_not_declared(given, models)
                scope = given.scope(models)
                products_ = groups(given.reader.typed(models.metadata_types))
                found = await rehearse(products_, client, state, scope, service_fetches=fetches)
                ended.missing = _missing(state, scope, await _gone(client, state, scope, given))
                ended.brought = _brought(state, scope)
        except NoIndexError:
            print("There is no index yet, so that types are not checked.", file=sys.stderr)
            found = await rehearse(groups(given.reader), None, state, scope, service_fetches=fetches)
    _tell(found.told, found.failed_rows)
    print(f"{found}. Nothing was fetched or sent.")
    ended.code = 1 if found.failed_rows else 0
    return ended


async def delete(given: Import, imported: Imported, connection: AbstractAsyncContextManager[AsyncLookalike]) -> int:
    """Delete what is missing; how many pictures those were."""
    deleted = 0
    with open_state(given.state_folder) as state:
        async with connection as client:
            for keys in chunks(imported.missing, ROWS_TOGETHER):
                bytes_ = [imported.missing[key] for key in keys]  # which another client may replace at any time
                deleted += await client.delete_matching(
                    {"all": [{"field": "key", "in": keys}, {"field": "sha256", "in": bytes_}]}
                )
                state.forget(imported.scope, keys)
    return deleted


def _begun(state: State, scope: str) -> float:
    """When the import began, in seconds since 1970: an earlier one is gone on with, if it is not too old."""
    memory = state.get(scope, [UNFINISHED]).get(UNFINISHED)
    if memory is not None and memory.looked_at is not None and 0 <= time.time() - memory.looked_at < GO_ON_SECONDS:
        return memory.looked_at
    now = time.time()
    state.remember(scope, [Remembered(name=UNFINISHED, looked_at=now)])
    return now


async def _gone(client: AsyncLookalike, state: State, scope: str, given: Import) -> dict[str, str]:
    """By key, the SHA-256 of what the table has brought, what is there as it brought it, and what it has no more."""
    if not given.is_whole:
        return {}
    claims = given.survey.claims
    brought = {each.name: each.sha256 for each in state.all(scope) if each.outcome == BROUGHT}
    gone = [key for key in brought if key not in claims]
    images = await client.lookup(map(Key, gone))
    return {
        key: image.sha256
        for key, image in zip(gone, images, strict=True)
        if image is not None and image.sha256 == brought[key]
    }


def _missing(state: State, scope: str, gone: Mapping[str, str]) -> dict[str, str]:
    """Without what other tables have."""
    of_others = state.held_by_others(scope, gone)
    return {key: sha256 for key, sha256 in gone.items() if key not in of_others}


def _brought(state: State, scope: str) -> int:
    return sum(each.outcome == BROUGHT for each in state.all(scope))


def _forget_what_has_gone(state: State, scope: str, given: Import, gone: Mapping[str, str]) -> None:
    """What is neither in the table nor brought by it, so that other tables have it alone."""
    if given.is_whole and not given.survey.unclear_rows:
        claims = given.survey.claims
        state.forget(
            scope, [each.name for each in state.all(scope) if each.name not in claims and each.name not in gone]
        )


def _say_what_is_not_declared(given: Import, models: Models) -> None:
    declared = models.metadata_types
    if declared.get(PRODUCT) not in {"keyword", "integer"}:
        print(
            f"metadata.{PRODUCT} is not declared: searches cannot be grouped by it until {DECLARE} has "
            f"{PRODUCT}:keyword.",
            file=sys.stderr,
        )
    others = [column for column in given.reader.metadata if column not in declared and column != PRODUCT]
    if others and not given.table.has_types:
        print(f"Kept as text, since {DECLARE} does not declare them: {', '.join(others)}.", file=sys.stderr)


def _share(run: ImportRun) -> str:
    return f"{run.counts.done} of {run.total} pictures"


def _report(run: ImportRun, failures: FailureFile) -> None:
    counts = run.counts
    _tell(failures.told, failures.count)
    if failures.count:
        print(f"Rows that failed are in {failures.path}; import it once they are mended.", file=sys.stderr)
    if counts.empty_rows:
        have = "1 row has" if len(counts.empty_rows) == 1 else f"{len(counts.empty_rows):,} rows have"
        print(f"{have} no picture: {rows_named(counts.empty_rows)}.", file=sys.stderr)
    if run.not_public:
        allowed = " ".join(f"--allow-host {place}" for place in list(run.not_public)[:TOLD])
        print(
            f"Not fetched, since their hosts are not public: {run.not_public.total():,} pictures. If you trust the "
            f"hosts, add {allowed}",
            file=sys.stderr,
        )
    sys.stderr.flush()
    parts = [f"{counts.created} created"]
    parts += [f"{counts.replaced} replaced"] * bool(counts.replaced)
    parts += [f"{counts.updated} with other metadata"] * bool(counts.updated)
    print(", ".join([*parts, f"{counts.unchanged} unchanged, {counts.failed_rows} rows failed"]), flush=True)


def _tell(lines: Sequence[str], count: int) -> None:
    for line in lines:
        print(line, file=sys.stderr)
    if count > TOLD:
        print(f"and {count - TOLD:,} rows more", file=sys.stderr)
