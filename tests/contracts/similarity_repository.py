"""What the port SimilarityRepository promises, as tests that every adapter passes.

A subclass overrides the fixture `fresh` and, where its backend needs it, the class attributes.
"""

import asyncio
import dataclasses
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from domain import callers
from domain.embeddings import Embedding
from domain.errors import (
    ConfigurationError,
    DeadlinePassedError,
    EmbeddingSpaceError,
    InvalidFilterError,
    Remedy,
)
from domain.filters import EVERYTHING, NUMBER_FIELDS, TEXT_FIELDS, TIME_FIELDS, Field, Filter
from domain.images import ImageId, ImageRecord, IndexedImage, Match
from domain.listing import NEWEST_FIRST, Cursor, Order
from domain.metadata import MetadataType
from domain.ports.similarity_repository import SimilarityRepository
from domain.search import MAX_WINDOW
from tests.builders import (
    EPOCH,
    a_query,
    a_record,
    a_space,
    an_appearance,
    an_embedding,
    an_id,
    an_image,
    an_object,
    indexed,
)
from tests.contracts.arranged_searches import ArrangedSearchesContract
from tests.contracts.repository_cases import (
    DECLARED,
    LABELS,
    LABELS_FACET,
    MICROSECOND,
    ODD_KEYS,
    OTHER_SPACE,
    SPACE,
    TIMES,
    VALUES,
    ZOO,
    an_oracle,
    at_cosine,
    begins,
    condition,
    filters,
    ids,
    scores_of,
    where,
    with_copies,
    words,
)
from tests.contracts.similarity_repository_objects import SimilarityRepositoryObjectsContract

UNFIT: dict[str, Embedding] = {
    "too short": np.ones(15, np.float32) / np.float32(15**0.5),
    "a matrix": np.ones((1, 16), np.float32) / np.float32(4),
    "not a number": np.full(16, np.nan, np.float32),
    "infinite": np.array([np.inf] + [0.0] * 15, np.float32),
    "zero": np.zeros(16, np.float32),
    "of length 4": np.ones(16, np.float32),
}


class SimilarityRepositoryContract(SimilarityRepositoryObjectsContract, ArrangedSearchesContract):
    """Every promise of the port, and what searches make of it."""

    score_tolerance: float = 1e-3
    """How far a score may be from the exact cosine."""
    deep_images: int = 3_000
    """How many images the deep windows are drawn from."""

    @pytest.fixture
    def fresh(self) -> SimilarityRepository:
        """A repository that has not been opened, over storage in which there is nothing."""
        raise NotImplementedError("The subclass gives the adapter under test.")

    @pytest.fixture
    async def repository(self, fresh: SimilarityRepository) -> AsyncIterator[SimilarityRepository]:
        await fresh.open(SPACE)
        yield fresh
        await fresh.close()

    @pytest.fixture
    async def zoo(self, repository: SimilarityRepository) -> SimilarityRepository:
        """The repository with the odd records."""
        images = [indexed(record, embedding=an_embedding(row)) for row, record in enumerate(ZOO)]
        await repository.upsert(images)
        return repository

    # Opening and closing

    async def test_opening_nothing_without_a_space_says_so(self, fresh: SimilarityRepository) -> None:
        with pytest.raises(ConfigurationError, match="no index"):
            await fresh.open(None)
        await fresh.close()

    async def test_close_is_safe_without_open_and_twice(self, fresh: SimilarityRepository) -> None:
        await fresh.close()
        await fresh.open(SPACE)
        await fresh.close()
        await fresh.close()

    async def test_a_new_index_is_empty_and_knows_its_space(self, repository: SimilarityRepository) -> None:
        assert repository.space == SPACE
        assert await repository.count() == 0
        assert await repository.nearest(a_query(an_embedding(), limit=10)) == []
        page = await repository.list(limit=10)
        assert (page.items, page.next_cursor, page.total) == ((), None, 0)
        assert await repository.facet(*LABELS_FACET) == {}
        status = await repository.status()
        assert (status.images, status.objects) == (0, 0)

    async def test_appearances_are_kept(self, repository: SimilarityRepository) -> None:
        images = [an_image(1, appearance=an_appearance(1)), an_image(2, appearance=an_appearance(2, low_detail=True))]
        await repository.upsert([*images, an_image(3)])
        await repository.update([a_record(1, metadata={"brand": "acme"})])

        records = await repository.get([an_id(number) for number in (1, 2, 3)])

        expected = {an_id(1): an_appearance(1), an_id(2): an_appearance(2, low_detail=True), an_id(3): None}
        assert {id_: record.appearance for id_, record in records.items()} == expected

    async def test_what_was_stored_is_there_after_opening_again(self, repository: SimilarityRepository) -> None:
        stored = an_image(1, metadata={"brand": "acme", "tags": ["a", "b"]}, objects=(an_object(),))
        await repository.upsert([stored, an_image(2)])
        await repository.close()
        await repository.open(None)
        assert repository.space == SPACE
        assert await repository.get([an_id(1)]) == {an_id(1): stored.record}
        assert await repository.count() == 2
        await repository.close()
        await repository.open(SPACE)
        assert await repository.count() == 2
        assert await repository.count(where("metadata.tags", eq="b")) == 1

    async def test_another_space_is_refused_with_what_to_do(self, repository: SimilarityRepository) -> None:
        await repository.upsert([an_image(1)])
        await repository.close()
        with pytest.raises(EmbeddingSpaceError) as caught:
            await repository.open(OTHER_SPACE)
        assert caught.value.remedy is Remedy.REINDEX_EMBEDDINGS
        assert "test-model (stored) / other-model (encoder)" in str(caught.value)
        await repository.open(SPACE)
        assert await repository.count() == 1

    # Writing

    async def test_an_upsert_is_seen_by_every_read(self, repository: SimilarityRepository) -> None:
        stored = an_image(1, objects=(an_object("dog"),))
        await repository.upsert([stored])
        assert await repository.get([an_id(1)]) == {an_id(1): stored.record}
        assert (await repository.list(limit=10)).items == (stored.record,)
        assert await repository.count() == 1
        assert await repository.facet(*LABELS_FACET) == {"dog": 1}
        assert ids(await repository.nearest(a_query(stored.embedding, limit=1))) == [an_id(1)]
        assert (await repository.status()).images == 1

    async def test_an_upsert_replaces_record_and_embedding(self, repository: SimilarityRepository) -> None:
        await repository.upsert(
            [an_image(1, metadata={"old": 1, "both": "x"}, objects=(an_object("cat"),)), an_image(2)]
        )
        later = EPOCH + timedelta(days=1)
        replaced = an_image(1, embedding=an_embedding(99), metadata={"both": "y"}, created_at=later, filename="new.png")
        await repository.upsert([replaced])
        assert await repository.get([an_id(1)]) == {an_id(1): replaced.record}
        assert [record.id for record in (await repository.list(limit=10)).items] == [an_id(1), an_id(2)]
        assert await repository.count(where("metadata.old", exists=True)) == 0
        assert await repository.facet(*LABELS_FACET) == {}
        best = (await repository.nearest(a_query(an_embedding(99), limit=1)))[0]
        assert (best.image, best.score) == (replaced.record, pytest.approx(1.0, abs=self.score_tolerance))

    async def test_the_same_upsert_again_changes_nothing(self, repository: SimilarityRepository) -> None:
        images = [an_image(number) for number in range(5)]
        await repository.upsert(images)
        await repository.upsert(images)
        page = await repository.list(limit=10)
        assert page.total == 5
        assert page.items == tuple(image.record for image in reversed(images))

    async def test_an_empty_upsert_and_delete_do_nothing(self, repository: SimilarityRepository) -> None:
        await repository.upsert([])
        await repository.delete([])
        assert await repository.get([]) == {}
        assert await repository.embeddings([]) == {}
        assert await repository.count() == 0

    async def test_a_large_upsert_is_stored_whole(self, repository: SimilarityRepository) -> None:
        images = [an_image(number) for number in range(1_200)]
        await repository.upsert(images)
        assert await repository.count() == 1_200
        assert await repository.get([image.record.id for image in images]) == {
            image.record.id: image.record for image in images
        }

    async def test_an_unfit_embedding_is_refused_and_nothing_stored(self, repository: SimilarityRepository) -> None:
        for kind, unfit in UNFIT.items():
            with pytest.raises(ValueError, match="embedding"):
                await repository.upsert([an_image(1), an_image(2, embedding=unfit)])
            assert await repository.count() == 0, kind

    async def test_an_update_replaces_what_is_said_and_keeps_the_rest(self, repository: SimilarityRepository) -> None:
        stored = an_image(1, metadata={"gone": "x", "tags": ["a", "b"], "price": 3}, objects=(an_object("dog"),))
        await repository.upsert([stored, an_image(2, metadata={"gone": "x"})])
        await repository.update([a_record(1, metadata={"price": 4.5, "new.key": True})])
        expected = dataclasses.replace(stored.record, metadata={"price": 4.5, "new.key": True})
        assert await repository.get([an_id(1)]) == {an_id(1): expected}
        assert await repository.count(where("metadata.gone", exists=True)) == 1
        assert await repository.count(where("metadata.tags", eq="a")) == 0
        assert await repository.count(where("metadata.price", gt=4)) == 1
        assert await repository.count(where("labels", eq="dog")) == 1
        assert ids(await repository.nearest(a_query(stored.embedding, limit=1))) == [an_id(1)]
        await repository.update([a_record(1, metadata={})])
        assert (await repository.get([an_id(1)]))[an_id(1)].metadata == {}
        assert await repository.count(where("metadata.price", exists=True)) == 0

    async def test_an_update_answers_which_images_are_not_there(self, repository: SimilarityRepository) -> None:
        await repository.upsert([an_image(1)])
        assert set(await repository.update([a_record(1), a_record(2, metadata={"brand": "acme"})])) == {an_id(2)}
        assert list(await repository.update([])) == []
        assert await repository.count() == 1
        assert await repository.get([an_id(2)]) == {}

    async def test_many_are_updated_at_once(self, repository: SimilarityRepository) -> None:
        objects = [tuple(an_object(f"label {index}") for index in range(number % 3)) for number in range(700)]
        images = [an_image(number, key=f"a/{number}", objects=objects[number]) for number in range(700)]
        await repository.upsert(images)
        later = EPOCH + timedelta(days=9)
        changed = [
            dataclasses.replace(image.record, source=f"/x/{row}", updated_at=later, metadata={"n": row})
            for row, image in enumerate(images)
        ]
        assert list(await repository.update(changed)) == []
        assert await repository.get([record.id for record in changed]) == {record.id: record for record in changed}
        for number in (0, 1, 350, 698):
            assert await numbers_of(repository, where("metadata.n", eq=number), 700) == {number}
            assert await numbers_of(repository, words(f"a x {number}"), 700) >= {number}
        assert await repository.count(where("updated_at", eq=later)) == 700
        [match] = await repository.nearest_objects(
            a_query(images[5].object_embeddings[0], limit=1, where=where("metadata.n", eq=5))
        )
        assert (match.image, match.region) == (changed[5], changed[5].objects[0])

    async def test_an_update_takes_no_more_than_it_is_for(self, repository: SimilarityRepository) -> None:
        stored = an_image(1, key="a/hat", filename="hat.jpg", source="/old/hat.jpg", objects=(an_object("dog"),))
        await repository.upsert([stored])
        stale = a_record(1, key="other", filename="x", source=None, metadata={"n": 1}, updated_at=EPOCH)
        await repository.update([stale])
        expected = dataclasses.replace(stored.record, source=None, metadata={"n": 1}, updated_at=EPOCH)
        assert await repository.get([an_id(1)]) == {an_id(1): expected}
        for wanted, found in [("old", 0), ("hat", 1), ("x", 0)]:
            assert await repository.count(words(wanted)) == found
            matches = await repository.nearest_objects(a_query(an_embedding(), limit=1, where=words(wanted)))
            assert len(matches) == found

    async def test_delete_removes_and_passes_over_unknown_ids(self, repository: SimilarityRepository) -> None:
        await repository.upsert([an_image(number, objects=(an_object(f"label {number}"),)) for number in range(6)])
        await repository.delete({an_id(0), an_id(3), an_id(5), an_id(77)})
        await repository.delete([an_id(0)])
        left = [an_id(4), an_id(2), an_id(1)]
        assert [record.id for record in (await repository.list(limit=10)).items] == left
        assert await repository.count() == 3
        assert set(await repository.get([an_id(number) for number in range(6)])) == set(left)
        assert set(await repository.embeddings([an_id(number) for number in range(6)])) == set(left)
        assert set(ids(await repository.nearest(a_query(an_embedding(3), limit=10)))) == set(left)
        assert await repository.facet(*LABELS_FACET) == {"label 1": 1, "label 2": 1, "label 4": 1}
        await repository.upsert([an_image(3)])
        assert await repository.count() == 4

    async def test_overlapping_writes_and_queries_all_succeed(self, repository: SimilarityRepository) -> None:
        batches = [[an_image(10 * batch + number) for number in range(10)] for batch in range(30)]

        async def write_then_read(batch: list[IndexedImage]) -> None:
            await repository.upsert(batch)
            one = batch[0]
            assert one.record.id in await repository.get([one.record.id])
            assert ids(await repository.nearest(a_query(one.embedding, limit=1, exact=True))) == [one.record.id]
            await repository.update([dataclasses.replace(one.record, metadata={"first": True})])
            await repository.delete([batch[-1].record.id])

        await asyncio.gather(*map(write_then_read, batches))
        assert await repository.count() == 270
        assert await repository.count(where("metadata.first", eq=True)) == 30

    # Reading by id

    async def test_get_and_embeddings_leave_out_the_unknown(self, repository: SimilarityRepository) -> None:
        images = [an_image(number) for number in range(3)]
        await repository.upsert(images)
        assert set(await repository.get([an_id(0), an_id(9), an_id(2), an_id(2)])) == {an_id(0), an_id(2)}
        stored = await repository.embeddings({an_id(1), an_id(9)})
        assert set(stored) == {an_id(1)}
        assert stored[an_id(1)].shape == (16,)
        assert stored[an_id(1)].dtype == np.float32
        np.testing.assert_allclose(stored[an_id(1)], images[1].embedding, atol=1e-6)

    async def test_records_come_back_as_they_were(self, repository: SimilarityRepository) -> None:
        objects = (
            an_object("dog", score=0.1, x=0.0),
            an_object("dog", score=1.0, x=1 / 3),
            an_object("traffic light 🚦", score=0.0),
        )
        stored = [
            an_image(1, objects=objects, metadata={"int": 1, "float": 1.0, "bool": True, "text": "1", "none": []}),
            an_image(2, metadata=dict(zip(ODD_KEYS, VALUES, strict=False))),
            an_image(3, metadata={"big": 2**53 - 1, "small": -(2**53) + 1, "e": 1e300, "tiny": 5e-324, "third": 1 / 3}),
            an_image(4, created_at=EPOCH + MICROSECOND, width=1, height=30_000, size_bytes=2**40),
            an_image(5, filename="日本/..\\ü \"'\n\t🙂%00" * 300, metadata={"x": "é🙂\u0000\n" * 1_600}),
            an_image(6, filename="", metadata={f"key {number}": "ж" * 100 for number in range(64)}),
        ]
        await repository.upsert(stored)
        found = await repository.get([image.record.id for image in stored])
        for image in stored:
            assert found[image.record.id] == image.record
            for key, value in image.record.metadata.items():
                assert type(found[image.record.id].metadata[key]) is type(value), key

    async def test_what_was_stored_does_not_change_with_the_callers_objects(
        self, repository: SimilarityRepository
    ) -> None:
        metadata, embedding = {"tags": ["a"]}, an_embedding(1)
        await repository.upsert([an_image(1, metadata=metadata, embedding=embedding)])
        metadata["tags"].append("b")
        embedding[:] = 0.0
        assert (await repository.get([an_id(1)]))[an_id(1)].metadata == {"tags": ["a"]}
        np.testing.assert_allclose((await repository.embeddings([an_id(1)]))[an_id(1)], an_embedding(1), atol=1e-6)

    async def test_which_contents_are_named(self, repository: SimilarityRepository) -> None:
        images = [an_image(number, objects=(an_object(),)) for number in range(1_100)]
        await repository.upsert(images)
        sha256s = [image.record.sha256 for image in images]
        absent = [a_record(number).sha256 for number in (5_000, 5_001)]
        assert set(await repository.named([*sha256s, *absent])) == set(sha256s)
        assert set(await repository.named([sha256s[7], absent[0]])) == {sha256s[7]}
        assert set(await repository.named([])) == set()
        await repository.delete([an_id(7)])
        assert set(await repository.named([sha256s[7]])) == set()
        same = a_record(7).sha256
        new = await repository.replacement(OTHER_SPACE)
        assert set(await repository.named([same, sha256s[8]])) == {sha256s[8]}
        await new.upsert([an_image(7, dimension=8)])
        assert set(await repository.named([same, sha256s[8]])) == {same, sha256s[8]}
        await repository.promote(new)
        await repository.open(OTHER_SPACE)
        assert set(await repository.named([same, sha256s[8]])) == {same}

    # Listing

    @pytest.mark.parametrize("limit", [1, 2, 5, 40])
    @pytest.mark.parametrize("is_descending", [False, True])
    async def test_listing_by_each_order(
        self, repository: SimilarityRepository, is_descending: bool, limit: int
    ) -> None:
        chance = random.Random(5)
        numbers = [
            0,
            -0.0,
            1,
            1.0,
            2,
            2.5,
            -3,
            19.99,
            19.990000000000002,
            2**53 - 1,
            1e300,
            5e-324,
            "text",
            True,
            ["x"],
        ]
        times = ["2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "2025-12-31t23:59:59z", "9999-12-31T00:00:00Z", 7]
        times += ["0001-01-01T00:00:00Z", "9999-12-31T00:00:00.000001Z", "soon"]
        images = [
            an_image(
                number,
                created_at=chance.choice(TIMES),
                updated_at=chance.choice(TIMES),
                metadata={"n": chance.choice(numbers), "t": chance.choice(times)} if number % 5 else {},
            )
            for number in range(60)
        ]
        await repository.upsert(images)
        records = [image.record for image in images]
        for order in (
            Order(Field("created_at"), is_descending),
            Order(Field("updated_at"), is_descending),
            Order(Field("metadata.n"), is_descending, is_of_times=False),
            Order(Field("metadata.t"), is_descending),
        ):
            for wanted in (EVERYTHING, where("updated_at", gt=TIMES[3])):
                expected = order.arranged(record for record in records if wanted.matches(record))
                listed: list[ImageRecord] = []
                cursor: Cursor | None = None
                while True:
                    page = await repository.list(limit=limit, after=cursor, where=wanted, order_by=order)
                    assert page.total == len(expected)
                    assert len(page.items) == limit or page.next_cursor is None
                    listed += page.items
                    cursor = page.next_cursor
                    if cursor is None:
                        break
                assert listed == expected

    async def test_a_listing_by_metadata_survives_writes_between_its_pages(
        self, repository: SimilarityRepository
    ) -> None:
        order = Order(Field("metadata.n"), is_descending=False, is_of_times=False)
        await repository.upsert([an_image(number, metadata={"n": number // 9}) for number in range(60)])
        chance = random.Random(3)
        deleted: set[ImageId] = set()
        seen: list[ImageId] = []
        cursor: Cursor | None = None
        for turn in range(100):
            page = await repository.list(limit=4, after=cursor, order_by=order)
            seen += [record.id for record in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
            doomed = {cursor.id, an_id(chance.randrange(60))}
            deleted |= doomed
            await repository.delete(doomed)
            await repository.upsert([an_image(1_000 + turn, metadata={"n": chance.randrange(7)})])
        assert cursor is None
        assert len(seen) == len(set(seen))
        assert {an_id(number) for number in range(60)} - deleted <= set(seen)

    async def test_listing_is_newest_first_through_ties(self, repository: SimilarityRepository) -> None:
        moments = [EPOCH] * 5 + [EPOCH + MICROSECOND] * 4 + [EPOCH + timedelta(days=400)] * 3
        images = [an_image(number, created_at=moment) for number, moment in enumerate(moments)]
        await repository.upsert(images)
        expected = NEWEST_FIRST.arranged(image.record for image in images)
        for limit in (1, 2, 3, 4, 5, 11, 12, 13):
            pages = [page async for page in each_page(repository, limit)]
            assert [record for page in pages for record in page] == expected
            assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)

    async def test_the_last_page_has_no_cursor(self, repository: SimilarityRepository) -> None:
        await repository.upsert([an_image(number) for number in range(4)])
        page = await repository.list(limit=4)
        assert (len(page.items), page.next_cursor, page.total) == (4, None, 4)
        first = await repository.list(limit=3)
        assert first.next_cursor == NEWEST_FIRST.after(first.items[-1])
        last = await repository.list(limit=3, after=first.next_cursor)
        assert (len(last.items), last.next_cursor, last.total) == (1, None, 4)

    async def test_listing_under_a_filter_pages_and_counts_what_matches(self, repository: SimilarityRepository) -> None:
        await repository.upsert(
            [an_image(number, created_at=EPOCH, metadata={"odd": number % 2 == 1}) for number in range(25)]
        )
        wanted = where("metadata.odd", eq=True)
        pages = [page async for page in each_page(repository, 5, wanted)]
        assert [len(page) for page in pages] == [5, 5, 2]
        listed = [record.id for page in pages for record in page]
        assert listed == sorted(an_id(number) for number in range(1, 25, 2))
        assert (await repository.list(limit=5, where=wanted)).total == 12

    async def test_a_listing_survives_writes_between_its_pages(self, repository: SimilarityRepository) -> None:
        """Whatever exists throughout is listed once, though the cursor's own image is deleted."""
        moments = {number: EPOCH + timedelta(seconds=number // 6) for number in range(60)}
        await repository.upsert([an_image(number, created_at=moment) for number, moment in moments.items()])
        chance = random.Random(3)
        deleted: set[ImageId] = set()
        seen: list[ImageId] = []
        cursor: Cursor | None = None
        for turn in range(100):
            page = await repository.list(limit=7, after=cursor)
            seen += [record.id for record in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
            doomed = {cursor.id, an_id(chance.randrange(60))}
            deleted |= doomed
            await repository.delete(doomed)
            await repository.upsert(
                [
                    an_image(1_000 + 10 * turn + more, created_at=chance.choice(list(moments.values())))
                    for more in range(3)
                ]
            )
        assert cursor is None
        assert len(seen) == len(set(seen))
        assert {an_id(number) for number in moments} - deleted <= set(seen)

    async def test_a_cursor_of_no_image_is_a_place_too(self, repository: SimilarityRepository) -> None:
        await repository.upsert([an_image(number) for number in range(4)])
        between = Cursor(EPOCH + timedelta(seconds=1.5), an_id(50))
        page = await repository.list(limit=10, after=between)
        assert [record.id for record in page.items] == [an_id(1), an_id(0)]
        assert page.total == 4
        before_all = Cursor(EPOCH - timedelta(days=1), an_id(50))
        assert (await repository.list(limit=10, after=before_all)).items == ()

    # Nearest

    async def test_matches_are_best_first_with_their_cosines(self, repository: SimilarityRepository) -> None:
        images = [an_image(number) for number in range(50)]
        await repository.upsert([*images, an_image(50, embedding=-an_embedding(0))])
        matches = await repository.nearest(a_query(an_embedding(0), limit=51))
        assert len(matches) == 51
        scores = [match.score for match in matches]
        assert scores == sorted(scores, reverse=True)
        assert all(-1.0 <= score <= 1.0 for score in scores)
        assert (matches[0].image.id, matches[-1].image.id) == (an_id(0), an_id(50))
        for match in matches[:-1]:
            number = next(number for number in range(50) if an_id(number) == match.image.id)
            assert match.image == images[number].record
            cosine = float(an_embedding(0) @ images[number].embedding)
            assert match.score == pytest.approx(cosine, abs=self.score_tolerance)
        assert matches[-1].score == pytest.approx(-1.0, abs=self.score_tolerance)

    async def test_limit_is_respected(self, repository: SimilarityRepository) -> None:
        await repository.upsert([an_image(number) for number in range(20)])
        for limit in (1, 7, 20, 500):
            assert len(await repository.nearest(a_query(an_embedding(0), limit=limit))) == min(limit, 20)

    @pytest.mark.parametrize("exact", [False, True])
    async def test_pages_continue_each_other(self, repository: SimilarityRepository, exact: bool) -> None:
        images = [an_image(number) for number in range(103)]
        await repository.upsert(images)
        oracle = await an_oracle(images)
        query = an_embedding(500)
        everything = await oracle.nearest(a_query(query, limit=103))
        paged: list[Match] = []
        for offset in range(0, 120, 10):
            page = await repository.nearest(a_query(query, limit=10, offset=offset, exact=exact))
            expected = await oracle.nearest(a_query(query, limit=10, offset=offset))
            assert scores_of(page) == pytest.approx(scores_of(expected), abs=self.score_tolerance)
            paged += page
        assert sorted(ids(paged)) == sorted(ids(everything))
        await oracle.close()

    @pytest.mark.parametrize("limit", [3, 20])
    async def test_pages_hold_every_image_of_equal_score_once(
        self, repository: SimilarityRepository, limit: int
    ) -> None:
        images = with_copies()
        for start in range(0, len(images), 40):
            await repository.upsert(images[start : start + 40])
        for query in (an_embedding(500), an_embedding(0)):
            whole = await repository.nearest(a_query(query, limit=500))
            assert whole == sorted(whole, key=lambda match: (-match.score, match.image.id))
            assert {match.image.id for match in whole} == {image.record.id for image in images}
            found: list[ImageId] = []
            for offset in range(0, len(images), limit):
                found += ids(await repository.nearest(a_query(query, limit=limit, offset=offset)))
            assert found == ids(whole)

    async def test_deep_windows_equal_the_exact_ones(self, repository: SimilarityRepository) -> None:
        images = [an_image(number) for number in range(self.deep_images)]
        for start in range(0, len(images), 1_000):
            await repository.upsert(images[start : start + 1_000])
        oracle = await an_oracle(images)
        query = an_embedding(99_999)
        truth = {match.image.id: match.score for match in await oracle.nearest(a_query(query, limit=MAX_WINDOW))}
        windows = [
            (0, 500),
            (2_400, 500),
            (min(self.deep_images, MAX_WINDOW) - 90, 90),
            (MAX_WINDOW - 500, 500),
            (0, MAX_WINDOW),
        ]
        for offset, limit in windows:
            page = await repository.nearest(a_query(query, limit=limit, offset=offset, exact=True))
            expected = await oracle.nearest(a_query(query, limit=limit, offset=offset))
            assert scores_of(page) == pytest.approx(scores_of(expected), abs=self.score_tolerance)
            assert len(set(ids(page))) == len(page)
            for match in page:
                assert match.score == pytest.approx(truth.get(match.image.id, match.score), abs=self.score_tolerance)
        await oracle.close()

    async def test_the_approximate_search_finds_nearly_all(self, repository: SimilarityRepository) -> None:
        images = [an_image(number) for number in range(1_000)]
        await repository.upsert(images)
        oracle = await an_oracle(images)
        found = 0
        for seed in range(5_000, 5_020):
            query = an_embedding(seed)
            expected = ids(await oracle.nearest(a_query(query, limit=10)))
            found += len(set(expected) & set(ids(await repository.nearest(a_query(query, limit=10)))))
        assert found >= 190, f"recall@10 is {found / 200}"
        await oracle.close()

    async def test_nothing_below_the_score_threshold(self, repository: SimilarityRepository) -> None:
        query = np.eye(16, dtype=np.float32)[0]
        cosines = [0.9, 0.5, 0.1, 0.0, -0.5, -0.9]
        await repository.upsert(
            [an_image(number, embedding=at_cosine(cosine)) for number, cosine in enumerate(cosines)]
        )
        for threshold, expected in [(0.95, 0), (0.45, 2), (0.05, 3), (-0.05, 4), (-0.6, 5), (-1.0, 6)]:
            matches = await repository.nearest(a_query(query, limit=10, score_threshold=threshold))
            assert ids(matches) == [an_id(number) for number in range(expected)]
        assert ids(await repository.nearest(a_query(query, limit=10, offset=1, score_threshold=0.05))) == [
            an_id(1),
            an_id(2),
        ]

    async def test_what_is_left_out_is_not_found(self, repository: SimilarityRepository) -> None:
        await repository.upsert([an_image(number, metadata={"even": number % 2 == 0}) for number in range(10)])
        left_out = {an_id(0), an_id(2), an_id(77)}
        matches = await repository.nearest(a_query(an_embedding(0), limit=10, leave_out=left_out))
        assert set(ids(matches)) == {an_id(number) for number in (1, 3, 4, 5, 6, 7, 8, 9)}
        even = where("metadata.even", eq=True)
        matches = await repository.nearest(a_query(an_embedding(0), limit=10, leave_out=left_out, where=even))
        assert set(ids(matches)) == {an_id(4), an_id(6), an_id(8)}

    @pytest.mark.parametrize("exact", [False, True])
    async def test_the_nearest_are_searched_among_what_matches(self, zoo: SimilarityRepository, exact: bool) -> None:
        oracle = await an_oracle([indexed(record, embedding=an_embedding(row)) for row, record in enumerate(ZOO)])
        query = an_embedding(123)
        for wanted in (
            where("labels", in_=["dog", "cat"]),
            where("width", gte=640, lt=30_000),
            Filter(any=(condition("media_type", eq="image/png"), condition("metadata.brand", exists=True))),
            Filter(none=(condition("labels", exists=True),)),
            where("filename", eq="nowhere"),
        ):
            matches = await zoo.nearest(a_query(query, limit=60, where=wanted, exact=exact))
            expected = await oracle.nearest(a_query(query, limit=60, where=wanted))
            assert sorted(ids(matches)) == sorted(ids(expected))
            assert scores_of(matches) == pytest.approx(scores_of(expected), abs=self.score_tolerance)
        await oracle.close()

    async def test_an_unfit_query_is_refused(self, repository: SimilarityRepository) -> None:
        await repository.upsert([an_image(1)])
        for unfit in (np.zeros(16, np.float32), np.full(16, np.nan, np.float32), an_embedding(1, dimension=8)):
            with pytest.raises(ValueError, match="query"):
                await repository.nearest(a_query(unfit, limit=1))

    # Filters

    async def test_equality_on_metadata(self, zoo: SimilarityRepository) -> None:
        for value, key in itertools.product(VALUES, ODD_KEYS):
            if not isinstance(value, list):
                await assert_agrees(zoo, where(f"metadata.{key}", eq=value))

    async def test_presence(self, zoo: SimilarityRepository) -> None:
        metadata = [f"metadata.{key}" for key in (*ODD_KEYS, "absent")]
        fields = [*metadata, *TEXT_FIELDS, *NUMBER_FIELDS, *TIME_FIELDS]
        for field, expected in itertools.product(fields, [True, False]):
            await assert_agrees(zoo, where(field, exists=expected))

    async def test_equality_tells_types_apart(self, repository: SimilarityRepository) -> None:
        values: list[Any] = [1, 1.0, True, "1", ["1"], 0, False, "true", [], "", [""], 2.5]
        await repository.upsert([an_image(number, metadata={"x": value}) for number, value in enumerate(values)])
        for wanted, expected in [
            (1, {0, 1}), (1.0, {0, 1}), (True, {2}), ("1", {3, 4}), (0, {5}), (False, {6}), ("true", {7}),
            ("", {9, 10}), (2.5, {11}), (2, set()),
        ]:  # fmt: skip
            assert await numbers_of(repository, where("metadata.x", eq=wanted)) == expected, wanted
            others = Filter(none=(condition("metadata.x", eq=wanted),))
            assert await numbers_of(repository, others) == set(range(len(values))) - expected, wanted
        assert await numbers_of(repository, where("metadata.x", in_=[True, "1", 2.5])) == {2, 3, 4, 11}
        assert await numbers_of(repository, where("metadata.x", in_=[])) == set()
        assert await numbers_of(repository, where("metadata.x", gte=0, lte=1)) == {0, 1, 5}
        assert await numbers_of(repository, where("metadata.x", gt=1)) == {11}
        assert await numbers_of(repository, where("metadata.x", exists=True)) == set(range(len(values)))
        assert await numbers_of(repository, where("metadata.x", exists=False)) == set()

    async def test_one_of_many_numbers(self, repository: SimilarityRepository) -> None:
        values: list[Any] = [
            5, 5.0, -5, 5.5, 19.99, 19.990000000000002, 2**53 - 1, 2**53 - 2, -(2**53) + 1, 0, -0.0, 1e300,
            1_767_225_600_001, 1_767_225_600_002, True, False, "5", ["5", "x"], ["x"],
        ]  # fmt: skip
        await repository.upsert([an_image(number, metadata={"x": value}) for number, value in enumerate(values)])
        await repository.upsert([an_image(len(values), metadata={"other": 5})])
        beside = [*(number / 100 + 1000 for number in range(400)), *range(-900, -500)]
        for wanted, expected in [
            ([5], {0, 1}), ([5.0], {0, 1}), ([-5.0, 5.5], {2, 3}), ([19.99], {4}), ([2**53 - 1], {6}),
            ([2**53 - 2, -(2**53) + 1], {7, 8}), ([0], {9, 10}), ([-0.0], {9, 10}), ([1e300, 1], {11}),
            ([1_767_225_600_001], {12}), ([1_767_225_600_001, 1_767_225_600_002], {12, 13}), ([], set()),
            ([5, True], {0, 1, 14}), ([0, False, "5"], {9, 10, 15, 16, 17}), ([19.99, "x", 5.5], {3, 4, 17, 18}),
        ]:  # fmt: skip
            for among in (wanted, [*beside, *wanted]):
                assert await numbers_of(repository, where("metadata.x", in_=among)) == expected, wanted
                others = Filter(none=(condition("metadata.x", in_=among),))
                assert await numbers_of(repository, others) == set(range(len(values) + 1)) - expected, wanted
            each = tuple(condition("metadata.x", eq=value) for value in wanted)
            if each:
                assert await numbers_of(repository, Filter(any=each)) == expected, wanted
            assert await numbers_of(repository, Filter(none=each)) == set(range(len(values) + 1)) - expected, wanted

    async def test_names_by_their_beginnings_and_words(self, repository: SimilarityRepository) -> None:
        images = [
            an_image(0, key="Holidays/2019/Strand 1.jpg", filename="Strand 1.jpg", source="/mnt/a/Strand 1.jpg"),
            an_image(1, key="Holidays/2020/strand.jpg", filename="strand.jpg", metadata={"brand": ["acme", "Bolt"]}),
            an_image(2, key="holidays/2019", filename="STRASSE_2019.png", metadata={"brand": "acmeish"}),
            an_image(
                3, filename="Straße-im-Winter.jpg", source="https://example.org/x?y=2019", metadata={"brand": "b"}
            ),
        ]
        await repository.upsert(images)
        for wanted, expected in [
            (begins("key", "Holidays/2019/"), {0}), (begins("key", "Holidays/"), {0, 1}),
            (begins("key", ""), {0, 1, 2}),
            (begins("key", "Strand"), set()), (begins("source", "/mnt/"), {0}), (begins("source", "https://"), {3}),
            (begins("filename", "S"), {0, 2, 3}), (begins("filename", "Stra\u00df"), {3}),
            (begins("filename", "%"), set()), (begins("metadata.brand", "acme"), {1, 2}),
            (begins("metadata.brand", "B"), {1}), (begins("metadata.brand", ""), {1, 2, 3}),
            (Filter(none=begins("key", "Holidays/").all), {2, 3}), (words("strand"), {0, 1}),
            (words("STRAND 2019"), {0}), (words("strand 20"), {0, 1}), (words("trand"), set()),
            (words("strasse"), {2, 3}), (words("winter stra"), {3}), (words("2019"), {0, 2, 3}),
            (words("mnt jpg"), {0}),
            (Filter(none=words("2019").all), {1}),
            (Filter(any=(*words("winter").all, *begins("key", "h").all)), {2, 3}),
            (where("key", eq="holidays/2019"), {2}), (where("key", exists=False), {3}),
            (where("source", exists=True), {0, 3}),
            (where("sha256", in_=[images[1].record.sha256, images[3].record.sha256]), {1, 3}),
            (where("size_bytes", gte=10_001, lt=10_003), {1, 2}), (where("size_bytes", eq=10_003), {3}),
            (where("updated_at", gt=EPOCH + timedelta(seconds=1)), {2, 3}), (where("updated_at", eq=EPOCH), {0}),
        ]:  # fmt: skip
            assert await numbers_of(repository, wanted) == expected, wanted

    async def test_no_prefix_of_what_is_not_declared(self, repository: SimilarityRepository) -> None:
        for key in ("other", "n"):
            wanted = begins(f"metadata.{key}", "a")
            for call in (
                repository.list(limit=1, where=wanted),
                repository.count(wanted),
                repository.facet(*LABELS_FACET, wanted),
                repository.nearest(a_query(an_embedding(), limit=1, where=wanted)),
                repository.nearest_objects(a_query(an_embedding(), limit=1, where=wanted)),
            ):
                with pytest.raises(InvalidFilterError, match=f"metadata.{key} is not declared as keyword"):
                    await call

    async def test_times_are_compared_to_the_microsecond(self, repository: SimilarityRepository) -> None:
        base = datetime.fromisoformat("2026-03-04T05:06:07.123456+00:00")
        await repository.upsert([an_image(number, created_at=base + number * MICROSECOND) for number in range(5)])
        middle = base + 2 * MICROSECOND
        for zone in (timezone.utc, timezone(timedelta(hours=-8))):  # noqa: UP017 - beside the other
            bound = middle.astimezone(zone)
            assert await numbers_of(repository, where("created_at", gt=bound)) == {3, 4}
            assert await numbers_of(repository, where("created_at", gte=bound)) == {2, 3, 4}
            assert await numbers_of(repository, where("created_at", lt=bound)) == {0, 1}
            assert await numbers_of(repository, where("created_at", lte=bound)) == {0, 1, 2}
            assert await numbers_of(repository, where("created_at", gt=base, lt=bound)) == {1}
            assert await numbers_of(repository, where("created_at", eq=bound)) == {2}

    async def test_built_in_fields(self, repository: SimilarityRepository) -> None:
        await repository.upsert(
            [
                an_image(0, width=100, height=50, filename="a.jpg", objects=(an_object("dog"), an_object("dog"))),
                an_image(
                    1, width=101, height=60, filename="A.jpg", media_type="image/png", objects=(an_object("cat"),)
                ),
                an_image(2, width=102, height=70, filename="b.jpg", objects=(an_object("dog"), an_object("cat"))),
                an_image(3, width=103, height=80, filename="a.jp", metadata={"labels": "dog", "width": 100}),
            ]
        )
        for wanted, expected in [
            (where("labels", eq="dog"), {0, 2}), (where("labels", eq="Dog"), set()), (where("labels", eq="do"), set()),
            (where("labels", in_=["dog", "cat"]), {0, 1, 2}), (where("labels", exists=False), {3}),
            (Filter(none=(condition("labels", eq="dog"),)), {1, 3}),
            (Filter(all=(condition("labels", eq="dog"), condition("labels", eq="cat"))), {2}),
            (where("filename", eq="a.jpg"), {0}), (where("filename", in_=["a.jpg", "b.jpg"]), {0, 2}),
            (where("media_type", eq="image/png"), {1}),
            (Filter(none=(condition("media_type", eq="image/png"),)), {0, 2, 3}),
            (where("width", eq=100), {0}), (where("width", in_=[100, 103.0]), {0, 3}), (where("width", gt=101), {2, 3}),
            (where("width", gte=100.5, lte=102), {1, 2}),
            (where("height", lt=60), {0}), (where("height", lte=60), {0, 1}),
            (where("metadata.labels", eq="dog"), {3}), (where("metadata.width", eq=100), {3}),
        ]:  # fmt: skip
            assert await numbers_of(repository, wanted) == expected, wanted

    async def test_all_any_and_none_combine(self, repository: SimilarityRepository) -> None:
        await repository.upsert(
            [an_image(number, metadata={"n": number, "even": number % 2 == 0}) for number in range(12)]
        )
        n = "metadata.n"
        wanted = Filter(
            all=(condition(n, gte=2), condition(n, lte=9)),
            any=(condition("metadata.even", eq=True), condition(n, eq=7)),
            none=(condition(n, in_=[4, 6]), condition("metadata.missing", eq=1), condition("metadata.missing", gt=0)),
        )
        assert await numbers_of(repository, wanted) == {2, 7, 8}
        assert await numbers_of(repository, Filter(any=(condition(n, eq=100),))) == set()
        assert await numbers_of(repository, Filter(none=(condition("metadata.missing", exists=False),))) == set()
        assert await numbers_of(repository, Filter()) == set(range(12))

    @settings(
        max_examples=150,
        deadline=None,
        derandomize=True,
        database=None,
        # The zoo is only read; each adapter's class runs this method by itself, and no database replays its examples.
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(wanted=filters)
    async def test_any_filter_means_what_the_domain_says(self, zoo: SimilarityRepository, wanted: Filter) -> None:
        await assert_agrees(zoo, wanted)

    # Labels

    async def test_labels_are_counted_by_images(self, repository: SimilarityRepository) -> None:
        labels = [f"label {number}" for number in range(150)]
        await repository.upsert(
            [
                an_image(
                    number,
                    metadata={"even": number % 2 == 0},
                    objects=(an_object("dog"), an_object("dog"), an_object("Dog"), an_object(labels[number])),
                )
                for number in range(150)
            ]
        )
        expected = dict.fromkeys(labels, 1) | {"dog": 150, "Dog": 150}
        assert dict(await repository.facet(*LABELS_FACET)) == expected
        even = dict.fromkeys(labels[::2], 1) | {"dog": 75, "Dog": 75}
        assert dict(await repository.facet(*LABELS_FACET, where("metadata.even", eq=True))) == even
        one = await repository.facet(*LABELS_FACET, where("labels", eq="label 3"))
        assert dict(one) == {"dog": 1, "Dog": 1, "label 3": 1}
        assert dict(await repository.facet(*LABELS_FACET, where("labels", eq="nothing"))) == {}

    async def test_odd_labels_are_counted(self, zoo: SimilarityRepository) -> None:
        expected = {label: sum(label in record.labels for record in ZOO) for label in LABELS}
        assert dict(await zoo.facet(*LABELS_FACET)) == expected

    async def test_declared_metadata_is_counted_by_value(self, repository: SimilarityRepository) -> None:
        colours = ["red", "Red", "", "naïve 🙂"]
        await repository.upsert(
            [
                an_image(
                    number,
                    metadata={
                        "brand": [colours[number % 4], "all", "all"] if number % 2 else colours[number % 4],
                        'quo"te': "x",
                        "n": number % 3 - 1,
                        "sale": number % 5 == 0,
                        "other": number,
                    }
                    if number < 40
                    else {"brand": 7, "n": "text", "sale": "true"},  # from before the keys were declared
                )
                for number in range(60)
            ]
        )
        expected = {
            "brand": {"red": 10, "Red": 10, "": 10, "naïve 🙂": 10, "all": 20},
            'quo"te': {"x": 40},
            "n": {-1: 14, 0: 13, 1: 13},
            "sale": {True: 8, False: 32},
        }
        for key, counts in expected.items():
            assert dict(await repository.facet(Field(f"metadata.{key}"), DECLARED[key])) == counts
        counts = await repository.facet(Field("metadata.sale"), MetadataType.BOOL, where("metadata.brand", eq="red"))
        assert dict(counts) == {True: 2, False: 8}
        types = await repository.facet(Field("media_type"), MetadataType.KEYWORD, where("metadata.n", eq=-1))
        assert dict(types) == {an_image(1).record.media_type: 14}

    # Deadlines

    async def test_a_passed_deadline_stops_every_call_before_it_begins(self, repository: SimilarityRepository) -> None:
        await repository.upsert([an_image(1)])
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: repository.upsert([an_image(2)]),
            lambda: repository.update([a_record(1, metadata={"x": 1})]),
            lambda: repository.delete([an_id(1)]),
            lambda: repository.get([an_id(1)]),
            lambda: repository.named(["00"]),
            lambda: repository.embeddings([an_id(1)]),
            lambda: repository.list(limit=1),
            lambda: repository.object_embeddings([an_id(1)]),
            lambda: repository.nearest(a_query(an_embedding(1), limit=1)),
            lambda: repository.nearest_objects(a_query(an_embedding(1), limit=1)),
            repository.count,
            lambda: repository.facet(*LABELS_FACET),
        ]

        async def too_late(call: Callable[[], Awaitable[object]]) -> None:
            callers.set_deadline(-1.0)
            with pytest.raises(DeadlinePassedError):
                await call()

        for call in calls:
            await asyncio.create_task(too_late(call))  # the task has a context, hence a deadline, of its own
        assert await repository.get([an_id(1), an_id(2)]) == {an_id(1): a_record(1)}

    # Replacement

    async def test_a_replacement_is_invisible_before_and_complete_after(self, repository: SimilarityRepository) -> None:
        await repository.upsert([an_image(number) for number in range(3)])
        new = await repository.replacement(OTHER_SPACE)
        assert new.space == OTHER_SPACE
        assert await new.count() == 0
        await new.upsert([an_image(number, dimension=8) for number in range(1, 5)])
        assert [record.id for record in (await repository.list(limit=10)).items] == [an_id(2), an_id(1), an_id(0)]
        assert len(await repository.nearest(a_query(an_embedding(0), limit=10))) == 3
        await repository.promote(new)
        with pytest.raises(EmbeddingSpaceError):
            await repository.open(SPACE)
        await repository.open(OTHER_SPACE)
        assert repository.space == OTHER_SPACE
        assert [record.id for record in (await repository.list(limit=10)).items] == [an_id(n) for n in (4, 3, 2, 1)]
        assert ids(await repository.nearest(a_query(an_embedding(3, dimension=8), limit=1))) == [an_id(3)]

    async def test_an_interrupted_replacement_continues(self, repository: SimilarityRepository) -> None:
        await repository.upsert([an_image(1)])
        first = await repository.replacement(OTHER_SPACE)
        await first.upsert([an_image(7, dimension=8)])
        await first.close()
        await repository.close()
        await repository.open(SPACE)
        assert await repository.count() == 1
        second = await repository.replacement(OTHER_SPACE)
        assert set(await second.get([an_id(1), an_id(7)])) == {an_id(7)}
        await second.upsert([an_image(8, dimension=8)])
        await repository.promote(second)
        await repository.open(None)
        assert repository.space == OTHER_SPACE
        assert await repository.count() == 2

    async def test_a_replacement_may_have_the_same_space(self, repository: SimilarityRepository) -> None:
        await repository.upsert([an_image(1), an_image(2)])
        for number in (3, 4):
            new = await repository.replacement(SPACE)
            assert await new.count() == 0
            await new.upsert([an_image(number)])
            await repository.promote(new)
            await repository.open(SPACE)
            assert [record.id for record in (await repository.list(limit=10)).items] == [an_id(number)]

    async def test_an_index_keeps_its_identity(self, repository: SimilarityRepository) -> None:
        identity = repository.identity
        await repository.close()
        await repository.open(SPACE)
        assert repository.identity == identity
        for space in (SPACE, OTHER_SPACE):
            new = await repository.replacement(space)
            assert new.identity == identity
            await repository.promote(new)
            await repository.open(space)
            assert repository.identity == identity

    async def test_another_space_under_construction_is_given_up(self, repository: SimilarityRepository) -> None:
        abandoned = await repository.replacement(OTHER_SPACE)
        await abandoned.upsert([an_image(1, dimension=8)])
        await abandoned.close()
        new = await repository.replacement(a_space(4, model="third"))
        assert (new.space.dimension, await new.count()) == (4, 0)
        await new.close()
        again = await repository.replacement(OTHER_SPACE)
        assert await again.count() == 0
        await again.close()


async def each_page(
    repository: SimilarityRepository, limit: int, wanted: Filter = EVERYTHING
) -> AsyncIterator[tuple[ImageRecord, ...]]:
    cursor: Cursor | None = None
    while True:
        page = await repository.list(limit=limit, after=cursor, where=wanted)
        yield page.items
        cursor = page.next_cursor
        if cursor is None:
            return


async def numbers_of(repository: SimilarityRepository, wanted: Filter, most: int = 200) -> set[int]:
    """Which of the numbered images match, by listing; counting must agree."""
    page = await repository.list(limit=most, where=wanted)
    assert page.total == len(page.items) == await repository.count(wanted)
    numbers = {an_id(number): number for number in range(most)}
    return {numbers[record.id] for record in page.items}


async def assert_agrees(repository: SimilarityRepository, wanted: Filter) -> None:
    """Of the zoo, the repository lists and counts what `Filter.matches` says."""
    expected = NEWEST_FIRST.arranged(record for record in ZOO if wanted.matches(record))
    page = await repository.list(limit=200, where=wanted)
    assert [record.id for record in page.items] == [record.id for record in expected], wanted
    assert page.total == await repository.count(wanted) == len(expected), wanted
