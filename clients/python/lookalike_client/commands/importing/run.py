"""The run of an import: some rows together, their pictures fetched while others are sent."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TypeVar

from lookalike_client import AsyncLookalike, Key, LookalikeError, PictureFileError, UnavailableError
from lookalike_client._asyncio_runtime import in_order
from lookalike_client.checked_addresses import NotPublicError
from lookalike_client.commands.importing.failures import FailureFile
from lookalike_client.commands.importing.pictures import FOUND, Looked, Standing, look_at, standings_of
from lookalike_client.commands.importing.products import Product
from lookalike_client.commands.interruption import Interruption
from lookalike_client.commands.progress import Show
from lookalike_client.commands.state import Remembered, State
from lookalike_client.errors import error_of
from lookalike_client.fetching import FetchError, PictureFetcher
from lookalike_client.pictures import BATCH_BYTES, BATCH_PICTURES

T = TypeVar("T")

TOGETHER_AT_ONCE = 2
"""While the last pictures of some rows are on their way, those of the next begin."""
FETCHES_AT_ONCE = 8
"""Of each of these; the fetcher bounds those of one host."""
UPLOADS_AT_ONCE = 3

FETCH_CODES = frozenset({"fetch_failed", "fetch_refused"})
"""Problems of the service that name the URL, as FetchErrors do."""


@dataclass(slots=True)
class Counts:
    """Pictures by what became of them, and rows that are not to be imported."""

    created: int = 0
    replaced: int = 0
    updated: int = 0
    """The same bytes, with other metadata."""
    unchanged: int = 0
    failed_rows: int = 0
    empty_rows: list[int] = field(default_factory=list)
    """The numbers of those without a picture."""
    done: int = 0
    """Pictures that have an end, failures included."""


@dataclass(slots=True)
class _Together:
    """Some rows under way."""

    products: Sequence[Product]
    ended: dict[str, str | None] = field(default_factory=dict)
    """By the key of each picture that has an end: None, or why it failed."""


@dataclass(slots=True, kw_only=True)
class ImportRun:
    """Brings products in."""

    client: AsyncLookalike
    fetcher: PictureFetcher | None
    """None where the service fetches."""
    state: State
    scope: str
    failures: FailureFile
    interruption: Interruption
    show: Show
    total: int
    """Pictures of the whole table."""
    since: float
    """When the import began, in seconds since 1970; one that is gone on with, when it first did."""
    counts: Counts = field(default_factory=Counts)
    not_public: Counter[str] = field(default_factory=Counter)
    """Pictures that were not fetched since their host is not public, by `host:port`."""
    stopped_by: UnavailableError | None = None
    """A failure that all pictures after it would meet: no more are begun."""
    _is_broken: bool = False
    """Whether an upload has raised: what has not begun need not be fetched any more."""
    _uploads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(UPLOADS_AT_ONCE))

    async def __call__(self, groups: Iterable[Sequence[Product]]) -> None:
        """Import them, until interrupted or stopped.

        Raises what concerns the service as a whole; StateError, FailureFileError.
        """
        self._count(0)
        async with aclosing(in_order(self._imported, self._until_stopped(groups), TOGETHER_AT_ONCE)) as imported:
            async for together in imported:
                self._end(together)

    async def _imported(self, products: Sequence[Product]) -> _Together:
        together = _Together(products)
        uploads: list[asyncio.Task[None]] = []
        same: list[Looked] = []
        batch: list[Looked] = []
        try:
            async with aclosing(self._looked_at(products, together)) as looked_at:
                async for looked in looked_at:
                    if looked.new is None:
                        same.append(looked)
                    else:
                        batch.append(looked)
                    if _is_full(batch):
                        uploads.append(await self._begin_upload(batch, together))
                        batch = []
            if batch:
                uploads.append(await self._begin_upload(batch, together))
            await self._patch(same, together)
        except asyncio.CancelledError:
            for upload in uploads:
                upload.cancel()
            raise
        finally:
            ended = await asyncio.gather(*uploads, return_exceptions=True)
        for error in ended:
            if error is not None:
                raise error
        return together

    async def _looked_at(self, products: Sequence[Product], together: _Together) -> AsyncGenerator[Looked]:
        """The pictures that could be read or fetched, until stopped; the others end here."""
        found = await standings_of(self.client, self.state, self.scope, products, self.since)
        async with aclosing(in_order(self._look_at, self._until_stopped(found), FETCHES_AT_ONCE)) as looked_at:
            async for standing, looked in looked_at:
                if isinstance(looked, Looked):
                    yield looked
                else:
                    self._fail(standing, looked, together)

    async def _look_at(self, standing: Standing) -> tuple[Standing, Looked | LookalikeError]:
        try:
            return standing, await look_at(standing, self.fetcher)
        except (FetchError, PictureFileError) as error:
            return standing, error

    async def _begin_upload(self, batch: Sequence[Looked], together: _Together) -> asyncio.Task[None]:
        """Waits for its turn first, so that not all pictures wait in memory."""
        await self._uploads.acquire()

        async def upload() -> None:
            try:
                if self.stopped_by is None and not self._is_broken:
                    await self._upload(batch, together)
            except BaseException:
                self._is_broken = True
                raise
            finally:
                self._uploads.release()

        return asyncio.create_task(upload())

    async def _upload(self, batch: Sequence[Looked], together: _Together) -> None:
        # Kept before they are sent: after a crash, the table still knows what it has brought. Of a key that was there,
        # what was remembered stays true until the service has acknowledged the other bytes.
        self.state.remember(self.scope, (looked.remembered for looked in batch if looked.standing.image is None))
        pictures = [looked.new for looked in batch if looked.new is not None]
        indexed: list[Remembered] = []
        refused: list[str] = []
        async with aclosing(self.client.index_many(pictures, adopt=True, concurrency=1)) as outcomes:
            for looked in batch:
                outcome = await anext(outcomes)
                if outcome.image is None:
                    self._fail(looked.standing, outcome.error, together)
                    if looked.standing.image is None:
                        refused.append(looked.standing.picture.key)
                    continue
                self.counts.created += outcome.status == "created"
                self.counts.replaced += outcome.status == "replaced"
                self.counts.updated += outcome.status == "exists"
                remembered = replace(looked.remembered, sha256=outcome.image.sha256)
                if looked.standing.image is None and outcome.status == "exists":
                    remembered = replace(remembered, outcome=FOUND)  # it was there without a key
                indexed.append(remembered)
                self._end_picture(looked.standing, together)
        self.state.remember(self.scope, indexed)
        self.state.forget(self.scope, refused)

    async def _patch(self, same: Sequence[Looked], together: _Together) -> None:
        """Give pictures whose bytes are as they were the metadata of their rows."""
        changed = [looked for looked in same if looked.standing.patch]
        edited = await self.client.edit_many((Key(each.standing.picture.key), each.standing.patch) for each in changed)
        problems = {looked.standing.picture.key: result.problem for looked, result in zip(changed, edited, strict=True)}
        for looked in same:
            if problem := problems.get(looked.standing.picture.key):
                self._fail(looked.standing, error_of(problem), together)
                continue
            self.counts.updated += looked.standing.picture.key in problems
            self.counts.unchanged += looked.standing.picture.key not in problems
            self._end_picture(looked.standing, together)
        self.state.remember(
            self.scope, (looked.remembered for looked in same if looked.remembered != looked.standing.memory)
        )

    def _fail(self, standing: Standing, error: LookalikeError | None, together: _Together) -> None:
        if isinstance(error, UnavailableError):
            self.stopped_by = error
            return
        reason = str(error)
        if not isinstance(error, FetchError) and getattr(error, "code", None) not in FETCH_CODES:  # which name the URL
            reason = f"{standing.picture.place}: {reason}"
        elif error is not None and isinstance(error.__cause__, NotPublicError):
            self.not_public[error.__cause__.place] += 1
        self._end_picture(standing, together, reason)

    def _end_picture(self, standing: Standing, together: _Together, reason: str | None = None) -> None:
        together.ended[standing.picture.key] = reason
        self._count(1)

    def _end(self, together: _Together) -> None:
        """Keep the rows that failed. Those that have not come to their end are left to the next run."""
        for product in together.products:
            if product.problem is not None:
                self._count(len(product.pictures))
                self._fail_row(product, product.problem)
            elif not product.pictures:
                self.counts.empty_rows.append(product.row.number)
            elif all(picture.key in together.ended for picture in product.pictures):
                reasons = [together.ended[picture.key] for picture in product.pictures]
                if any(reasons):
                    self._fail_row(product, " ".join(filter(None, reasons)))

    def _fail_row(self, product: Product, reason: str) -> None:
        self.counts.failed_rows += 1
        self.failures.add(product.row, reason)

    def _count(self, pictures: int) -> None:
        self.counts.done += pictures
        self.show(self.counts.done, self.total)

    def _until_stopped(self, items: Iterable[T]) -> Iterator[T]:
        for item in items:
            if self.interruption.requested or self.stopped_by is not None or self._is_broken:
                return
            yield item


def _is_full(batch: Sequence[Looked]) -> bool:
    held = sum(len(looked.new.picture) for looked in batch if looked.new and isinstance(looked.new.picture, bytes))
    return len(batch) == BATCH_PICTURES or held >= BATCH_BYTES
