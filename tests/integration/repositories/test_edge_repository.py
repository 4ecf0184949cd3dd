"""The embedded repository: the contract, and what happens when processes are killed."""

import asyncio
import gc
import itertools
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest

from adapters.repositories.qdrant.embedded import process
from adapters.repositories.qdrant.embedded.engine import IDLE_SECONDS
from adapters.repositories.qdrant.embedded.manifest import Manifest, ShardLayout
from adapters.repositories.qdrant.embedded.process import START_ATTEMPTS, EngineProcess
from adapters.repositories.qdrant.layout import FORMAT
from domain.callers import Deadline, within
from domain.embeddings import EmbeddingSpace
from domain.errors import (
    ConfigurationError,
    DeadlinePassedError,
    IndexDamagedError,
    IndexInUseError,
    Remedy,
    RepositoryUnavailableError,
    StorageFullError,
)
from domain.filters import AnyOf, Field, Filter, InRange
from domain.images import ImageId
from domain.metadata import MetadataType
from domain.ports.similarity_repository import SimilarityRepository
from tests.builders import a_query, a_record, a_space, an_embedding, an_id, an_image
from tests.contracts.repository_cases import DECLARED
from tests.contracts.similarity_repository import SimilarityRepositoryContract
from tests.eventually import eventually
from tests.repositories import embedded_repository


class TestContract(SimilarityRepositoryContract):
    @pytest.fixture
    def fresh(self, tmp_path: Path) -> SimilarityRepository:
        indexed = DECLARED | {"a.b": MetadataType.FLOAT}
        return embedded_repository(tmp_path / "index", indexed_metadata=indexed)


SPACE = a_space(16)
OTHER_SPACE = a_space(8, model="other-model")
ABUNDANT = 10**18
"""A reserve that no disk has free."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
async def repository(directory: Path) -> AsyncIterator[SimilarityRepository]:
    repository = embedded_repository(directory)
    await repository.open(SPACE)
    yield repository
    await repository.close()


async def owner_pid(repository: SimilarityRepository) -> int:
    return int((await repository.status()).details["owner_pid"])


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process does nothing within the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def stored_numbers(directory: Path, space: EmbeddingSpace | None = None) -> set[str]:
    """Open what is there, once its last owner has let go, and name the files of what it lists."""
    repository = embedded_repository(directory)
    await repository.open(space)
    page = await repository.list(limit=10_000)
    await repository.close()
    return {record.filename for record in page.items}


def let_start(monkeypatch: pytest.MonkeyPatch, number: signal.Signals, *, times: int = 1_000) -> list[int]:
    """Send a signal to so many of the processes that are started next, before they answer; their process ids."""
    start = subprocess.Popen
    started: list[int] = []

    def start_and_signal(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        child = start(*args, **options)
        if len(started) < times:
            started.append(child.pid)
            child.send_signal(number)
        return child

    monkeypatch.setattr(subprocess, "Popen", start_and_signal)
    return started


@contextmanager
def no_more_open_files() -> Iterator[None]:
    """This process can open nothing, and therefore start no other, within the block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class TestKilledOwner:
    async def test_no_acknowledged_image_is_lost(self, repository: SimilarityRepository) -> None:
        numbers = itertools.count()
        acknowledged: set[ImageId] = set()
        rounds = 4

        async def write() -> None:
            while not done.is_set():
                number = next(numbers)
                await repository.upsert([an_image(number)])
                acknowledged.add(an_id(number))

        done = asyncio.Event()
        writers = [asyncio.create_task(write()) for _ in range(8)]
        for round_ in range(rounds):
            already = len(acknowledged)
            while len(acknowledged) < already + 20 + 7 * round_:  # noqa: ASYNC110 - amid the writing, not after a write
                await asyncio.sleep(0.005)
            os.kill(await owner_pid(repository), signal.SIGKILL)
        done.set()
        await asyncio.gather(*writers)

        assert set(await repository.get(acknowledged)) == acknowledged
        assert await repository.count() == len(acknowledged)
        assert 1 <= (await repository.status()).details["owner_restarts"] <= rounds

    async def test_the_next_call_of_each_kind_just_works(self, repository: SimilarityRepository) -> None:
        await repository.upsert([an_image(1), an_image(2)])
        os.kill(await owner_pid(repository), signal.SIGKILL)
        await repository.update([a_record(1, metadata={"brand": "acme"})])
        os.kill(await owner_pid(repository), signal.SIGKILL)
        assert [match.image.id for match in await repository.nearest(a_query(an_embedding(2), limit=1))] == [an_id(2)]
        assert (await repository.get([an_id(1)]))[an_id(1)].metadata == {"brand": "acme"}

    async def test_what_it_was_asked_is_asked_again_of_its_successor(self, repository: SimilarityRepository) -> None:
        await repository.upsert([an_image(1)])
        pid = await owner_pid(repository)
        os.kill(pid, signal.SIGSTOP)
        counts = [asyncio.create_task(repository.count()) for _ in range(3)]
        upsert = asyncio.create_task(repository.upsert([an_image(1)]))
        done, _ = await asyncio.wait([*counts, upsert], timeout=0.1)  # one is sent, the others wait behind it
        assert not done
        os.kill(pid, signal.SIGKILL)
        assert await asyncio.gather(*counts) == [1, 1, 1]
        await upsert
        assert (await repository.status()).details["owner_restarts"] == 1

    async def test_an_index_that_cannot_be_opened_again_is_unavailable_until_it_can(
        self, repository: SimilarityRepository, directory: Path
    ) -> None:
        await repository.upsert([an_image(1)])
        (shard,) = directory.glob("shard-*")
        pid = await owner_pid(repository)
        shard.rename(directory / "away")
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(RepositoryUnavailableError, match="cannot be opened again"):
            await repository.count()
        shutil.rmtree(shard, ignore_errors=True)  # the engine makes an empty directory of what it does not find
        (directory / "away").rename(shard)
        assert await repository.count() == 1

    @pytest.mark.parametrize("deaths", [1, 2])
    async def test_successors_that_die_amid_their_start_are_followed_by_others(
        self, repository: SimilarityRepository, monkeypatch: pytest.MonkeyPatch, deaths: int
    ) -> None:
        await repository.upsert([an_image(1)])
        os.kill(await owner_pid(repository), signal.SIGKILL)
        died = let_start(monkeypatch, signal.SIGKILL, times=deaths)
        await repository.upsert([an_image(2)])
        assert await repository.count() == 2
        assert len(died) == deaths

    async def test_while_no_successor_lives_requests_fail_at_once_and_then_work_again(
        self, repository: SimilarityRepository, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await repository.upsert([an_image(1)])
        os.kill(await owner_pid(repository), signal.SIGKILL)
        died = let_start(monkeypatch, signal.SIGKILL, times=START_ATTEMPTS)
        monkeypatch.setattr(process, "PAUSE_SECONDS", 3600.0)
        outcomes = await asyncio.gather(*(repository.count() for _ in range(50)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {RepositoryUnavailableError}
        assert len(died) == START_ATTEMPTS
        monkeypatch.setattr(process, "PAUSE_SECONDS", 0.0)
        assert await repository.count() == 1

    async def test_while_no_successor_can_be_started_requests_fail_at_once_and_then_work_again(
        self, repository: SimilarityRepository, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await repository.upsert([an_image(1)])
        pid = await owner_pid(repository)
        monkeypatch.setattr(process, "PAUSE_SECONDS", 3600.0)
        with no_more_open_files():
            os.kill(pid, signal.SIGKILL)
            outcomes = await asyncio.gather(
                repository.count(), repository.upsert([an_image(2)]), repository.status(), return_exceptions=True
            )
        assert {type(outcome) for outcome in outcomes} == {RepositoryUnavailableError}
        with pytest.raises(RepositoryUnavailableError, match=r"cannot be started \(Too many open files\)\. Usually"):
            await repository.count()
        monkeypatch.setattr(process, "PAUSE_SECONDS", 0.0)
        assert await repository.count() == 1

    async def test_who_stops_waiting_for_a_successor_leaves_it_to_the_next(
        self, repository: SimilarityRepository, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await repository.upsert([an_image(1)])
        os.kill(await owner_pid(repository), signal.SIGKILL)
        started = let_start(monkeypatch, signal.SIGSTOP)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await repository.status()
        assert await eventually(lambda: bool(started))
        os.kill(started[0], signal.SIGCONT)
        assert await repository.count() == 1
        assert [await owner_pid(repository)] == started

    async def test_a_successor_is_waited_for_within_the_timeout(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        repository = embedded_repository(directory, timeout_seconds=2.5)
        await repository.open(SPACE)
        os.kill(await owner_pid(repository), signal.SIGKILL)
        let_start(monkeypatch, signal.SIGSTOP)
        with pytest.raises(RepositoryUnavailableError, match=r"within 2\.5 s"):
            await repository.count()
        await repository.close()

    async def test_a_failed_start_that_nobody_waits_for_any_more_is_no_error_of_the_loop(
        self, repository: SimilarityRepository, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        errors: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        pid = await owner_pid(repository)
        (shard,) = directory.glob("shard-*")
        shard.rename(directory / "away")
        os.kill(pid, signal.SIGKILL)
        started = let_start(monkeypatch, signal.SIGSTOP, times=1)
        waiting = asyncio.create_task(repository.status())
        assert await eventually(lambda: bool(started))
        waiting.cancel()
        os.kill(started[0], signal.SIGCONT)
        with pytest.raises(RepositoryUnavailableError, match="cannot be opened again"):
            await repository.count()  # by the next one, since the first has ended
        assert not is_running(started[0])
        assert waiting.cancelled()
        gc.collect()
        assert errors == []

    async def test_closing_ends_a_successor_that_is_starting(
        self, repository: SimilarityRepository, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(process, "EXIT_PATIENCE_SECONDS", 3600.0)  # it has been asked nothing that it may finish
        os.kill(await owner_pid(repository), signal.SIGKILL)
        started = let_start(monkeypatch, signal.SIGSTOP)
        waiting = asyncio.create_task(repository.count())
        assert await eventually(lambda: bool(started))
        await repository.close()
        with pytest.raises(RepositoryUnavailableError, match="closed"):
            await waiting
        assert not is_running(started[0])
        assert len(started) == 1

    async def test_closing_ends_one_that_hangs(
        self, repository: SimilarityRepository, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(process, "EXIT_PATIENCE_SECONDS", 0.1)
        pid = await owner_pid(repository)
        os.kill(pid, signal.SIGSTOP)
        waiting = asyncio.create_task(repository.count())
        done, _ = await asyncio.wait([waiting], timeout=0.1)
        assert not done
        await repository.close()
        assert not is_running(pid)
        with pytest.raises(RepositoryUnavailableError, match="closed"):
            await waiting

    async def test_interrupts_are_the_parents_to_handle(self, repository: SimilarityRepository) -> None:
        pid = await owner_pid(repository)
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
        await repository.upsert([an_image(1)])
        assert await owner_pid(repository) == pid

    async def test_an_owner_that_hangs_is_replaced(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(process, "HANG_TIMEOUTS", 2)
        repository = embedded_repository(directory, timeout_seconds=2.5)
        await repository.open(SPACE)
        await repository.upsert([an_image(1)])
        os.kill(await owner_pid(repository), signal.SIGSTOP)
        with pytest.raises(RepositoryUnavailableError, match=r"within 2\.5 s"):
            await repository.count()
        while True:  # its successor may need longer than one caller waits
            with suppress(RepositoryUnavailableError):
                await repository.upsert([an_image(2)])
                break
        assert await repository.count() == 2
        assert (await repository.status()).details["owner_restarts"] == 1
        await repository.close()

    async def test_one_that_hangs_is_replaced_though_it_does_not_even_take_what_it_is_sent(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A write is larger than what the pipe holds."""
        monkeypatch.setattr(process, "HANG_TIMEOUTS", 0.05)
        repository = embedded_repository(directory, timeout_seconds=50.0)
        await repository.open(a_space(1280))
        pid = await owner_pid(repository)
        images = [an_image(number, dimension=1280) for number in range(200)]
        ask = EngineProcess._ask

        def stop_and_ask(owner: EngineProcess, verb: str, *request: Any) -> object:
            if verb == "write":
                os.kill(pid, signal.SIGSTOP)
            return ask(owner, verb, *request)

        monkeypatch.setattr(EngineProcess, "_ask", stop_and_ask)
        await repository.upsert(images)
        monkeypatch.setattr(EngineProcess, "_ask", ask)
        assert await repository.count() == 200
        assert not is_running(pid)
        await repository.close()

    async def test_one_that_hangs_is_noticed_though_nobody_waits_long(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(process, "HANG_TIMEOUTS", 0.2)
        repository = embedded_repository(directory, timeout_seconds=5.0)
        await repository.open(SPACE)
        pid = await owner_pid(repository)
        os.kill(pid, signal.SIGSTOP)
        for _ in range(10):
            with within(Deadline(time.monotonic() + 0.1)), suppress(DeadlinePassedError):
                await repository.count()
        assert await eventually(lambda: not is_running(pid))
        await repository.close()

    async def test_one_that_answers_others_meanwhile_does_not_hang(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(process, "HANG_TIMEOUTS", 0.25)
        repository = embedded_repository(directory, timeout_seconds=10.0)
        await repository.open(SPACE)
        pid = await owner_pid(repository)
        for _ in range(5):
            with stopped(pid):
                waiting = asyncio.create_task(repository.count())
                await asyncio.sleep(0.6)
            await waiting
        assert await owner_pid(repository) == pid
        await repository.close()


class TestThreads:
    async def test_neither_writes_nor_replies_wait_for_those_that_others_hold(
        self, repository: SimilarityRepository
    ) -> None:
        await repository.upsert([an_image(1), an_image(2)])
        go_on = threading.Event()
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(max_workers=1))
        held = asyncio.create_task(asyncio.to_thread(go_on.wait, 60))
        try:
            async with asyncio.timeout(20):
                await repository.delete([an_id(1)])
                assert await repository.count() == 1
            assert not held.done()
        finally:
            go_on.set()
            await held

    async def test_each_index_has_one_that_goes_with_it(self, directory: Path) -> None:
        others = set(threading.enumerate())  # those of other tests' repositories may be ending

        def running() -> int:
            return sum(thread.name.startswith("index_") for thread in set(threading.enumerate()) - others)

        repository = embedded_repository(directory)
        await repository.open(SPACE)
        await asyncio.gather(*(repository.upsert([an_image(number)]) for number in range(9)), repository.count())
        assert running() == 1
        os.kill(await owner_pid(repository), signal.SIGKILL)
        assert await repository.count() == 9
        assert await eventually(lambda: running() == 1)
        await repository.close()
        assert await eventually(lambda: running() == 0)


class TestDeadlines:
    @pytest.mark.parametrize(
        "read",
        [
            lambda repository: repository.get([an_id(1)]),
            lambda repository: repository.embeddings([an_id(1)]),
            lambda repository: repository.object_embeddings([an_id(1)]),
            lambda repository: repository.list(limit=1),
            lambda repository: repository.nearest(a_query(an_embedding(1), limit=1)),
            lambda repository: repository.nearest_objects(a_query(an_embedding(1), limit=1)),
            lambda repository: repository.count(),
            lambda repository: repository.facet(Field("labels"), MetadataType.KEYWORD),
            lambda repository: repository.orphaned_objects(),
            lambda repository: repository.status(),
        ],
    )
    async def test_a_read_ends_when_its_deadline_passes_meanwhile(
        self, repository: SimilarityRepository, read: Callable[[SimilarityRepository], Awaitable[object]]
    ) -> None:
        await repository.upsert([an_image(1)])
        with stopped(await owner_pid(repository)):
            began = time.monotonic()
            with within(Deadline(began + 0.1)), pytest.raises(DeadlinePassedError, match="before the index answered"):
                await read(repository)
            assert time.monotonic() < began + 5.0
        assert await repository.count() == 1

    async def test_a_write_that_has_begun_is_finished_though_the_deadline_passes(
        self, repository: SimilarityRepository, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deadline, began, go_on = Deadline(time.monotonic() + 3600.0), threading.Event(), threading.Event()
        ask = EngineProcess._ask

        def ask_slowly(owner: EngineProcess, verb: str, *request: Any) -> object:
            if verb == "write":
                began.set()
                go_on.wait(60)
            return ask(owner, verb, *request)

        monkeypatch.setattr(EngineProcess, "_ask", ask_slowly)
        with within(deadline):
            first = asyncio.create_task(repository.upsert([an_image(1)]))
        assert await eventually(began.is_set)
        deadline.at = time.monotonic()
        second = asyncio.create_task(repository.upsert([an_image(2)]))
        go_on.set()
        await asyncio.gather(first, second)
        assert await repository.count() == 2


WRITER = """
import asyncio, sys
from pathlib import Path
from tests.builders import a_space, an_image
from tests.repositories import embedded_repository

async def main():
    repository = embedded_repository(Path(sys.argv[1]))
    await repository.open(a_space(16))
    print((await repository.status()).details["owner_pid"], flush=True)
    for number in range(100_000):
        image = an_image(number)
        await repository.upsert([image])
        print(image.record.filename, flush=True)

asyncio.run(main())
"""


@contextmanager
def writing(directory: Path, pytestconfig: pytest.Config) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that writes one image after the other and prints their files, and the process id of its engine."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(directory)], stdout=subprocess.PIPE, text=True, cwd=pytestconfig.rootpath
    ) as parent:
        assert parent.stdout is not None
        try:
            yield parent, int(parent.stdout.readline())
        finally:
            parent.kill()


@pytest.mark.parametrize("acknowledged_count", [5, 23])
async def test_a_killed_parent_loses_nothing_and_leaves_no_lock(
    directory: Path, pytestconfig: pytest.Config, acknowledged_count: int
) -> None:
    with writing(directory, pytestconfig) as (parent, _):
        assert parent.stdout is not None
        acknowledged = [parent.stdout.readline().strip() for _ in range(acknowledged_count)]
        parent.kill()
        acknowledged += parent.stdout.read().split("\n")[:-1]

    stored = await stored_numbers(directory)

    assert len(acknowledged) >= acknowledged_count
    assert stored >= set(acknowledged)
    assert len(stored) <= len(acknowledged) + 1  # the one that was under way


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it ends when it next reads its pipe")
async def test_an_owner_that_does_not_read_its_pipe_ends_with_its_parent_too(
    directory: Path, pytestconfig: pytest.Config
) -> None:
    """As amid an optimization: else it would hold the shard's lock, and the next one would not come in."""
    with writing(directory, pytestconfig) as (parent, owner):
        assert parent.stdout is not None
        acknowledged = parent.stdout.readline().strip()
        os.kill(owner, signal.SIGSTOP)
        parent.kill()
    try:
        assert acknowledged in await stored_numbers(directory)
    finally:
        with suppress(ProcessLookupError):
            os.kill(owner, signal.SIGKILL)


async def test_an_open_that_cannot_start_the_owner_tells_so_and_can_be_tried_again(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = embedded_repository(directory)
    with monkeypatch.context() as nowhere:
        nowhere.setattr(sys, "executable", str(directory / "nowhere"))
        with pytest.raises(RepositoryUnavailableError, match=r"cannot be started \(No such file or directory\)"):
            await repository.open(SPACE)
    await repository.open(SPACE)
    assert await repository.count() == 0
    await repository.close()


class TestSecondOpen:
    async def test_it_is_refused_with_what_to_do(self, repository: SimilarityRepository, directory: Path) -> None:
        second = embedded_repository(directory)
        with pytest.raises(IndexInUseError, match="open in another process") as caught:
            await second.open(SPACE)
        assert caught.value.remedy is Remedy.STOP_OR_ASK_THE_OTHER_PROCESS
        await second.close()
        await repository.upsert([an_image(1)])
        await repository.close()
        await second.open(SPACE)
        assert await second.count() == 1
        await second.close()


class CrashError(BaseException):
    """Stands for the end of the process at this point."""


class TestInterruptions:
    @pytest.mark.parametrize(
        ("step", "before", "promoted"),
        [("write", True, False), ("write", False, True), ("remove_leftovers", True, True)],
    )
    async def test_a_crash_amid_promotion_leaves_one_index_whole(  # noqa: PLR0917 - fixtures and parameters
        self,
        repository: SimilarityRepository,
        directory: Path,
        monkeypatch: pytest.MonkeyPatch,
        step: str,
        before: bool,
        promoted: bool,
    ) -> None:
        await repository.upsert([an_image(1)])
        new = await repository.replacement(OTHER_SPACE)
        await new.upsert([an_image(2, dimension=8), an_image(3, dimension=8)])
        real_step = getattr(Manifest, step)

        def crash(manifest: Manifest, directory: Path) -> None:
            if not before:
                real_step(manifest, directory)
            raise CrashError

        monkeypatch.setattr(Manifest, step, crash)
        with pytest.raises(CrashError):
            await repository.promote(new)
        monkeypatch.undo()

        if promoted:
            assert await stored_numbers(directory, OTHER_SPACE) == {"00002.jpg", "00003.jpg"}
            assert len(list(directory.glob("shard-*"))) == 1
        else:
            assert await stored_numbers(directory, SPACE) == {"00001.jpg"}
            await repository.open(SPACE)
            resumed = await repository.replacement(OTHER_SPACE)
            assert await resumed.count() == 2
            await resumed.close()

    async def test_a_half_deleted_predecessor_is_removed(
        self, repository: SimilarityRepository, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (old,) = directory.glob("shard-*")
        new = await repository.replacement(SPACE)
        await new.upsert([an_image(2)])

        def crash(manifest: Manifest, directory: Path) -> None:
            shutil.rmtree(old / "segments")
            raise CrashError

        monkeypatch.setattr(Manifest, "remove_leftovers", crash)
        with pytest.raises(CrashError):
            await repository.promote(new)
        monkeypatch.undo()

        assert await stored_numbers(directory) == {"00002.jpg"}
        assert not old.exists()

    async def test_an_interrupted_creation_begins_again(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        writes = itertools.count()
        real_write = Manifest.write

        def crash_at_second(manifest: Manifest, directory: Path) -> None:
            if next(writes) == 1:
                raise CrashError
            real_write(manifest, directory)

        repository = embedded_repository(directory)
        monkeypatch.setattr(Manifest, "write", crash_at_second)
        with pytest.raises(CrashError):
            await repository.open(SPACE)
        monkeypatch.undo()

        with pytest.raises(ConfigurationError, match="no index"):
            await repository.open(None)
        await repository.open(SPACE)
        assert await repository.count() == 0
        await repository.close()
        assert len(list(directory.glob("shard-*"))) == 1

    async def test_a_killed_optimization_leaves_nothing(
        self, repository: SimilarityRepository, directory: Path
    ) -> None:
        await repository.upsert([an_image(1)])
        await repository.close()
        (shard,) = directory.glob("shard-*")
        half_built = shard / "temp_segments" / "segment_builder_x"
        half_built.mkdir(parents=True)
        (half_built / "vectors").write_bytes(b"half")
        assert await stored_numbers(directory, SPACE) == {"00001.jpg"}
        assert not half_built.exists()


class TestDamage:
    @pytest.mark.parametrize(
        "content",
        [
            "",
            "{",
            "[]",
            "{}",
            json.dumps({"format": FORMAT}),
            json.dumps({"format": FORMAT, "current": {"directory": "x"}, "replacement": None}),
        ],
    )
    async def test_an_unreadable_manifest(self, directory: Path, content: str) -> None:
        directory.mkdir()
        (directory / "manifest.json").write_text(content)
        with pytest.raises(IndexDamagedError, match=r"manifest\.json"):
            await embedded_repository(directory).open(SPACE)

    @pytest.mark.parametrize(
        ("version", "what_to_do", "remedy"),
        [
            (1, "", Remedy.CARRY_OVER_THE_OLDER_FORMAT),
            (FORMAT - 1, "", Remedy.CARRY_OVER_THE_OLDER_FORMAT),
            (FORMAT + 1, "newer version", None),
        ],
    )
    async def test_another_format(self, directory: Path, version: int, what_to_do: str, remedy: Remedy | None) -> None:
        directory.mkdir()
        (directory / "manifest.json").write_text(json.dumps({"format": version}))
        with pytest.raises(ConfigurationError, match=f"format {version};.*{what_to_do}") as caught:
            await embedded_repository(directory).open(SPACE)
        assert caught.value.remedy is remedy

    async def test_a_lost_manifest_never_costs_the_shards(
        self, repository: SimilarityRepository, directory: Path
    ) -> None:
        await repository.close()
        (directory / "manifest.json").unlink()
        with pytest.raises(IndexDamagedError, match="is missing"):
            await repository.open(SPACE)
        assert list(directory.glob("shard-*"))

    @pytest.mark.parametrize("missing", ["", "segments", "segments/*"])
    async def test_a_missing_shard_or_part_of_it(
        self, repository: SimilarityRepository, directory: Path, missing: str
    ) -> None:
        await repository.upsert([an_image(1)])
        await repository.close()
        for part in list(directory.glob(f"shard-*/{missing}")):
            shutil.rmtree(part)
        with pytest.raises(IndexDamagedError, match="shard-"):
            await repository.open(SPACE)

    async def test_an_altered_segment(self, repository: SimilarityRepository, directory: Path) -> None:
        await repository.upsert([an_image(1)])
        await repository.close()
        for state in list(directory.glob("shard-*/segments/*/segment.json")):
            state.write_text("{")
        with pytest.raises(IndexDamagedError, match="shard-"):
            await repository.open(SPACE)

    async def test_a_lost_engine_configuration_is_written_anew(
        self, repository: SimilarityRepository, directory: Path
    ) -> None:
        await repository.upsert([an_image(1)])
        await repository.close()
        (configuration,) = directory.glob("shard-*/edge_config.json")
        before = configuration.read_text()
        configuration.unlink()
        assert await stored_numbers(directory, SPACE) == {"00001.jpg"}
        assert json.loads(configuration.read_text()).items() >= json.loads(before).items()

    async def test_a_directory_that_cannot_be_used(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("not a directory")
        with pytest.raises(ConfigurationError, match="cannot be used"):
            await embedded_repository(tmp_path / "file" / "index").open(SPACE)


class TestRoom:
    async def test_below_the_reserve_only_deleting_is_possible(
        self, repository: SimilarityRepository, directory: Path
    ) -> None:
        await repository.upsert([an_image(1), an_image(2)])
        await repository.close()
        full = embedded_repository(directory, reserve_bytes=ABUNDANT)
        await full.open(SPACE)
        with pytest.raises(StorageFullError, match="reserve"):
            await full.upsert([an_image(3)])
        with pytest.raises(StorageFullError):
            await full.update([a_record(1, metadata={"brand": "acme"})])
        await full.delete([an_id(1)])
        assert [record.id for record in (await full.list(limit=10)).items] == [an_id(2)]
        await full.close()


class TestOptimizing:
    async def test_it_happens_when_idle_and_searches_are_answered(self, tmp_path: Path) -> None:
        repository = embedded_repository(tmp_path / "index")
        await repository.open(a_space(1280))
        count = 2_200  # above the engine's indexing threshold
        for first in range(0, count, 550):
            await repository.upsert([an_image(number, dimension=1280) for number in range(first, first + 550)])
        wanted = an_embedding(77, dimension=1280)
        while not (status := await repository.status()).details["indexed_vectors"]:
            await asyncio.sleep(IDLE_SECONDS + 0.01)  # so that this search meets the optimization
            assert [match.image.id for match in await repository.nearest(a_query(wanted, limit=1))] == [an_id(77)]
        assert int(status.details["optimizations"]) >= 1
        assert 0 < float(status.details["longest_optimize_seconds"]) <= float(status.details["optimize_seconds"])
        assert float(status.details["longest_wait_seconds"]) > 0
        approximate = await repository.nearest(a_query(an_embedding(5_000, dimension=1280), limit=10))
        exact = await repository.nearest(a_query(an_embedding(5_000, dimension=1280), limit=10, exact=True))
        assert len({match.image.id for match in approximate} & {match.image.id for match in exact}) >= 5
        cosines = {number: float(an_embedding(number, dimension=1280) @ wanted) for number in (1, 2, 3)}
        for match in await repository.nearest(
            a_query(
                wanted,
                limit=3,
                where=Filter(all=(AnyOf(Field("filename"), ("00001.jpg", "00002.jpg", "00003.jpg")),)),
            )
        ):
            assert match.score == pytest.approx(cosines[int(match.image.filename[:5])], abs=1e-5)
        await repository.close()


async def test_newly_configured_metadata_is_indexed_at_open(repository: SimilarityRepository, directory: Path) -> None:
    await repository.upsert([an_image(number, metadata={"price": number / 3}) for number in range(10)])
    before = (await repository.status()).details["payload_indexes"]
    await repository.close()
    again = embedded_repository(directory, indexed_metadata={"price": MetadataType.FLOAT})
    await again.open(SPACE)
    assert (await again.status()).details["payload_indexes"] == int(before) + 3  # of its two parts and of its text
    assert await again.count(Filter(all=(InRange(field=Field("metadata.price"), gt=1.0, lte=7 / 3),))) == 4
    await again.close()


def test_an_owner_whose_parent_is_gone_before_its_reply_ends_without_a_word(tmp_path: Path) -> None:
    layout = ShardLayout(vectors=["image"], dimension=4, indexes={}, reserve_bytes=0)
    pipe, theirs = Pipe()
    with (
        theirs,
        subprocess.Popen(
            [sys.executable, "-P", "-m", "adapters.repositories.qdrant.embedded.engine", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as owner,
    ):
        theirs.close()
        pipe.send((tmp_path / "shard", layout, True))
        pipe.close()
        assert owner.communicate(timeout=60) == (b"", b"")
        assert owner.returncode == 0
