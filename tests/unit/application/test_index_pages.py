from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.stores.directory_backup_archive import DirectoryBackupArchive
from application.back_up import BackUp
from application.describe_again import DescribeAgain
from application.index_pages import pages_of
from application.progress import Progress
from application.reindex_objects import ReindexObjects
from domain.filters import AnyOf, Field, Filter
from domain.listing import ImagePage
from tests.fakes import records_of
from tests.unit.application.workshop import Workshop, an_upload


def backing_up(workshop: Workshop, directory: Path) -> AsyncIterator[Progress]:
    return BackUp(repository=workshop.repository, store=workshop.store)(DirectoryBackupArchive(directory / "backup"))


def detecting(workshop: Workshop, _: Path) -> AsyncIterator[Progress]:
    describe_again = DescribeAgain(
        store=workshop.store, decoder=workshop.decoder, describe=workshop.describe, repository=workshop.repository
    )
    run = ReindexObjects(
        describe_again=describe_again,
        originals=workshop.originals,
        describe=workshop.describe,
        repository=workshop.repository,
        locks=workshop.locks,
    )
    return run()


@pytest.mark.parametrize("count", [0, 1, 4, 5])
async def test_pages_have_every_image_once_and_are_never_empty(workshop: Workshop, count: int) -> None:
    await workshop.index(*(an_upload(f"picture {n}".encode(), metadata={"even": n % 2 == 0}) for n in range(count)))
    everything = await records_of(workshop.repository)

    pages = [page async for page in pages_of(workshop.repository, page_size=2)]
    assert [record for page in pages for record in page.items] == everything
    assert all(page.items and page.total == count for page in pages)

    even = Filter(all=(AnyOf(Field("metadata.even"), (True,)),))
    found = [record async for page in pages_of(workshop.repository, where=even) for record in page.items]
    assert found == [record for record in everything if record.metadata["even"]]


@pytest.mark.parametrize("run", [backing_up, detecting])
async def test_long_runs_count_seldom_and_work_in_small_groups(
    workshop: Workshop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[[Workshop, Path], AsyncIterator[Progress]],
) -> None:
    await workshop.index(*(f"picture {n}".encode() for n in range(120)))
    read, listed = workshop.repository.list, 0

    async def counted(**options: Any) -> ImagePage:
        nonlocal listed
        listed += 1
        return await read(**options)

    monkeypatch.setattr(workshop.repository, "list", counted)
    done = [step.done async for step in run(workshop, tmp_path)]
    assert listed == 1
    assert len(done) > 2
    assert done[-1] == 120
