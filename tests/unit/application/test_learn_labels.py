"""What is learnt of labels, and when it is learnt anew."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from application import learn_labels
from application.learn_labels import LearnLabels
from domain.embeddings import Embedding, normalised
from domain.errors import TooFewLabelsError
from domain.filters import Field
from domain.images import IndexedImage
from tests.builders import EPOCH, a_record, an_embedding, an_image, some_embeddings
from tests.unit.application.workshop import TYPES, Workshop

KIND = Field("metadata.kind")
LATER = EPOCH + timedelta(days=365)


class Watch:
    """A clock that stands still unless it is set."""

    seconds = 0.0


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def learn(workshop: Workshop, watch: Watch) -> LearnLabels:
    return LearnLabels(
        repository=workshop.repository,
        types=TYPES,
        seconds=lambda: watch.seconds,
        now=lambda: EPOCH + timedelta(days=1),
    )


def labelled(counts: Sequence[int], *, start: int = 0, **changes: Any) -> list[IndexedImage]:
    """So many pictures of each kind."""
    kinds = [kind for kind, count in enumerate(counts) for _ in range(count)]
    return [an_image(start + number, metadata={"kind": f"kind {kind}"}, **changes) for number, kind in enumerate(kinds)]


def along(axis: int, share: float, seed: int) -> Embedding:
    """Mostly noise that all kinds share, and a little of one axis."""
    return normalised(share * np.eye(16)[axis] + an_embedding(seed))


async def test_what_tells_values_apart_counts(workshop: Workshop, learn: LearnLabels) -> None:
    images = [
        an_image(number, embedding=along(number % 2, 0.8, number), metadata={"kind": f"kind {number % 2}"})
        for number in range(200)
    ]
    await workshop.repository.upsert(images)
    space = await learn.space_of(KIND)
    query = along(0, 0.8, 1000)
    added = space.similarities(query, np.stack([along(number % 2, 0.8, 2000 + number) for number in range(100)]))
    assert added[::2].mean() > 0.2
    assert added[1::2].mean() < -0.2
    assert np.abs(added).max() <= 0.49 + 1e-6


@pytest.mark.parametrize(("counts", "says"), [([], "0 have"), ([9, 4], "1 has"), ([4, 4, 4], "0 have")])
async def test_too_few_labels_are_told(
    workshop: Workshop, learn: LearnLabels, counts: Sequence[int], says: str
) -> None:
    await workshop.repository.upsert(labelled(counts))
    with pytest.raises(TooFewLabelsError, match=says):
        await learn.space_of(KIND)
    await workshop.repository.upsert(labelled([5, 5], start=100))
    await learn.space_of(KIND)


async def test_a_key_is_learnt_anew_when_a_tenth_has_changed(
    workshop: Workshop, learn: LearnLabels, watch: Watch
) -> None:
    await workshop.repository.upsert(labelled([20, 20]))
    first = await learn.space_of(KIND)
    await workshop.repository.update([a_record(n, metadata={"kind": "kind 1"}, updated_at=LATER) for n in range(3)])
    watch.seconds = 11.0
    assert await learn.space_of(KIND) is first
    await workshop.repository.update([a_record(3, metadata={"kind": "kind 1"}, updated_at=LATER)])
    watch.seconds = 20.0
    assert await learn.space_of(KIND) is first  # asked nine seconds ago
    watch.seconds = 22.0
    assert await learn.space_of(KIND) is not first


async def test_deleted_pictures_are_changes(workshop: Workshop, learn: LearnLabels, watch: Watch) -> None:
    images = labelled([20, 20])
    await workshop.repository.upsert(images)
    first = await learn.space_of(KIND)
    await workshop.repository.delete([image.record.id for image in images[:4]])
    watch.seconds = 11.0
    assert await learn.space_of(KIND) is not first


async def test_what_was_learnt_goes_with_the_labels(workshop: Workshop, learn: LearnLabels, watch: Watch) -> None:
    images = labelled([6, 6])
    await workshop.repository.upsert(images)
    await learn.space_of(KIND)
    await workshop.repository.delete([image.record.id for image in images])
    for watch.seconds in (11.0, 12.0, 25.0):
        with pytest.raises(TooFewLabelsError):
            await learn.space_of(KIND)
    await workshop.repository.upsert(labelled([5, 5], start=100))
    await learn.space_of(KIND)


async def test_one_caller_waits_for_what_is_learnt_anew(workshop: Workshop, learn: LearnLabels, watch: Watch) -> None:
    await workshop.repository.upsert(labelled([20, 20]))
    first = await learn.space_of(KIND)
    await workshop.repository.upsert(labelled([5, 5], start=100, updated_at=LATER))
    watch.seconds = 11.0
    new, *others = await asyncio.gather(*(learn.space_of(KIND) for _ in range(4)))
    assert new is not first
    assert all(other is first for other in others)
    assert await learn.space_of(KIND) is new


async def test_all_callers_wait_for_the_first_that_is_learnt(workshop: Workshop, learn: LearnLabels) -> None:
    await workshop.repository.upsert(labelled([20, 20]))
    assert len(set(map(id, await asyncio.gather(*(learn.space_of(KIND) for _ in range(4)))))) == 1


async def test_equal_pictures_tell_nothing_apart(workshop: Workshop, learn: LearnLabels) -> None:
    await workshop.repository.upsert(labelled([5, 5], embedding=an_embedding(1)))
    space = await learn.space_of(KIND)
    assert np.abs(space.similarities(an_embedding(2), some_embeddings(3))).max() < 1e-3


async def test_no_more_is_read_than_is_needed(
    workshop: Workshop, learn: LearnLabels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learn_labels, "MOST_PICTURES", 20)
    monkeypatch.setattr(learn_labels, "MOST_VALUES", 2)
    await workshop.repository.upsert(labelled([30, 20, 40]))
    read: list[int] = []
    embeddings = workshop.repository.embeddings

    async def counted(ids: Any) -> Any:
        read.append(len(ids))
        return await embeddings(ids)

    workshop.repository.embeddings = counted  # type: ignore[method-assign]
    await learn.space_of(KIND)
    assert read == [10, 10]
