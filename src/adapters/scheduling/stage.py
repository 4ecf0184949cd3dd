"""The stage that a call has reached, as telemetry measures it.

A context variable, as in `domain.callers`: work that waits for its turn deep inside an adapter reports to the stage of
its call, and nothing in between passes it on.
"""

from abc import abstractmethod
from contextvars import ContextVar
from typing import Protocol


class Stage(Protocol):
    """A step on a call's way (decoding, encoding, ...) that is being measured. Its methods are cheap."""

    @abstractmethod
    def joined_line(self) -> None:
        """A piece of the call's work waits for its turn from now on."""

    @abstractmethod
    def left_line(self, seconds: float) -> None:
        """It has waited for so long, and now has its turn, or will never have one."""

    @abstractmethod
    def ran_in_batch(self, size: int) -> None:
        """Once for each batch: so many items, of this call and of others, go through a model together."""


present_stage: ContextVar[Stage | None] = ContextVar("stage", default=None)
"""The stage of the present call; None where it is not measured."""
