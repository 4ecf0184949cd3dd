"""Bring the service up, say how it stands, and shut it down."""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from application.begun_work import all_of
from application.shared_originals import SharedOriginals
from domain.callers import begin_bulk
from domain.embeddings import EmbeddingSpace
from domain.errors import (
    ConfigurationError,
    EncoderUnavailableError,
    IndexDamagedError,
    IndexInUseError,
    IndexMissingError,
    LookalikeError,
    RepositoryUnavailableError,
)
from domain.metadata import MetadataTypes
from domain.models import ModelDescription, RepositoryStatus
from domain.ports.image_decoder import ImageDecoder
from domain.ports.image_encoder import ImageEncoder
from domain.ports.object_detector import ObjectDetector
from domain.ports.picture_source import PictureSource
from domain.ports.similarity_repository import SimilarityRepository
from domain.scores import LikenessScales

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
PATIENCE_SECONDS = 2.0
"""How long a start waits for the repository, so that a mistake in the deployment still stops it."""
PROBE_SECONDS = 3.0
"""How long readiness waits for the repository; probes give up soon after."""

TIDY_SECONDS = 600.0
"""How often a running service takes over deletions whose process has died, and first sweeps: a command that opens index
and files for a moment sweeps nothing."""
SWEEP_EVERY = 144
"""Rounds of tidying, which makes a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDescription:
    """What is running."""

    encoder: ModelDescription
    detector: ModelDescription | None
    space: EmbeddingSpace
    index_id: UUID
    """The index's own: one that is made anew has another."""
    repository: RepositoryStatus
    metadata_types: MetadataTypes
    likeness: LikenessScales | None


@dataclass(slots=True, kw_only=True)
class RunService:
    """Opens what the use cases work with, in the order in which each needs the other, and closes it.

    A mistake in the deployment (another embedding space, a missing weight) is raised by `open`. A repository that
    does not answer is not one: the service starts, is not ready, and keeps trying. `on_hopeless` is called with a
    failure that shows only after that and never passes by itself; without it, the service tries again even then, since
    an operator may mend it.
    """

    decoder: ImageDecoder
    encoder: ImageEncoder
    detector: ObjectDetector
    originals: SharedOriginals
    pictures: PictureSource
    repository: SimilarityRepository
    types: MetadataTypes
    take_over_at_start: timedelta
    """The age at which marks of files to be deleted are taken over when the service starts."""
    on_hopeless: Callable[[ConfigurationError], None] | None = None
    _repository_open: bool = False
    _failure: BaseException | None = None
    _opening: asyncio.Task[None] | None = None
    _tidying: asyncio.Task[None] | None = None
    _attempt: asyncio.Task[None] | None = None

    async def open(self, *, keep_trying: bool = False) -> None:
        """Open all. Where `keep_trying` is set, a repository that does not answer soon is opened when it does.

        Raises ConfigurationError, EmbeddingSpaceError and (without `keep_trying`) RepositoryUnavailableError, having
        closed again what was opened.
        """
        try:
            # Where one fails, the others are waited for: what they are about to open or to write could not be undone.
            await all_of([self.originals.store.open(), self.decoder.open(), self.encoder.open(), self.detector.open()])
            if keep_trying:
                await self._open_patiently()
            else:
                await self._open_repository()
        except BaseException:
            await self.close()
            raise

    async def open_index(self, new: EmbeddingSpace | None = None) -> None:
        """Open index and files as they are, whatever encoder made them: no model is opened.

        Where there is no index, one for embeddings of the space `new` is made, if that is given. Raises
        RepositoryUnavailableError, ConfigurationError.
        """
        try:
            await self.repository.open(None)  # first: it tells whether another process has all of it open
        except IndexMissingError:
            if new is None:
                raise
            await self.repository.open(new)
        await self.originals.store.open()
        await self._take_up_files()
        self._repository_open = True

    async def close(self) -> None:
        """Let go of all, the repository first, so that what was accepted is durable."""
        # `_opening` cancels its attempt only once it has begun to wait for it, so the attempt is listed too.
        tasks = [task for task in (self._opening, self._attempt, self._tidying) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._repository_open = False
        await self.repository.close()
        await self.detector.close()
        await self.encoder.close()
        await self.decoder.close()
        await self.pictures.close()

    def require_open(self) -> None:
        """Raise RepositoryUnavailableError until the repository has been opened."""
        if not self._repository_open:
            raise RepositoryUnavailableError(
                f"The index is not open yet: {self._failure or 'it is being opened'}",
                retry_after=RETRY_SECONDS,
                remedy=self._failure.remedy if isinstance(self._failure, LookalikeError) else None,
            )

    async def missing(self) -> dict[str, LookalikeError]:
        """What keeps the service from being ready, and why; empty when it is ready."""
        missing: dict[str, LookalikeError] = {}
        try:
            self.encoder.description  # noqa: B018 - known only once a real inference has succeeded
        except EncoderUnavailableError as error:
            missing["encoder"] = error
        try:
            self.require_open()
            async with asyncio.timeout(PROBE_SECONDS):
                await self.repository.status()
        except TimeoutError:
            missing["repository"] = RepositoryUnavailableError(
                f"The index has not answered within {PROBE_SECONDS:g} s."
            )
        except LookalikeError as error:  # any work on the index would fail with it too
            missing["repository"] = error
        return missing

    async def describe(self) -> ServiceDescription:
        """What is running, asked of what runs."""
        return ServiceDescription(
            encoder=self.encoder.description,
            detector=self.detector.description,
            space=self.encoder.space,
            index_id=self.repository.identity,
            repository=await self.repository.status(),
            metadata_types=self.types,
            likeness=self.encoder.likeness,
        )

    async def _open_repository(self) -> None:
        try:
            await self.repository.open(self.encoder.space)
            await self._take_up_files()
        except Exception as error:
            self._failure = error  # readiness reports it until it is mended
            raise
        self._tidying = asyncio.create_task(self._keep_tidy())
        self._repository_open = True
        log.info("The index is open")

    async def _take_up_files(self) -> None:
        """See that the files belong to this index, and finish the deletions that others have begun."""
        try:
            await self.originals.store.claim(self.repository.identity)
        except BaseException:
            await self.repository.close()  # it may be opened again
            raise
        await self._tidied(self.originals.take_over(older_than=self.take_over_at_start))

    async def _keep_tidy(self) -> None:
        begin_bulk()
        for round_ in itertools.count():
            await asyncio.sleep(TIDY_SECONDS)
            await self._tidied(self.originals.take_over())
            if round_ % SWEEP_EVERY == 0:
                await self._tidied(self.originals.sweep())
                await self._tidied(self._sweep_objects())

    async def _sweep_objects(self) -> int:
        return await self.repository.sweep_objects(list(await self.repository.orphaned_objects()))

    async def _tidied(self, work: Awaitable[int]) -> None:
        try:
            removed = await work
        except LookalikeError as error:
            log.warning("What no image needs cannot be removed yet: %s", error)
        except Exception:  # it can wait, and must end neither a start nor the attempts to come
            log.exception("What no image needs cannot be removed yet")
        else:
            log.log(logging.INFO if removed else logging.DEBUG, "Removed %d things that no image needs", removed)

    async def _open_patiently(self) -> None:
        first = self._attempt = asyncio.create_task(self._open_repository())
        await asyncio.wait([first], timeout=PATIENCE_SECONDS)
        if first.done() and not isinstance(first.exception(), RepositoryUnavailableError):
            first.result()
        self._opening = asyncio.create_task(self._keep_trying(first))

    async def _keep_trying(self, attempt: asyncio.Task[None]) -> None:
        while not self._repository_open:
            try:
                await attempt
            except Exception as error:
                if isinstance(error, (IndexDamagedError, IndexInUseError)) and self.on_hopeless is not None:
                    log.error("The index cannot be opened: %s", error)
                    self.on_hopeless(error)
                    return
                log.warning("The index cannot be opened yet: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
                attempt = self._attempt = asyncio.create_task(self._open_repository())
