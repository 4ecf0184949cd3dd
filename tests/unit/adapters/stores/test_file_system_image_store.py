import asyncio
import errno
import fcntl
import os
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from adapters.stores import change_notes
from adapters.stores.data_format import FORMAT
from adapters.stores.file_system_image_store import FileSystemImageStore
from domain.callers import Deadline, within
from domain.errors import (
    BusyError,
    ConfigurationError,
    DeadlinePassedError,
    ImageNotFoundError,
    StorageFullError,
    UnavailableError,
)
from tests.contracts.image_store import ImageStoreContract, an_id
from tests.eventually import eventually


def failing_with(number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def files_below(root: Path) -> set[str]:
    """Without the notes of changes, and their locks."""
    names = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    return {name for name in names if not name.startswith("changing/")}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "images"


@pytest.fixture
async def store(root: Path) -> FileSystemImageStore:
    store = FileSystemImageStore(root, reserve_bytes=0)
    await store.open()
    return store


class TestFileSystemImageStore(ImageStoreContract):
    @pytest.fixture
    async def store(self, store: FileSystemImageStore) -> FileSystemImageStore:  # the module's
        return store


async def test_fans_out_by_the_first_two_hex_digits(store: FileSystemImageStore, root: Path) -> None:
    await store.put(an_id(), original=b"one", thumbnail=b"small one")
    name = str(an_id())
    assert files_below(root) == {f"originals/{name[:2]}/{name}", f"thumbnails/{name[:2]}/{name}"}


async def test_open_removes_what_an_interrupted_write_left(store: FileSystemImageStore, root: Path) -> None:
    await store.put(an_id(), original=b"one", thumbnail=b"small one")
    whole = files_below(root)
    (root / "originals" / "incoming" / "tmpabc").write_bytes(b"half an ori")
    (root / "thumbnails" / "incoming" / "tmpdef").write_bytes(b"")
    await FileSystemImageStore(root, reserve_bytes=0).open()
    assert files_below(root) == whole


async def test_open_leaves_what_another_process_is_writing(
    store: FileSystemImageStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def open_another_first(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", fsync)
        asyncio.run(FileSystemImageStore(root, reserve_bytes=0).open())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", open_another_first)
    await store.put(an_id(), original=b"one", thumbnail=b"small one")
    assert await store.thumbnail(an_id()) == b"small one"


async def test_a_file_that_another_process_removes_before_it_is_locked_is_made_again(
    store: FileSystemImageStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def open_another_first(file: Any, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        asyncio.run(FileSystemImageStore(root, reserve_bytes=0).open())
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", open_another_first)
    await store.put(an_id(), original=b"one", thumbnail=b"small one")
    assert await store.original(an_id()) == b"one"
    assert await store.thumbnail(an_id()) == b"small one"
    assert len(files_below(root)) == 2


async def test_a_pause_is_of_every_process(store: FileSystemImageStore, root: Path) -> None:
    other = FileSystemImageStore(root, reserve_bytes=0)
    await other.open()
    entered = asyncio.Event()

    async def pause() -> None:
        async with other.paused() as interrupted:
            assert list(interrupted) == []
            entered.set()

    async with store.changing([an_id(1)]):
        pausing = asyncio.create_task(pause())
        await asyncio.sleep(0.05)
        assert not entered.is_set()
    await asyncio.wait_for(pausing, 10)


async def test_a_change_may_count_as_cut_short_only_later(store: FileSystemImageStore, root: Path) -> None:
    patient = FileSystemImageStore(root, reserve_bytes=0, settle_after=300)
    await patient.open()
    with pytest.raises(RuntimeError):
        async with patient.changing([an_id(1)]):
            raise RuntimeError
    async with patient.paused() as interrupted:
        assert list(interrupted) == []
        assert set(await patient.noted()) == {an_id(1)}
        await patient.forget_interrupted()
    [note] = (root / "changing").glob("*.note")
    os.utime(note, (0, 0))
    async with patient.paused() as interrupted:
        assert list(interrupted) == [an_id(1)]


async def test_who_never_lets_go_is_told_of(
    store: FileSystemImageStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_notes, "PATIENCE_SECONDS", 0.05)
    async with store.paused():
        with pytest.raises(BusyError, match="hangs and has"):
            async with store.changing([an_id(1)]):
                pass
    async with store.changing([an_id(1)]):
        with pytest.raises(BusyError):
            async with store.paused():
                pass


async def test_who_waits_for_a_pause_to_end_waits_no_longer_than_the_caller(store: FileSystemImageStore) -> None:
    async with store.paused(), asyncio.timeout(10):
        with within(Deadline(time.monotonic() + 0.05)), pytest.raises(DeadlinePassedError):
            async with store.changing([an_id(1)]):
                pytest.fail("it has begun")
        assert set(await store.noted()) == set()


class OneAtATime(ThreadPoolExecutor):
    """Runs the first thing it is asked for, and the others once `busy` is over."""

    def __init__(self) -> None:
        super().__init__()
        self.busy = threading.Event()
        self.asked = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.asked += 1
        if self.asked == 1:
            return super().submit(fn, *args, **kwargs)
        return super().submit(lambda: self.busy.wait(10) and fn(*args, **kwargs))


async def test_no_change_that_waits_for_a_thread_keeps_the_gate(store: FileSystemImageStore, root: Path) -> None:
    threads = OneAtATime()
    asyncio.get_running_loop().set_default_executor(threads)

    async def change() -> None:
        async with store.changing([an_id(1)]):
            pass

    changing = asyncio.create_task(change())
    assert await eventually(lambda: threads.asked == 2)
    with (root / "changing" / "gate").open("rb") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where the change has it
    threads.busy.set()
    await changing


async def test_files_that_are_no_notes_are_left_alone(store: FileSystemImageStore, root: Path) -> None:
    (root / "changing" / "shopping.note").write_text("milk")
    async with store.paused() as interrupted:
        assert list(interrupted) == []
        await store.forget_interrupted()
    assert (root / "changing" / "shopping.note").read_text() == "milk"


class TestFormat:
    @pytest.fixture
    def written(self, root: Path) -> Path:
        return root.parent / "format"

    async def test_a_new_data_directory_says_it(self, store: FileSystemImageStore, written: Path) -> None:
        assert written.read_text() == f"{FORMAT}\n"
        assert sorted(path.name for path in written.parent.iterdir()) == ["format", "images"]

    async def test_one_without_it_is_the_first_and_is_upgraded(
        self, store: FileSystemImageStore, root: Path, written: Path
    ) -> None:
        await store.put(an_id(), original=b"one", thumbnail=b"small one")
        written.unlink()
        again = FileSystemImageStore(root, reserve_bytes=0)
        await again.open()
        assert written.read_text() == f"{FORMAT}\n"
        assert await again.original(an_id()) == b"one"

    async def test_it_is_written_once(self, store: FileSystemImageStore, root: Path, written: Path) -> None:
        before = written.stat()
        await asyncio.gather(*(FileSystemImageStore(root, reserve_bytes=0).open() for _ in range(3)))
        assert (written.stat().st_ino, written.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)

    async def test_several_may_write_it_at_once(self, root: Path, written: Path) -> None:
        await asyncio.gather(*(FileSystemImageStore(root, reserve_bytes=0).open() for _ in range(8)))
        assert written.read_text() == f"{FORMAT}\n"
        assert sorted(path.name for path in written.parent.iterdir()) == ["format", "images"]

    async def test_a_newer_one_is_refused_and_left_as_it_is(self, root: Path, written: Path) -> None:
        written.parent.mkdir()
        written.write_text(f"{FORMAT + 1}\n")
        with pytest.raises(
            ConfigurationError,
            match=f"{written.parent} has format {FORMAT + 1}; this release knows formats up to {FORMAT}",
        ):
            await FileSystemImageStore(root, reserve_bytes=0).open()
        assert [path.name for path in written.parent.iterdir()] == ["format"]
        assert written.read_text() == f"{FORMAT + 1}\n"

    @pytest.mark.parametrize("content", [b"", b"one", b"\xff\xfe", b"1.0"])
    async def test_a_damaged_one_is_told(self, root: Path, written: Path, content: bytes) -> None:
        written.parent.mkdir()
        written.write_bytes(content)
        with pytest.raises(ConfigurationError, match=f"{written} is damaged"):
            await FileSystemImageStore(root, reserve_bytes=0).open()

    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
    async def test_where_it_cannot_be_written_pictures_are_served_all_the_same(
        self,
        store: FileSystemImageStore,
        root: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        code: int,
    ) -> None:
        written = root.parent / "format"
        await store.put(an_id(), original=b"one", thumbnail=b"small one")
        written.unlink()
        really = os.fsync

        def failing(descriptor: int) -> None:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(code, os.strerror(code))
            really(descriptor)

        monkeypatch.setattr(os, "fsync", failing)
        again = FileSystemImageStore(root, reserve_bytes=0)
        await again.open()
        assert await again.original(an_id()) == b"one"
        assert [path.name for path in written.parent.iterdir()] == ["images"]
        assert f"{written} cannot be written ({os.strerror(code)})" in caplog.text

    async def test_it_is_durable_before_it_is_visible(
        self, root: Path, written: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        events: list[str] = []
        really = os.fsync

        def sync(descriptor: int) -> None:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and status.st_size == len(f"{FORMAT}\n"):
                events.append("content, visible" if written.exists() else "content")
            elif written.parent.exists() and status.st_ino == written.parent.stat().st_ino and written.exists():
                events.append("name")
            really(descriptor)

        monkeypatch.setattr(os, "fsync", sync)
        await FileSystemImageStore(root, reserve_bytes=0).open()
        assert events[:2] == ["content", "name"]


async def test_a_file_system_without_locks_is_told_at_the_start(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", failing_with(errno.ENOLCK))
    with pytest.raises(ConfigurationError, match="cannot be locked: No locks available"):
        await FileSystemImageStore(root, reserve_bytes=0).open()


@pytest.mark.parametrize(
    ("number", "error"), [(errno.EIO, UnavailableError), (errno.ENOTSUP, ConfigurationError)], ids=["disk", "locks"]
)
async def test_what_locks_raise_has_a_name(
    store: FileSystemImageStore, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    monkeypatch.setattr(fcntl, "flock", failing_with(number))
    with pytest.raises(error):
        async with store.changing([an_id(1)]):
            pass
    with pytest.raises(error):
        async with store.paused():
            pass


async def test_a_note_that_cannot_be_removed_has_a_named_error(
    store: FileSystemImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "unlink", failing_with(errno.EIO))
    with pytest.raises(UnavailableError, match="notes of changes"):
        async with store.changing([an_id(1)]):
            pass
    async with store.paused() as interrupted:
        assert list(interrupted) == [an_id(1)]
        with pytest.raises(UnavailableError):
            await store.forget_interrupted()


async def test_an_error_of_the_work_itself_stays_what_it_is(store: FileSystemImageStore) -> None:
    with pytest.raises(PermissionError):
        async with store.changing([an_id(1)]):
            raise PermissionError


async def test_without_any_room_changes_go_on_unnoted(
    store: FileSystemImageStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    await store.put(an_id(), original=b"one", thumbnail=b"small one")
    monkeypatch.setattr(Path, "touch", full)
    async with store.changing([an_id()]):
        await store.delete(an_id())
    assert files_below(root) == set()


class TestFullDisk:
    async def test_refuses_below_the_reserve(self, root: Path) -> None:
        store = FileSystemImageStore(root, reserve_bytes=2**62)
        await store.open()
        with pytest.raises(StorageFullError, match=f"{2**62:,}.*reserve"):
            await store.put(an_id(), original=b"one", thumbnail=b"small one")
        with pytest.raises(StorageFullError):
            await store.require_room(1)
        assert files_below(root) == set()

    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
    @pytest.mark.parametrize("failing_call", [1, 2])
    async def test_full_while_writing(
        self,
        store: FileSystemImageStore,
        root: Path,
        monkeypatch: pytest.MonkeyPatch,
        code: int,
        failing_call: int,
    ) -> None:
        calls = iter(range(1, 10))

        def full(_: int) -> None:
            if next(calls) == failing_call:
                raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "fsync", full)  # where a file system with delayed allocation notices
        with pytest.raises(StorageFullError, match=str(root)):
            await store.put(an_id(), original=b"one", thumbnail=b"small one")
        assert files_below(root) == set()

    async def test_other_failures_keep_their_name_and_leave_nothing_either(
        self, store: FileSystemImageStore, root: Path
    ) -> None:
        obstacle = root / "originals" / str(an_id())[:2] / str(an_id())
        obstacle.mkdir()  # the second rename fails
        with pytest.raises(IsADirectoryError):
            await store.put(an_id(), original=b"one", thumbnail=b"small one")
        obstacle.rmdir()
        assert files_below(root) == set()
        with pytest.raises(ImageNotFoundError):
            await store.thumbnail(an_id())


class TestUnusableRoot:
    async def test_a_file_in_its_place(self, tmp_path: Path) -> None:
        taken = tmp_path / "taken"
        taken.write_bytes(b"")
        for root in (taken, taken / "below"):
            with pytest.raises(ConfigurationError, match=str(root)):
                await FileSystemImageStore(root, reserve_bytes=0).open()

    async def test_whose_it_should_be_is_told(self, tmp_path: Path) -> None:
        # In a container nobody knows by heart as whom the process runs, and a mounted directory has to be its own.
        (tmp_path / "taken").write_bytes(b"")
        with pytest.raises(ConfigurationError, match=f"uid {os.geteuid()}"):
            await FileSystemImageStore(tmp_path / "taken", reserve_bytes=0).open()


async def test_durable_before_it_is_visible(
    store: FileSystemImageStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is synchronised before it has its name, and the folder of that name before `put` returns."""
    synchronised: list[str] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        inode = os.fstat(descriptor).st_ino
        path = next(path for path in root.rglob("*") if path.stat().st_ino == inode)
        synchronised.append(str(path.relative_to(root).parent))
        visible = {path for path in files_below(root) if "incoming" not in path}
        assert bool(visible) is (len(synchronised) > 2)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    await store.put(an_id(), original=b"one", thumbnail=b"small one")
    assert synchronised == ["thumbnails/incoming", "originals/incoming", "thumbnails", "originals"]
