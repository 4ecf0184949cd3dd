"""The files of pictures, where other processes write them too."""

import asyncio
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from adapters.stores.file_system_image_store import FileSystemImageStore
from domain.callers import Deadline, within
from domain.errors import DeadlinePassedError
from domain.images import ImageId, id_of_content, sha256_of
from tests.contracts.image_store import an_id


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
async def store(root: Path) -> FileSystemImageStore:
    store = FileSystemImageStore(root, reserve_bytes=0)
    await store.open()
    return store


WRITER = """
    import asyncio, sys
    from pathlib import Path
    from adapters.stores.file_system_image_store import FileSystemImageStore
    from domain.images import id_of_content, sha256_of

    async def main():
        store = FileSystemImageStore(Path(sys.argv[1]), reserve_bytes=0)
        await store.open()
        number = 0
        while True:
            content = number.to_bytes(8, "big") * 20_000
            id_ = id_of_content(sha256_of(content))
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
        assert await store.original(id_of_content(sha256_of(content))) == content
        assert await store.thumbnail(id_of_content(sha256_of(content))) == content[:800]
    sizes = {path.stat().st_size for path in root.rglob("*/??/*")}
    assert sizes == {160_000, 800}


CHANGER = """
    import asyncio, sys
    from pathlib import Path
    from uuid import UUID
    from adapters.stores.file_system_image_store import FileSystemImageStore

    async def main():
        store = FileSystemImageStore(Path(sys.argv[1]), reserve_bytes=0)
        await store.open()
        async with store.changing([UUID(id_) for id_ in sys.argv[2:]]):
            print("changing", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
        print("done", flush=True)
        await asyncio.to_thread(sys.stdin.readline)

    asyncio.run(main())
"""


@contextmanager
def a_process_changing(root: Path, *ids: ImageId) -> Iterator[subprocess.Popen[str]]:
    """It ends the change when it is sent a line, and itself when it is sent another."""
    command = [sys.executable, "-c", textwrap.dedent(CHANGER), str(root), *map(str, ids)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "changing\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("end", ["it ends its change", "it is killed"])
async def test_one_process_at_a_time_changes_an_image(store: FileSystemImageStore, root: Path, end: str) -> None:
    async def change(*numbers: int) -> None:
        async with store.changing([an_id(number) for number in numbers]):
            pass

    with a_process_changing(root, an_id(1), an_id(2)) as other:
        await change(3)
        with within(Deadline(time.monotonic() + 0.1)), pytest.raises(DeadlinePassedError):
            await change(3, 2)
        waiting = asyncio.create_task(change(0, 1, 2))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        if end == "it is killed":
            other.kill()
        else:
            assert other.stdin is not None
            assert other.stdout is not None
            other.stdin.write("\n")
            assert await asyncio.to_thread(other.stdout.readline) == "done\n"
        async with asyncio.timeout(30):
            await waiting
