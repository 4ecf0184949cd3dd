"""What all adapters of models share: opening, readiness, closing, and the names of their failures."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Generic, Protocol, TypeVar

from adapters.scheduling.slots import SlotsClosedError
from domain.errors import UnavailableError
from domain.models import ModelDescription


class Pipeline(Protocol):
    """Takes pictures to a model."""

    async def close(self) -> None:
        """Wait for what runs, drop what waits."""


class LoadedModel(Protocol):
    """A model that has computed what it should."""

    @property
    def description(self) -> ModelDescription:
        """What runs."""

    @property
    def pipeline(self) -> Pipeline:
        """What runs it."""


L = TypeVar("L", bound=LoadedModel)


class LoadedOnce(ABC, Generic[L]):
    """An adapter of a model that `_load` loads, on a thread. Before `open` and after `close` it is unavailable."""

    _role: ClassVar[str]
    _unavailable: ClassVar[type[UnavailableError]]

    def __init__(self) -> None:
        self._loaded: L | None = None

    @abstractmethod
    def _load(self) -> L:
        """Load the model with verified weights; warm it up by a real inference, and check what that gives.

        Raises ModelError.
        """

    async def open(self) -> None:
        """Load the model, unless it is loaded."""
        if self._loaded is None:
            self._loaded = await asyncio.to_thread(self._load)

    async def close(self) -> None:
        """Wait for what runs, drop what waits, and let go of the model."""
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            await loaded.pipeline.close()

    @property
    def description(self) -> ModelDescription:
        """What runs. Raises UnavailableError."""
        return self._ready().description

    def _ready(self) -> L:
        if self._loaded is None:
            raise self._unavailable(f"The {self._role} is not open.")
        return self._loaded


@contextmanager
def failures_named(unavailable: type[UnavailableError], role: str) -> Iterator[None]:
    """Raise what stops a model from running as `unavailable`; errors that have names pass."""
    try:
        yield
    except SlotsClosedError as error:
        raise unavailable(f"The {role} was closed meanwhile.") from error
    except (RuntimeError, MemoryError) as error:
        raise unavailable(f"The {role}'s runtime failed: {error}") from error
