"""How far a long run has come."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` images; `total` may grow while others write."""

    done: int
    total: int
