import asyncio
import errno
import os
import shutil
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from adapters.stores.data_format import FORMAT
from adapters.stores.file_system_image_store import FileSystemImageStore
from domain.errors import ConfigurationError, Remedy, StorageFullError
from tests.contracts.image_store import ImageStoreContract, a_sha256


def failing_with(number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def files_below(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


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
    await store.put(a_sha256(), original=b"one", thumbnails={384: b"small one"})
    name = a_sha256()
    assert files_below(root) == {f"originals/{name[:2]}/{name}", f"thumbnails/384/{name[:2]}/{name}"}


async def test_open_removes_what_an_interrupted_write_left(store: FileSystemImageStore, root: Path) -> None:
    await store.put(a_sha256(), original=b"one", thumbnails={384: b"small one"})
    whole = files_below(root)
    for name in ("originals/incoming/tmpabc", "thumbnails/384/incoming/tmpdef", "incoming/mark/1"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"half an ori")
    for path in ("originals/incoming/tmpabc", "thumbnails/384/incoming/tmpdef", "incoming/mark"):
        os.utime(root / path, (0, 0))
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
    await store.put(a_sha256(), original=b"one", thumbnails={384: b"small one"})
    assert await store.thumbnail(a_sha256(), 384) == b"small one"


async def test_a_taken_over_mark_is_renewed(store: FileSystemImageStore, root: Path) -> None:
    await store.mark(a_sha256())
    os.utime(root / "doomed" / a_sha256(), (0, 0))
    marks = await store.marks(older_than=timedelta(minutes=15))
    assert marks == {a_sha256(): datetime.fromtimestamp(0, UTC)}
    assert await store.remark(a_sha256(), marks[a_sha256()])
    assert await store.marks(older_than=timedelta(minutes=15)) == {}
    os.utime(root / "doomed" / a_sha256() / "1", (60, 60))
    marks = await store.marks(older_than=timedelta(minutes=15))
    assert marks == {a_sha256(): datetime.fromtimestamp(60, UTC)}
    assert await store.remark(a_sha256(), marks[a_sha256()])
    await store.unmark(a_sha256())
    assert files_below(root) == set()


async def test_a_mark_that_was_removed_and_made_anew_meanwhile_is_not_taken_over(
    store: FileSystemImageStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.mark(a_sha256())
    [at] = (await store.marks(older_than=timedelta(0))).values()
    really = os.fstat
    others = [lambda: asyncio.run(store.unmark(a_sha256())), lambda: asyncio.run(store.mark(a_sha256()))]

    def after_others(descriptor: int) -> os.stat_result:
        status = really(descriptor)
        while others:
            others.pop(0)()
        return status

    monkeypatch.setattr(os, "fstat", after_others)
    assert not await store.remark(a_sha256(), at)
    assert set(await store.marked([a_sha256()])) == {a_sha256()}


async def test_a_mark_of_a_time_to_come_is_old(store: FileSystemImageStore, root: Path) -> None:
    await store.mark(a_sha256())
    later = time.time() + 3600
    os.utime(root / "doomed" / a_sha256(), (later, later))
    assert set(await store.marks(older_than=timedelta(minutes=15))) == {a_sha256()}


async def test_files_that_are_none_of_the_stores_are_left_alone(store: FileSystemImageStore, root: Path) -> None:
    (root / "originals" / "ab" / "shopping").write_text("milk")
    (root / "doomed" / "bin").write_text("milk")
    assert await store.marks(older_than=timedelta(0)) == {}
    assert [sha256 async for some in store.stored() for sha256 in some] == []


async def test_another_index_is_told_how_to_have_the_pictures(store: FileSystemImageStore, root: Path) -> None:
    await asyncio.gather(*(store.claim(UUID(int=1)) for _ in range(8)))
    with pytest.raises(ConfigurationError, match=f"{UUID(int=1)}.*{UUID(int=2)}.*remove {root / 'index'}"):
        await store.claim(UUID(int=2))
    assert [path.name for path in (root / "index").iterdir()] == [str(UUID(int=1))]
    shutil.rmtree(root / "index")
    await store.claim(UUID(int=2))


async def test_a_claim_that_cannot_be_made_is_told(
    store: FileSystemImageStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "touch", failing_with(errno.EIO))
    with pytest.raises(ConfigurationError, match=f"{root / 'index'} is damaged, or cannot be written"):
        await store.claim(UUID(int=1))


class TestFormat:
    @pytest.fixture
    def written(self, root: Path) -> Path:
        return root.parent / "format"

    async def test_a_new_data_directory_says_it(self, store: FileSystemImageStore, written: Path) -> None:
        assert written.read_text() == f"{FORMAT}\n"
        assert sorted(path.name for path in written.parent.iterdir()) == ["format", "images"]

    async def test_one_without_it_is_of_this_format_if_its_files_are(
        self, store: FileSystemImageStore, root: Path, written: Path
    ) -> None:
        await store.put(a_sha256(), original=b"one", thumbnails={384: b"small one"})
        written.unlink()
        again = FileSystemImageStore(root, reserve_bytes=0)
        await again.open()
        assert written.read_text() == f"{FORMAT}\n"
        assert await again.original(a_sha256()) == b"one"

    @pytest.mark.parametrize("said", [b"1\n", None])
    async def test_an_older_one_with_pictures_is_refused_and_left_as_it_is(
        self, root: Path, written: Path, said: bytes | None
    ) -> None:
        picture = root / "originals" / "6f" / str(UUID(int=1))
        picture.parent.mkdir(parents=True)
        picture.write_bytes(b"one")
        if said is not None:
            written.write_bytes(said)
        before = files_below(root.parent)
        with pytest.raises(ConfigurationError, match="format 1") as caught:
            await FileSystemImageStore(root, reserve_bytes=0).open()
        assert caught.value.remedy is Remedy.CARRY_OVER_THE_OLDER_FORMAT
        assert files_below(root.parent) == before

    async def test_an_older_one_without_pictures_becomes_this_one(self, root: Path, written: Path) -> None:
        (root / "originals" / "6f").mkdir(parents=True)
        written.write_bytes(b"1\n")
        await FileSystemImageStore(root, reserve_bytes=0).open()
        assert written.read_text() == f"{FORMAT}\n"

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
        await store.put(a_sha256(), original=b"one", thumbnails={384: b"small one"})
        written.unlink()
        really = os.fsync

        def failing(descriptor: int) -> None:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(code, os.strerror(code))
            really(descriptor)

        monkeypatch.setattr(os, "fsync", failing)
        again = FileSystemImageStore(root, reserve_bytes=0)
        await again.open()
        assert await again.original(a_sha256()) == b"one"
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


class TestFullDisk:
    async def test_refuses_below_the_reserve(self, root: Path) -> None:
        store = FileSystemImageStore(root, reserve_bytes=2**62)
        await store.open()
        with pytest.raises(StorageFullError, match=f"{2**62:,}.*reserve"):
            await store.put(a_sha256(), original=b"one", thumbnails={384: b"small one"})
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
            await store.put(a_sha256(), original=b"one", thumbnails={384: b"small one"})
        assert files_below(root) == set()

    async def test_other_failures_keep_their_name(self, store: FileSystemImageStore, root: Path) -> None:
        (root / "originals" / a_sha256()[:2] / a_sha256()).mkdir()  # the second rename fails
        with pytest.raises(IsADirectoryError):
            await store.put(a_sha256(), original=b"one", thumbnails={384: b"small one"})
        assert {name for name in files_below(root) if "incoming" in name} == set()

    async def test_a_mark_for_which_there_is_no_room(
        self, store: FileSystemImageStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.mark(a_sha256(1))
        [at] = (await store.marks(older_than=timedelta(0))).values()
        monkeypatch.setattr(Path, "mkdir", failing_with(errno.ENOSPC))
        monkeypatch.setattr(os, "open", failing_with(errno.ENOSPC))
        with pytest.raises(StorageFullError):
            await store.mark(a_sha256(2))
        with pytest.raises(StorageFullError):
            await store.remark(a_sha256(1), at)


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
    await store.put(a_sha256(), original=b"one", thumbnails={384: b"small one"})
    assert synchronised == ["thumbnails/384/incoming", "originals/incoming", "thumbnails/384", "originals"]
