"""Bring the service up, say how it stands, and shut it down."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from application.settle_interrupted import SettleInterrupted
from domain.embeddings import EmbeddingSpace
from domain.errors import (
    ConfigurationError,
    EncoderUnavailableError,
    IndexDamagedError,
    IndexInUseError,
    LookalikeError,
    RepositoryUnavailableError,
)
from domain.models import ModelDescription, RepositoryStatus
from domain.ports.image_decoder import ImageDecoder
from domain.ports.image_encoder import ImageEncoder
from domain.ports.image_store import ImageStore
from domain.ports.object_detector import ObjectDetector
from domain.ports.similarity_repository import SimilarityRepository

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
PATIENCE_SECONDS = 2.0
"""How long a start waits for the repository, so that a mistake in the deployment still stops it."""
PROBE_SECONDS = 3.0
"""How long readiness waits for the repository; probes give up soon after."""

SETTLE_SECONDS = 600.0
"""How often the service settles what was cut short while it runs, by a repository that was away or in another process.
Writers wait meanwhile, for about as long as one write takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDescription:
    """What is running."""

    encoder: ModelDescription
    detector: ModelDescription | None
    space: EmbeddingSpace
    repository: RepositoryStatus


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
    store: ImageStore
    repository: SimilarityRepository
    on_hopeless: Callable[[ConfigurationError], None] | None = None
    _repository_open: bool = False
    _failure: BaseException | None = None
    _opening: asyncio.Task[None] | None = None
    _settling: asyncio.Task[None] | None = None
    _attempt: asyncio.Task[None] | None = None

    async def open(self, *, keep_trying: bool = False) -> None:
        """Open all. Where `keep_trying` is set, a repository that does not answer soon is opened when it does.

        Raises ConfigurationError, EmbeddingSpaceError and (without `keep_trying`) RepositoryUnavailableError, having
        closed again what was opened.
        """
        try:
            await asyncio.gather(self.store.open(), self.decoder.open(), self.encoder.open(), self.detector.open())
            if keep_trying:
                await self._open_patiently()
            else:
                await self._open_repository()
        except BaseException:
            await self.close()
            raise

    async def open_index(self) -> None:
        """Open index and files as they are, whatever encoder made them: no model is opened.

        Raises RepositoryUnavailableError, IndexInUseError, IndexDamagedError.
        """
        await self.repository.open(None)  # first: it tells whether another process has all of it open
        await self.store.open()
        self._repository_open = True

    async def close(self) -> None:
        """Let go of all, the repository first, so that what was accepted is durable."""
        # `_opening` cancels its attempt only once it has begun to wait for it, so the attempt is listed too.
        tasks = [task for task in (self._opening, self._attempt, self._settling) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._repository_open = False
        await self.repository.close()
        await self.detector.close()
        await self.encoder.close()
        await self.decoder.close()

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
            repository=await self.repository.status(),
        )

    async def _open_repository(self) -> None:
        try:
            await self.repository.open(self.encoder.space)
        except Exception as error:
            self._failure = error  # readiness reports it until it is mended
            raise
        await self._settle()
        self._settling = asyncio.create_task(self._keep_settling())
        self._repository_open = True
        log.info("The index is open")

    async def _keep_settling(self) -> None:
        while True:
            await asyncio.sleep(SETTLE_SECONDS)
            await self._settle()

    async def _settle(self) -> None:
        try:
            images = await SettleInterrupted(repository=self.repository, store=self.store)()
        except LookalikeError as error:
            log.warning("What was cut short cannot be settled yet: %s", error)
        except Exception:  # it can wait, and must end neither a start nor the attempts to come
            log.exception("What was cut short cannot be settled yet")
        else:
            log.log(logging.INFO if images else logging.DEBUG, "Settled %d images that were cut short", images)

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
