"""What travels to the engine's process. Both ends are ours, and it is pickled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from adapters.repositories.qdrant.layout import IndexKind
from adapters.repositories.qdrant.points import Operation

Write = Sequence[Operation]
"""Operations that are applied one after the other, without anything in between."""


class Request(NamedTuple):
    """A method of the engine to call. The answer is what it returns, or a LookalikeError."""

    verb: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}  # noqa: RUF012 - nothing changes it
    others_wait: bool = False
    """Whether more requests come right after this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardLayout:
    """What a shard holds, and how much of the disk it leaves free."""

    vectors: Sequence[str]
    dimension: int
    indexes: Mapping[str, IndexKind]
    reserve_bytes: int
