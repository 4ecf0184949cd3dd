"""The files of pictures, where other processes write them too."""

import asyncio
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from adapters.stores.file_system_image_store import FileSystemImageStore
from domain.images import sha256_of


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
    from domain.images import sha256_of

    async def main():
        store = FileSystemImageStore(Path(sys.argv[1]), reserve_bytes=0)
        await store.open()
        number = 0
        while True:
            content = number.to_bytes(8, "big") * 20_000
            sha256 = sha256_of(content)
            await store.put(sha256, original=content, thumbnails={384: content[:800]})
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
        assert await store.original(sha256_of(content)) == content
        assert await store.thumbnail(sha256_of(content), 384) == content[:800]
    sizes = {path.stat().st_size for path in root.rglob("*/??/*")}
    assert sizes == {160_000, 800}


PURGER = """
    import asyncio, sys
    from pathlib import Path
    from adapters.stores.file_system_image_store import FileSystemImageStore
    from application.shared_originals import SharedOriginals
    from domain.images import sha256_of

    CONTENT = b"hat" * 10_000
    SHA256 = sha256_of(CONTENT)

    class Records:
        \"""Empty files, which several processes see alike: each names the picture.\"""

        def __init__(self, folder):
            self.folder = folder

        async def named(self, sha256s):
            return set(sha256s) if any(self.folder.iterdir()) else set()

    async def main(root, name):
        store = FileSystemImageStore(root / "images", reserve_bytes=0)
        await store.open()
        records, own = Records(root / "records"), root / "records" / name
        originals = SharedOriginals(store=store, repository=records)
        for _ in range(60):
            await store.put(SHA256, original=CONTENT, thumbnails={384: CONTENT[:800]})
            own.touch()
            await originals.confirm({SHA256: CONTENT})
            for _ in range(3):
                assert await store.original(SHA256) == CONTENT
                await asyncio.sleep(0)
            own.unlink()
            await originals.purge([SHA256])

    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


async def test_several_processes_put_and_purge_the_same_picture(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", textwrap.dedent(PURGER), str(tmp_path), str(number))
        for number in range(3)
    ]
    assert [await process.wait() for process in processes] == [0, 0, 0]
    left = [path for path in (tmp_path / "images").rglob("*") if path.is_file()]
    marks = list((tmp_path / "images" / "doomed").iterdir())
    assert (left, marks) == ([], [])
