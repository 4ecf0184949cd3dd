"""What has to be done so that a service has what a folder has. Nothing of it is done here."""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from lookalike_client.commands.confirmation import is_much
from lookalike_client.commands.files import Found
from lookalike_client.commands.state import Remembered
from lookalike_client.names import text_of_path

NOT_SENT = "not sent"
"""The outcome of a file that failed here. It is tried again even if it has not changed."""


class Stored(NamedTuple):
    """What a service has under a key."""

    sha256: str
    size: int
    source: str | None


@dataclass(frozen=True, slots=True)
class File:
    """A file in the folder, and the key of its picture."""

    found: Found
    key: str
    name: str
    """What it is remembered under: unlike two keys, two names are never the same."""

    @classmethod
    def of(cls, found: Found, key: str) -> "File":
        """A file that was found."""
        return cls(found, key, text_of_path(found.below))

    def is_as(self, remembered: Remembered | None) -> bool:
        """Whether it has not changed since, by its size and time."""
        size, mtime_ns = self.found.size, self.found.mtime_ns
        return (
            remembered is not None and size is not None and (remembered.size, remembered.mtime_ns) == (size, mtime_ns)
        )

    def remembered(
        self, *, sha256: str | None = None, outcome: str | None = None, error: str | None = None
    ) -> Remembered:
        """It as it is now, to be remembered."""
        return Remembered(
            name=self.name,
            size=self.found.size,
            mtime_ns=self.found.mtime_ns,
            sha256=sha256,
            outcome=outcome,
            error=error,
        )


class Move(NamedTuple):
    """A picture whose file has another path now."""

    before: str
    """Its key so far."""
    file: File
    sha256: str


@dataclass(slots=True)
class Plan:
    """What has to be done: first the renamings in their order, then the files, then what is gone."""

    create: list[File] = field(default_factory=list)
    replace: list[File] = field(default_factory=list)
    renew: list[File] = field(default_factory=list)
    """Those whose bytes are there, with another source."""
    rename: list[Move] = field(default_factory=list)
    gone: dict[str, Stored] = field(default_factory=dict)
    """By their keys, those whose files are no more."""
    existed: int = 0
    failed_before: Counter[str] = field(default_factory=Counter)
    """How many files have not changed since they failed, by outcome."""
    learnt: list[Remembered] = field(default_factory=list)
    """Files that are there as they are, which was not remembered."""
    ours: int = 0
    """How many pictures the service has of this folder."""
    removed_before: int = 0
    """How many pictures of it were removed already since the command began."""

    @property
    def send(self) -> list[File]:
        """The files whose bytes are sent."""
        return [*self.create, *self.replace, *self.renew]

    @property
    def is_empty(self) -> bool:
        """Whether nothing has to be done."""
        return not (self.send or self.rename or self.gone)

    @property
    def needs_consent(self) -> bool:
        """Whether so much is gone since the command began that it may be a mistake.

        What `--watch` has removed counts too: one by one, they would each be few.
        """
        return is_much(self.removed_before + len(self.gone), ours=self.removed_before + self.ours)


def make_plan(
    files: Sequence[File],
    stored: Mapping[str, Stored],
    gone: Iterable[str],
    memory: Mapping[str, Remembered],
    digest: Callable[[File], str | None],
) -> Plan:
    """What has to be done.

    Args:
        files: What is in the folder.
        stored: What the service has, by key.
        gone: Those of its keys that are the folder's, and have no file there any more.
        memory: Files as they were, by name.
        digest: The SHA-256 of a file's bytes, None if it cannot be read. It is asked for as few as possible.
    """
    plan = Plan(gone={key: stored[key] for key in sorted(gone)})
    digests: dict[str, str | None] = {}

    def sha256_of(file: File) -> str | None:
        if file.key not in digests:
            before = memory.get(file.name)
            known = before.sha256 if before is not None and file.is_as(before) else None
            digests[file.key] = known or digest(file)
        return digests[file.key]

    for file in files:
        before, there = memory.get(file.name), stored.get(file.key)
        if before is not None and file.is_as(before) and before.error is not None and before.outcome != NOT_SENT:
            plan.failed_before[before.outcome or ""] += 1
        elif there is None:
            plan.create.append(file)
        elif file.found.size != there.size or (sha256 := sha256_of(file)) != there.sha256:
            plan.replace.append(file)
        elif file.found.source != there.source:
            plan.renew.append(file)
        else:
            plan.existed += 1
            if before is None or not file.is_as(before):
                plan.learnt.append(file.remembered(sha256=sha256))
    _find_renamed(plan, stored, sha256_of)
    return plan


def _find_renamed(plan: Plan, stored: Mapping[str, Stored], sha256_of: Callable[[File], str | None]) -> None:
    """Make renamings of what is gone here, and has come there with the same bytes."""
    if not plan.gone:
        return
    replaced = {file.key: stored[file.key].sha256 for file in plan.replace}
    sizes = {stored[key].size for key in (*plan.gone, *replaced)}
    arrived = {file.key: file for file in (*plan.create, *plan.replace) if file.found.size in sizes}
    wanted = {key: sha256 for key, file in arrived.items() if (sha256 := sha256_of(file)) is not None}
    pairs = renamings({key: image.sha256 for key, image in plan.gone.items()}, replaced, wanted)
    afters = {after for _, after in pairs}
    plan.rename = [Move(before, arrived[after], wanted[after]) for before, after in pairs]
    for before, _ in pairs:
        plan.gone.pop(before, None)
    plan.create = [file for file in plan.create if file.key not in afters]
    plan.replace = [file for file in plan.replace if file.key not in afters]


def renamings(gone: Mapping[str, str], replaced: Mapping[str, str], wanted: Mapping[str, str]) -> list[tuple[str, str]]:
    """Which pictures have got other keys, from and to, in an order in which each new key is free when its turn comes.

    `gone` and `replaced` are the SHA-256 that the service has under keys without a file, and of those whose file has
    other bytes; `wanted` those of the files that are new or have other bytes. A chain `a` to `b`, `b` to `c` is found
    if `a` is gone and `c` new. A picture that is replaced gives its key's metadata up in no other case: more often than
    moved, it was copied before it was edited.
    """
    there = {**gone, **replaced}
    wanting: dict[str, set[str]] = defaultdict(set)
    for key, sha256 in wanted.items():
        wanting[sha256].add(key)
    pairs: list[tuple[str, str]] = []
    for start in gone:
        chain = _chain(start, there, wanting)
        pairs += reversed(list(pairwise(chain)))
        for key in chain[1:]:
            wanting[wanted[key]].remove(key)
    return pairs


def _chain(start: str, there: Mapping[str, str], wanting: Mapping[str, set[str]]) -> list[str]:
    """Keys from `start` to one that is free, each of which has now what the one before it had; else only `start`."""
    ways, seen = deque([[start]]), {start}
    while ways:
        way = ways.popleft()
        candidates = wanting.get(there[way[-1]], set()) - seen
        if free := candidates - there.keys():
            return [*way, max(sorted(free), key=lambda key: _nearness(key, way[-1]))]
        seen |= candidates
        ways += ([*way, key] for key in sorted(candidates))
    return [start]


def _nearness(key: str, other: str) -> tuple[int, int]:
    """How many parts two paths have in common at their end, and at their beginning."""
    a, b = key.split("/"), other.split("/")
    return _common(a[::-1], b[::-1]), _common(a, b)


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    pairs = list(zip(a, b, strict=False))
    return next((count for count, (one, two) in enumerate(pairs) if one != two), len(pairs))
