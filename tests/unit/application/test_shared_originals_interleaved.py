"""Every order in which writers, deleters and sweepers of the same bytes can take their steps.

Each actor is a coroutine of the real `SharedOriginals`, driven by hand: a call of store or index is one step, after
which any other may go on, one may die, or time may pass. What an actor does next follows from the answers that it has
had, so these and the world are the state. Equal states are explored once.
"""

from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Mapping
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

Actors = Mapping[str, Callable[[SharedOriginals], Coroutine[Any, Any, str | None]]]
"""What each does; what it acknowledges is the key of a record."""


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


History = tuple[Answer, ...] | None
"""The answers that an actor has had; None of one that has ended."""


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


class Explorer:
    def __init__(self, actors: Actors, *, deaths: int) -> None:
        self.actors = actors
        self.deaths = deaths
        self.clock = 0
        self.has_looked = False
        self.nexts: dict[tuple[str, History], tuple[Step | str | None, bool]] = {}
        self.originals = SharedOriginals(
            store=Stepwise(),  # type: ignore[arg-type]
            repository=Stepwise(),  # type: ignore[arg-type]
            seconds=self.seconds,
            sleep=lambda _: Step("sleep"),
            now=lambda: a_time(self.clock),
        )

    def seconds(self) -> float:
        self.has_looked = True
        return (self.clock * TICK).total_seconds()

    def next(self, name: str, history: tuple[Answer, ...]) -> tuple[Step | str | None, bool]:
        """The actor's next step after these answers, or what it acknowledges at its end.

        Also whether it has looked at the clock before.
        """
        if (name, history) not in self.nexts:
            coroutine = {**self.actors, **TIDYING}[name](self.originals)
            step: Step | str | None = coroutine.send(None)
            try:
                for answer in history:
                    self.clock, self.has_looked = answer.at, False
                    step = coroutine.send(answer.value)
            except StopIteration as end:
                step = end.value
            coroutine.close()
            self.nexts[name, history] = step, self.has_looked
        return self.nexts[name, history]

    def explore(self, world: World) -> int:
        """Look at all states that can follow, and say how many they are. Raises AssertionError at an unsound one."""
        start = (world, tuple(() for _ in self.actors), 0)
        seen, left = {start}, [start]
        while left:
            state = left.pop()
            followers = list(self.followers(*state))
            for follower in followers:
                if follower not in seen:
                    assert follower[0].is_sound(), f"an acknowledged picture is lost: {follower}"
                    seen.add(follower)
                    left.append(follower)
            if not followers:
                self.tidied(state[0])
        return len(seen)

    def followers(
        self, world: World, histories: tuple[History, ...], deaths: int
    ) -> Iterator[tuple[World, tuple[History, ...], int]]:
        may_pass = world.now < TICKS
        for number, (name, history) in enumerate(zip(self.actors, histories, strict=True)):
            if history is None:
                continue

            def after(own: History, number: int = number) -> tuple[History, ...]:
                return (*histories[:number], own, *histories[number + 1 :])

            step, _ = self.next(name, history)
            assert isinstance(step, Step)
            if deaths < self.deaths:
                yield world, after(None), deaths + 1
            if step.name in ("delete", "unmark"):  # no request outlives a mark, the protocol assumes
                may_pass = False
            if step.name == "sleep":
                if world.marked is None:  # else nothing has changed for it; then it looks anew
                    yield world, after(history[:-1]), deaths
                continue
            new, value = taken(world, step)
            own = (*history, Answer(value, world.now))
            end, has_looked = self.next(name, own)
            if not has_looked:
                own = (*history, Answer(value, 0))
            if isinstance(end, Step):
                yield new, after(own), deaths
            else:
                acknowledged = new.acknowledged | ({end} if end else set())
                yield new._replace(acknowledged=acknowledged), after(None), deaths
        if may_pass:
            yield world._replace(now=world.now + 1), histories, deaths

    def tidied(self, world: World) -> None:
        """Once all have ended: nothing is left that no record names, after a take-over and a sweep."""
        for name in ("take over", "sweep"):
            world = world._replace(now=world.now - AGES_AGO)
            history: tuple[Answer, ...] = ()
            while isinstance(step := self.next(name, history)[0], Step):
                world, value = taken(world, step)
                history = (*history, Answer(value, world.now))
        assert world.marked is None
        assert (world.written is None) or bool(world.records), f"something is left: {world}"
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


def write(key: str) -> Callable[[SharedOriginals], Coroutine[Any, Any, str]]:
    async def write(originals: SharedOriginals) -> str:
        await Step("start")
        await originals.store.put(SHA256, original=b"hat")
        await Step("commit", (key,))
        assert not await patient(originals).confirm({SHA256: b"hat"})
        return key

    return write


def delete(key: str) -> Callable[[SharedOriginals], Coroutine[Any, Any, None]]:
    async def delete(originals: SharedOriginals) -> None:
        await Step("start")
        await Step("remove", (key,))
        await originals.purge([SHA256])

    return delete


def rename(before: str, after: str) -> Callable[[SharedOriginals], Coroutine[Any, Any, str | None]]:
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


TIDYING: Actors = {"take over": take_over, "sweep": sweep}
STORED = World(written=AGES_AGO, records=frozenset({"a"}))

SCENARIOS: Mapping[str, tuple[World, Actors]] = {
    "two write while one deletes": (
        STORED,
        {"write b": write("b"), "write c": write("c"), "delete a": delete("a"), "take over": take_over},
    ),
    "one writes what another sweeps": (
        STORED._replace(records=frozenset()),
        {"write b": write("b"), "write c": write("c"), **TIDYING},
    ),
    "one deletes what another has just written": (
        World(),
        {"write b": write("b"), "write c": write("c"), "delete b": delete("b"), "take over": take_over},
    ),
    "one renames what another deletes": (
        STORED,
        {"rename a": rename("a", "b"), "delete a": delete("a"), "write c": write("c"), "take over": take_over},
    ),
    "two take over at once": (
        STORED._replace(records=frozenset(), marked=-1),
        {"write b": write("b"), "delete a": delete("a"), "take over": take_over, "take over too": take_over},
    ),
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_acknowledged_picture_is_lost_and_nothing_is_left(scenario: str) -> None:
    world, actors = SCENARIOS[scenario]
    assert Explorer(actors, deaths=1).explore(world) > 20_000
