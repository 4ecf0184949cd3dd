"""Every order in which writers, deleters and sweepers of the same bytes can take their steps.

Each actor is a coroutine of the real `SharedOriginals`, driven by hand: a call of store or index is one step, after
which any other may go on, any may die, or time may pass. What an actor does next follows from the answers that it has
had, so these and the world are the state. Equal states are explored once.
"""

from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import pytest

from application import shared_originals
from application.shared_originals import TAKE_OVER_AFTER, SharedOriginals
from domain.ports.image_store import FileSizes
from tests.builders import EPOCH

SHA256, OTHER = "5" * 64, "7" * 64
"""The second is stored and indexed throughout, so that the index is not taken for the wrong one."""

TICK = TAKE_OVER_AFTER
TICKS = 2
"""How often time passes while actors are at work: marks grow old enough to be taken over, and so do those again."""

AGES_AGO = -10_000
"""In ticks: the age of a file that was stored long before."""

Actor = Callable[[SharedOriginals], Coroutine[Any, Any, str | None]]
"""What it does; what it acknowledges is the key of a record."""


class World(NamedTuple):
    now: int = 0
    written: int | None = None
    """When the original was; None without one."""
    marked: int | None = None
    records: frozenset[str] = frozenset()
    acknowledged: frozenset[str] = frozenset()

    def is_sound(self) -> bool:
        return self.written is not None or not self.acknowledged & self.records


class Table(dict[str, Any]):
    """An answer of several things, as part of a state."""

    def __hash__(self) -> int:  # type: ignore[override]
        return len(self)


class Answer(NamedTuple):
    value: Any
    at: int
    """When it came; 0 if the actor does not look at the clock before its next step."""


@dataclass(frozen=True)
class Step:
    """A call of store or index, of which the driver sends the answer."""

    name: str
    arguments: tuple[Any, ...] = ()

    def __await__(self) -> Generator["Step", Any, Any]:
        return (yield self)


class Stepwise:
    """A store and an index."""

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any, **_: Any) -> Any:
            return await Step(name, arguments)

        return call

    async def stored(self) -> Any:
        yield await Step("stored")

    async def named(self, sha256s: Any) -> Any:
        answer = await Step("named", (sha256s,))
        await Step("pause")  # of the process: the answer may be old when it is used
        return answer


def a_time(ticks: int) -> datetime:
    return EPOCH + ticks * TICK


class Effects:
    """The world after each step, and the answer to it."""

    @staticmethod
    def start(world: World) -> tuple[World, Any]:
        return world, None

    pause = start

    @staticmethod
    def put(world: World, _: str) -> tuple[World, Any]:
        return (world._replace(written=0) if world.written is None else world), None

    @staticmethod
    def delete(world: World, _: str) -> tuple[World, Any]:
        return world._replace(written=None), None

    @staticmethod
    def sizes(world: World, _: object) -> tuple[World, Any]:
        return world, Table({SHA256: FileSizes(original=None if world.written is None else 3)})

    @staticmethod
    def stored(world: World) -> tuple[World, Any]:
        files = {} if world.written is None else {SHA256: a_time(world.written)}
        return world, Table(files | {OTHER: EPOCH})

    @staticmethod
    def mark(world: World, _: str) -> tuple[World, Any]:
        return (world._replace(marked=world.now), True) if world.marked is None else (world, False)

    @staticmethod
    def remark(world: World, _: str, marked_at: datetime) -> tuple[World, Any]:
        is_first = world.marked is not None and a_time(world.marked) == marked_at
        return (world._replace(marked=world.now), True) if is_first else (world, False)

    @staticmethod
    def unmark(world: World, _: str) -> tuple[World, Any]:
        return world._replace(marked=None), None

    @staticmethod
    def marked(world: World, _: object) -> tuple[World, Any]:
        return world, world.marked is not None

    @staticmethod
    def marks(world: World) -> tuple[World, Any]:
        if world.marked is None or world.marked == world.now:
            return world, Table()
        return world, Table({SHA256: a_time(world.marked)})

    @staticmethod
    def named(world: World, sha256s: Iterable[str]) -> tuple[World, Any]:
        return world, frozenset({OTHER, SHA256} if world.records else {OTHER}).intersection(sha256s)

    @staticmethod
    def commit(world: World, key: str) -> tuple[World, Any]:
        return world._replace(records=world.records | {key}), None

    @staticmethod
    def remove(world: World, key: str) -> tuple[World, Any]:
        return world._replace(records=world.records - {key}), None


def taken(world: World, step: Step) -> tuple[World, Any]:
    effect: tuple[World, Any] = getattr(Effects, step.name)(world, *step.arguments)
    return effect


class Clock:
    """In ticks, and whether an actor has looked at it since its last step."""

    def __init__(self) -> None:
        self.now = 0
        self.has_looked = False

    def time(self) -> datetime:
        self.has_looked = True
        return a_time(self.now)

    def seconds(self) -> float:
        return self.time().timestamp()


class Past:
    """The answers that an actor has had, and what it does next: a step, or its end with what it acknowledges."""

    def __init__(self, act: Actor, answers: tuple[Answer, ...] = (), before: "Past | None" = None) -> None:
        clock = Clock()
        originals = SharedOriginals(
            store=Stepwise(),  # type: ignore[arg-type]
            repository=Stepwise(),  # type: ignore[arg-type]
            seconds=clock.seconds,
            sleep=lambda _: Step("sleep"),
            now=clock.time,
        )
        self.act, self.answers = act, answers
        self.step: Step | None
        self.end: str | None = None
        coroutine = act(originals)
        self.step = coroutine.send(None)
        try:
            for answer in answers:
                clock.now, clock.has_looked = answer.at, False
                self.step = coroutine.send(answer.value)
        except StopIteration as end:
            self.step, self.end = None, end.value
        coroutine.close()
        self.has_looked = clock.has_looked
        self.followers: dict[Answer, Past] = {}
        self.before = before

    def after(self, value: Any, at: int) -> "Past":
        """Equal ones are the same object, which makes states quick to compare."""
        answer = Answer(value, at)
        if answer not in self.followers:
            past = Past(self.act, (*self.answers, answer), before=self)
            self.followers[answer] = past if past.has_looked or at == 0 else self.after(value, 0)
        return self.followers[answer]


State = tuple[World, tuple[Past | None, ...]]
"""The world, and each actor, None once it has ended or died."""


def explore(world: World, actors: Iterable[Actor]) -> int:
    """Look at all states that can follow, and say how many they are. Raises AssertionError at an unsound one."""
    start: State = (world, tuple(Past(act) for act in actors))
    seen, left = {start}, [start]
    while left:
        state = left.pop()
        followers = list(following(state))
        for follower in followers:
            if follower not in seen:
                assert follower[0].is_sound(), f"an acknowledged picture is lost: {follower}"
                seen.add(follower)
                left.append(follower)
        if not followers:
            assert_tidy(state[0])
    return len(seen)


def following(state: State) -> Iterator[State]:
    world, actors = state
    may_pass = world.now < TICKS
    for number, past in enumerate(actors):
        if past is None or past.step is None:
            continue
        before, others = actors[:number], actors[number + 1 :]
        yield world, (*before, None, *others)
        if past.step.name in ("delete", "unmark"):  # no request outlives a mark, the protocol assumes
            may_pass = False
        if past.step.name == "sleep":
            if world.marked is None:  # else nothing has changed for it; then it looks anew
                yield world, (*before, past.before, *others)
            continue
        new, value = taken(world, past.step)
        follower = past.after(value, world.now)
        if follower.end is not None:
            new = new._replace(acknowledged=new.acknowledged | {follower.end})
        yield new, (*before, follower if follower.step is not None else None, *others)
    if may_pass:
        yield world._replace(now=world.now + 1), actors


def assert_tidy(world: World) -> None:
    """Once all have ended, a take-over and a sweep leave nothing that no record names."""
    for act in (take_over, sweep):
        world = world._replace(now=world.now - AGES_AGO)
        past = Past(act)
        while past.step is not None:
            world, value = taken(world, past.step)
            past = past.after(value, world.now)
    assert world.marked is None
    assert world.written is None or world.records, f"something is left: {world}"
    assert world.is_sound()


async def take_over(originals: SharedOriginals) -> None:
    await Step("start")
    await originals.take_over()


async def sweep(originals: SharedOriginals) -> None:
    await Step("start")
    await originals.sweep()


def patient(originals: SharedOriginals) -> SharedOriginals:
    """It waits for as long as there is a mark: one that gives up acknowledges nothing, as one that dies."""
    return replace(originals, seconds=lambda: 0.0)


def write(key: str) -> Actor:
    async def write(originals: SharedOriginals) -> str:
        await Step("start")
        await originals.store.put(SHA256, original=b"hat")
        await Step("commit", (key,))
        assert not await patient(originals).confirm({SHA256: b"hat"})
        return key

    return write


def delete(key: str) -> Actor:
    async def delete(originals: SharedOriginals) -> None:
        await Step("start")
        await Step("remove", (key,))
        await originals.purge([SHA256])

    return delete


def rename(before: str, after: str) -> Actor:
    async def rename(originals: SharedOriginals) -> str | None:
        await Step("start")
        await Step("commit", (after,))
        if await patient(originals).confirm({SHA256: None}):
            await Step("remove", (after,))
            return None
        await Step("remove", (before,))
        return after

    return rename


@pytest.fixture(autouse=True)
def step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """All work is of one SHA-256, so that what is done at once is one thing."""

    async def one_by_one(work: Iterable[Any]) -> tuple[Any, ...]:
        return tuple([await each for each in work])

    monkeypatch.setattr(shared_originals, "all_of", one_by_one)


STORED = World(written=AGES_AGO, records=frozenset({"a"}))
LEFT_OVER = World(written=AGES_AGO)

SCENARIOS: Mapping[str, tuple[World, Sequence[Actor]]] = {
    "two write while one deletes": (STORED, [write("b"), write("c"), delete("a"), take_over]),
    "two write what another sweeps": (LEFT_OVER, [write("b"), write("c"), sweep, take_over]),
    "one deletes what another has just written": (World(), [write("b"), write("c"), delete("b"), take_over]),
    "one renames what another deletes": (STORED, [rename("a", "b"), write("c"), delete("a"), take_over]),
    "two take over at once": (LEFT_OVER._replace(marked=-1), [write("b"), delete("a"), take_over, take_over]),
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_acknowledged_picture_is_lost_and_nothing_is_left(scenario: str) -> None:
    assert explore(*SCENARIOS[scenario]) > 20_000
