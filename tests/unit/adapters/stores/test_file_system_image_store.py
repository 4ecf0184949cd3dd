import asyncio
import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from adapters.stores import change_notes
from adapters.stores.file_system_image_store import FileSystemImageStore
from domain.errors import BusyError, ConfigurationError, ImageNotFoundError, StorageFullError
from domain.images import ContentHash
from tests.contracts.image_store import ImageStoreContract, an_id


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
    with pytest.raises(RuntimeError):
        async with patient.changing([an_id(1)]):
            raise RuntimeError
    async with patient.paused() as interrupted:
        assert list(interrupted) == []
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


WRITER = """
    import asyncio, sys
    from pathlib import Path
    from adapters.stores.file_system_image_store import FileSystemImageStore
    from domain.images import ContentHash

    async def main():
        store = FileSystemImageStore(Path(sys.argv[1]), reserve_bytes=0)
        await store.open()
        number = 0
        while True:
            content = number.to_bytes(8, "big") * 20_000
            id_ = ContentHash.of(content).image_id
            await store.put(id_, original=content, thumbnail=content[:800])
            print(number, flush=True)
            number += 1

    asyncio.run(main())
"""


def killed_while_writing(root: Path) -> list[int]:
    """The numbers of the pictures that a process acknowledged before it was killed."""
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline()) for _ in range(20)]
        writer.kill()
        return acknowledged + [int(line) for line in writer.stdout]


async def test_a_killed_writer_loses_nothing_acknowledged_and_shows_nothing_partial(root: Path) -> None:
    acknowledged = await asyncio.to_thread(killed_while_writing, root)
    store = FileSystemImageStore(root, reserve_bytes=0)
    await store.open()
    for number in acknowledged:
        content = number.to_bytes(8, "big") * 20_000
        assert await store.original(ContentHash.of(content).image_id) == content
        assert await store.thumbnail(ContentHash.of(content).image_id) == content[:800]
    sizes = {(root / name).stat().st_size for name in files_below(root)}
    assert sizes == {160_000, 800}


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
