"""What the port SimilarityRepository promises about the objects of images. Part of its contract's suite."""

import asyncio
import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.embeddings import Embedding, Embeddings
from domain.filters import EVERYTHING, Filter
from domain.images import ImageId, IndexedImage, Match
from domain.ports.similarity_repository import SimilarityRepository
from domain.search import MAX_WINDOW
from tests.builders import a_query, a_record, an_embedding, an_id, an_image, an_object, indexed, some_embeddings
from tests.contracts.repository_cases import (
    LABELS,
    LABELS_FACET,
    OTHER_SPACE,
    SPACE,
    ZOO,
    an_oracle,
    at_cosine,
    condition,
    filters,
    ids,
    scores_of,
    where,
    with_copies,
)

AXIS: Embedding = np.eye(16, dtype=np.float32)[0]
"""The query that `at_cosine` speaks of."""


def holding(number: int, *cosines: float, label: str = "cup", **changes: object) -> IndexedImage:
    """Image `number` with an object at each of these cosines to AXIS."""
    objects = tuple(an_object(label, x=float(place)) for place in range(len(cosines)))
    vectors = np.array([at_cosine(cosine) for cosine in cosines], dtype=np.float32).reshape(len(cosines), 16)
    return an_image(number, objects=objects, object_embeddings=vectors, **changes)


def assorted(count: int) -> list[IndexedImage]:
    """Images with 0, 1, 2 or 3 objects; every 50th has 30, close together, which crowd out others in any ranking."""
    images = []
    for number in range(count):
        if number % 50 == 49:
            crowd = an_embedding(number) + 0.05 * some_embeddings(30, seed=number)
            vectors = (crowd / np.linalg.norm(crowd, axis=1, keepdims=True)).astype(np.float32)
        else:
            vectors = some_embeddings(number % 4, seed=number)
        objects = tuple(an_object("cup", x=float(place)) for place in range(len(vectors)))
        images.append(an_image(number, objects=objects, object_embeddings=vectors))
    return images


def best_of_each(
    images: Sequence[IndexedImage], query: Embedding, wanted: Filter = EVERYTHING
) -> dict[ImageId, tuple[float, int]]:
    """By brute force: the score and the place of each matching image's best object, best first."""
    best = {
        image.record.id: (
            float(np.max(image.object_embeddings @ query)),
            int(np.argmax(image.object_embeddings @ query)),
        )
        for image in images
        if image.record.objects and wanted.matches(image.record)
    }
    return dict(sorted(best.items(), key=lambda item: -item[1][0]))


UNFIT: dict[str, Embeddings] = {
    "too few": some_embeddings(1),
    "too many": some_embeddings(3),
    "too short": some_embeddings(2, dimension=15),
    "one vector and no matrix": some_embeddings(1)[0],
    "zero": np.stack([some_embeddings(1)[0], np.zeros(16, np.float32)]),
    "not a number": np.stack([some_embeddings(1)[0], np.full(16, np.nan, np.float32)]),
    "of length 2": 2 * some_embeddings(2),
}


class SimilarityRepositoryObjectsContract:
    """Every promise of the port about objects. The subclass has the fixtures."""

    score_tolerance: float
    deep_images: int

    def assert_page(
        self, matches: Sequence[Match], images: Sequence[IndexedImage], query: Embedding, page: slice, wanted: Filter
    ) -> None:
        """The matches are that page of the ranking by brute force; ties may stand in any order."""
        truth, stored = best_of_each(images, query, wanted), {image.record.id: image for image in images}
        expected = [score for score, _ in truth.values()][page]
        assert scores_of(matches) == pytest.approx(expected, abs=self.score_tolerance)
        assert len(set(ids(matches))) == len(matches)
        for match in matches:
            image = stored[match.image.id]
            assert match.image == image.record
            assert match.score == pytest.approx(truth[match.image.id][0], abs=self.score_tolerance)
            assert match.region in image.record.objects
            vector = image.object_embeddings[image.record.objects.index(match.region)]
            assert match.score == pytest.approx(float(vector @ query), abs=self.score_tolerance)

    # Searching

    async def test_an_image_is_found_once_by_its_best_object(self, repository: SimilarityRepository) -> None:
        images = [holding(1, 0.2, 0.9, 0.5), holding(2, 0.7, 0.6), holding(3, embedding=AXIS), holding(4, -0.4)]
        await repository.upsert(images)
        matches = await repository.nearest_objects(a_query(AXIS, limit=10))
        assert ids(matches) == [an_id(1), an_id(2), an_id(4)]
        assert scores_of(matches) == pytest.approx([0.9, 0.7, -0.4], abs=self.score_tolerance)
        assert [match.image for match in matches] == [images[0].record, images[1].record, images[3].record]
        assert [match.region for match in matches] == [
            images[0].record.objects[1],
            images[1].record.objects[0],
            images[3].record.objects[0],
        ]
        assert all(match.regions is None for match in matches)

    async def test_without_objects_there_is_nothing_to_find(self, repository: SimilarityRepository) -> None:
        assert await repository.nearest_objects(a_query(AXIS, limit=10)) == []
        await repository.upsert([an_image(1), an_image(2)])
        assert await repository.nearest_objects(a_query(AXIS, limit=10)) == []

    @pytest.mark.parametrize("exact", [False, True])
    async def test_pages_of_objects_continue_each_other(self, repository: SimilarityRepository, exact: bool) -> None:
        images, query = assorted(130), an_embedding(500)
        await repository.upsert(images)
        found: list[ImageId] = []
        for offset in range(0, 120, 10):
            page = await repository.nearest_objects(a_query(query, limit=10, offset=offset, exact=exact))
            self.assert_page(page, images, query, slice(offset, offset + 10), EVERYTHING)
            found += ids(page)
        assert sorted(found) == sorted(best_of_each(images, query))

    @pytest.mark.parametrize("limit", [3, 20])
    async def test_pages_of_objects_hold_every_image_of_equal_score_once(
        self, repository: SimilarityRepository, limit: int
    ) -> None:
        images = with_copies()
        for start in range(0, len(images), 40):
            await repository.upsert(images[start : start + 40])
        for query in (an_embedding(500), some_embeddings(2, seed=1_007)[0]):
            whole = await repository.nearest_objects(a_query(query, limit=500))
            assert whole == sorted(whole, key=lambda match: (-match.score, match.image.id))
            assert {match.image.id for match in whole} == {image.record.id for image in images}
            found: list[ImageId] = []
            for offset in range(0, len(images), limit):
                found += ids(await repository.nearest_objects(a_query(query, limit=limit, offset=offset)))
            assert found == ids(whole)

    async def test_one_image_full_of_likely_objects_leaves_room_for_others(
        self, repository: SimilarityRepository
    ) -> None:
        crowds = [holding(number, *np.linspace(0.99, 0.9, 60)) for number in range(4)]
        others = [holding(number, 0.5 - number / 100) for number in range(10, 20)]
        await repository.upsert([*crowds, *others])
        matches = await repository.nearest_objects(a_query(AXIS, limit=10))
        self.assert_page(matches, [*crowds, *others], AXIS, slice(0, 10), EVERYTHING)
        assert len(matches) == 10
        assert ids(await repository.nearest_objects(a_query(AXIS, limit=2, offset=12))) == [
            an_id(18),
            an_id(19),
        ]

    async def test_deep_windows_of_objects_equal_the_exact_ones(self, repository: SimilarityRepository) -> None:
        images, query = assorted(self.deep_images), an_embedding(99_999)
        for start in range(0, len(images), 1_000):
            await repository.upsert(images[start : start + 1_000])
        with_objects = len(best_of_each(images, query))
        windows = [(0, 500), (1_000, 500), (with_objects - 90, 500), (MAX_WINDOW - 500, 500), (0, MAX_WINDOW)]
        for offset, limit in windows:
            page = await repository.nearest_objects(a_query(query, limit=limit, offset=offset, exact=True))
            self.assert_page(page, images, query, slice(offset, offset + limit), EVERYTHING)

    async def test_a_window_beyond_the_largest_is_refused(self, repository: SimilarityRepository) -> None:
        for limit, offset in [(0, 0), (1, -1), (1, MAX_WINDOW)]:
            with pytest.raises(ValueError, match="offset"):
                await repository.nearest_objects(a_query(AXIS, limit=limit, offset=offset))

    async def test_the_approximate_search_finds_nearly_all_objects(self, repository: SimilarityRepository) -> None:
        images = assorted(1_000)
        await repository.upsert(images)
        found = 0
        for seed in range(5_000, 5_020):
            expected = list(best_of_each(images, an_embedding(seed)))[:10]
            found += len(
                set(expected) & set(ids(await repository.nearest_objects(a_query(an_embedding(seed), limit=10))))
            )
        assert found >= 190, f"recall@10 is {found / 200}"

    async def test_no_object_below_the_score_threshold(self, repository: SimilarityRepository) -> None:
        cosines = [0.9, 0.5, 0.1, 0.0, -0.5, -0.9]
        await repository.upsert([holding(number, cosine, -0.95) for number, cosine in enumerate(cosines)])
        for threshold, expected in [(0.95, 0), (0.45, 2), (0.05, 3), (-0.05, 4), (-0.6, 5), (-1.0, 6)]:
            matches = await repository.nearest_objects(a_query(AXIS, limit=10, score_threshold=threshold))
            assert ids(matches) == [an_id(number) for number in range(expected)]
        matches = await repository.nearest_objects(a_query(AXIS, limit=10, offset=1, score_threshold=0.05))
        assert ids(matches) == [an_id(1), an_id(2)]

    async def test_objects_of_what_is_left_out_are_not_found(self, repository: SimilarityRepository) -> None:
        images = [holding(number, 0.9 - number / 20, 0.3, metadata={"even": number % 2 == 0}) for number in range(10)]
        await repository.upsert(images)
        left_out = {an_id(0), an_id(2), an_id(77)}
        matches = await repository.nearest_objects(a_query(AXIS, limit=10, leave_out=left_out))
        assert ids(matches) == [an_id(number) for number in (1, 3, 4, 5, 6, 7, 8, 9)]
        even = where("metadata.even", eq=True)
        matches = await repository.nearest_objects(a_query(AXIS, limit=2, offset=1, leave_out=left_out, where=even))
        assert ids(matches) == [an_id(6), an_id(8)]

    async def test_an_unfit_query_for_objects_is_refused(self, repository: SimilarityRepository) -> None:
        for unfit in (np.zeros(16, np.float32), np.full(16, np.nan, np.float32), an_embedding(1, dimension=8)):
            with pytest.raises(ValueError, match="query"):
                await repository.nearest_objects(a_query(unfit, limit=1))

    # Filters speak of the image as it is now

    async def test_filters_on_objects_follow_the_metadata(self, repository: SimilarityRepository) -> None:
        await repository.upsert(
            [holding(1, 0.9, 0.8, metadata={"shelf": "a", "price": 3}), holding(2, 0.7, metadata={"shelf": "a"})]
        )
        await repository.update([a_record(1, metadata={"shelf": "b", "price": 4.5})])
        for wanted, expected in [
            (where("metadata.shelf", eq="a"), [an_id(2)]),
            (where("metadata.shelf", eq="b"), [an_id(1)]),
            (where("metadata.price", gt=4), [an_id(1)]),
            (where("metadata.price", eq=3), []),
            (where("metadata.price", exists=False), [an_id(2)]),
        ]:
            matches = await repository.nearest_objects(a_query(AXIS, limit=10, where=wanted))
            assert ids(matches) == expected, wanted
        await repository.update([a_record(1, metadata={})])
        assert ids(
            await repository.nearest_objects(a_query(AXIS, limit=10, where=where("metadata.shelf", exists=True)))
        ) == [an_id(2)]
        best = (await repository.nearest_objects(a_query(AXIS, limit=1)))[0]
        assert (best.image.metadata, best.region) == ({}, an_object("cup", x=0.0))
        assert best.score == pytest.approx(0.9, abs=self.score_tolerance)

    async def test_filters_on_objects_follow_an_upsert(self, repository: SimilarityRepository) -> None:
        await repository.upsert([holding(1, 0.9, label="cup", metadata={"shelf": "a"}, filename="old.jpg")])
        await repository.upsert([holding(1, 0.8, label="dog", metadata={"shelf": "b"}, filename="new.jpg")])
        for field, old, new in [
            ("labels", "cup", "dog"),
            ("metadata.shelf", "a", "b"),
            ("filename", "old.jpg", "new.jpg"),
        ]:
            assert await repository.nearest_objects(a_query(AXIS, limit=10, where=where(field, eq=old))) == []
            [match] = await repository.nearest_objects(a_query(AXIS, limit=10, where=where(field, eq=new)))
            assert match.region == an_object("dog", x=0.0)

    async def test_labels_are_those_of_the_whole_image(self, repository: SimilarityRepository) -> None:
        objects = (an_object("cup", x=0.0), an_object("dog", x=1.0))
        vectors = np.array([at_cosine(0.9), at_cosine(0.1)])
        await repository.upsert([an_image(1, objects=objects, object_embeddings=vectors), holding(2, 0.5, label="cup")])
        [match] = await repository.nearest_objects(a_query(AXIS, limit=10, where=where("labels", eq="dog")))
        assert (match.image.id, match.region) == (an_id(1), objects[0]), "the cup of the picture that has a dog"
        without_dogs = Filter(none=(condition("labels", eq="dog"),))
        assert ids(await repository.nearest_objects(a_query(AXIS, limit=10, where=without_dogs))) == [an_id(2)]

    @pytest.mark.parametrize("exact", [False, True])
    async def test_objects_are_searched_among_the_images_that_match(
        self, zoo: SimilarityRepository, exact: bool
    ) -> None:
        images = [indexed(record, embedding=an_embedding(row)) for row, record in enumerate(ZOO)]
        for wanted in (
            where("labels", in_=["dog", "cat"]),
            where("width", gte=640, lt=30_000),
            Filter(any=(condition("media_type", eq="image/png"), condition("metadata.brand", exists=True))),
            Filter(none=(condition("labels", exists=True),)),
            where("filename", eq="nowhere"),
        ):
            matches = await zoo.nearest_objects(a_query(AXIS, limit=60, where=wanted, exact=exact))
            expected = best_of_each(images, AXIS, wanted)
            assert sorted(ids(matches)) == sorted(expected), wanted
            for match in matches:
                assert match.score == pytest.approx(expected[match.image.id][0], abs=self.score_tolerance)

    @settings(
        max_examples=40,
        deadline=None,
        derandomize=True,
        database=None,
        # Each example empties the repository first; each adapter's class runs this method by itself.
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
            HealthCheck.too_slow,
        ],
    )
    @given(
        counts=st.lists(st.integers(0, 6), min_size=1, max_size=12),
        wanted=filters,
        seed=st.integers(0, 2**32 - 1),
        offset=st.integers(0, 4),
        threshold=st.sampled_from([None, -0.2, 0.0, 0.3]),
    )
    async def test_objects_are_found_as_by_brute_force(
        self,
        repository: SimilarityRepository,
        *,
        counts: list[int],
        wanted: Filter,
        seed: int,
        offset: int,
        threshold: float | None,
    ) -> None:
        await repository.delete([record.id for record in (await repository.list(limit=200)).items])
        images = [
            indexed(
                dataclasses.replace(
                    ZOO[row], objects=tuple(an_object(LABELS[(row + n) % 5], x=float(n)) for n in range(count))
                ),
                embedding=an_embedding(row),
                object_embeddings=some_embeddings(count, seed=seed + row),
            )
            for row, count in enumerate(counts)
        ]
        await repository.upsert(images)
        query = an_embedding(seed)
        page = slice(offset, offset + 5)
        matches = await repository.nearest_objects(
            a_query(query, limit=5, offset=offset, where=wanted, score_threshold=threshold)
        )
        if threshold is not None:
            truth = best_of_each(images, query, wanted)
            images = [image for image in images if truth.get(image.record.id, (-2.0,))[0] >= threshold]
        self.assert_page(matches, images, query, page, wanted)

    # Objects belong to their images

    async def test_replaced_objects_are_gone(self, repository: SimilarityRepository) -> None:
        await repository.upsert([holding(1, 0.9, 0.8, 0.7), holding(2, 0.1)])
        replaced = holding(1, 0.3, 0.2, label="dog")
        await repository.upsert([replaced])
        matches = await repository.nearest_objects(a_query(AXIS, limit=10))
        assert scores_of(matches) == pytest.approx([0.3, 0.1], abs=self.score_tolerance)
        assert matches[0].region == replaced.record.objects[0]
        assert (await repository.status()).objects == 3
        assert (await repository.object_embeddings([an_id(1)]))[an_id(1)].shape == (2, 16)
        await repository.upsert([an_image(1)])
        assert ids(await repository.nearest_objects(a_query(AXIS, limit=10))) == [an_id(2)]
        assert (await repository.status()).objects == 1

    async def test_objects_go_with_their_image(self, repository: SimilarityRepository) -> None:
        await repository.upsert([holding(number, 0.9 - number / 10, 0.1) for number in range(4)])
        await repository.delete([an_id(0), an_id(2)])
        assert ids(await repository.nearest_objects(a_query(AXIS, limit=10))) == [an_id(1), an_id(3)]
        assert (await repository.status()).objects == 4
        await repository.upsert([an_image(0)])
        assert ids(await repository.nearest_objects(a_query(AXIS, limit=10))) == [an_id(1), an_id(3)]
        await repository.upsert([holding(2, -0.5)])
        assert ids(await repository.nearest_objects(a_query(AXIS, limit=10))) == [
            an_id(1),
            an_id(3),
            an_id(2),
        ]

    async def test_of_an_image_given_twice_the_last_counts(self, repository: SimilarityRepository) -> None:
        await repository.upsert([holding(1, 0.9, 0.8, label="dog"), holding(2, 0.5), holding(1, 0.2, label="cat")])
        assert ids(await repository.nearest_objects(a_query(AXIS, limit=10))) == [an_id(2), an_id(1)]
        assert (await repository.get([an_id(1)]))[an_id(1)].labels == {"cat"}
        assert (await repository.status()).objects == 2

    async def test_reads_of_images_never_see_objects(self, repository: SimilarityRepository) -> None:
        images = [holding(number, *[0.5] * (number % 5), metadata={"n": number}) for number in range(30)]
        await repository.upsert(images)
        assert await repository.count() == 30
        assert await repository.count(where("metadata.n", lt=10)) == 10
        page = await repository.list(limit=200)
        assert [record.id for record in page.items] == [an_id(number) for number in reversed(range(30))]
        assert page.total == 30
        assert len((await repository.list(limit=7)).items) == 7
        assert dict(await repository.facet(*LABELS_FACET)) == {"cup": 24}
        matches = await repository.nearest(a_query(AXIS, limit=200))
        oracle = await an_oracle(images)
        assert ids(matches) == ids(await oracle.nearest(a_query(AXIS, limit=200)))
        assert all(match.region is None for match in matches)
        await oracle.close()
        status = await repository.status()
        assert (status.images, status.objects) == (30, 60)

    async def test_embeddings_of_objects_are_in_their_order(self, repository: SimilarityRepository) -> None:
        images = [
            an_image(number, objects=tuple(an_object(f"label {9 - place}", score=place / 9) for place in range(number)))
            for number in range(8)
        ]
        await repository.upsert(images)
        stored = await repository.object_embeddings({image.record.id for image in images} | {an_id(77)})
        assert set(stored) == {image.record.id for image in images}
        for image in images:
            vectors = stored[image.record.id]
            assert (vectors.shape, vectors.dtype) == (image.object_embeddings.shape, np.float32)
            np.testing.assert_allclose(vectors, image.object_embeddings, atol=1e-6)
        assert await repository.object_embeddings([]) == {}

    async def test_embeddings_of_objects_outlive_new_metadata(self, repository: SimilarityRepository) -> None:
        image = holding(1, 0.9, 0.1, 0.5)
        await repository.upsert([image])
        await repository.update([a_record(1, metadata={"shelf": "a"})])
        stored = await repository.object_embeddings([an_id(1)])
        np.testing.assert_allclose(stored[an_id(1)], image.object_embeddings, atol=1e-6)
        assert (await repository.status()).objects == 3

    @pytest.mark.parametrize("detection", ["", "0123456789abcdef"])
    async def test_what_found_the_objects_is_remembered(self, repository: SimilarityRepository, detection: str) -> None:
        await repository.upsert([holding(1, 0.9, detection=detection)])
        await repository.update([a_record(1, metadata={"x": 1})])
        assert (await repository.get([an_id(1)]))[an_id(1)].detection == detection
        assert (await repository.list(limit=1)).items[0].detection == detection
        [match] = await repository.nearest_objects(a_query(AXIS, limit=1))
        assert match.image.detection == detection

    async def test_objects_are_there_after_opening_again(self, repository: SimilarityRepository) -> None:
        image = holding(1, 0.9, 0.1)
        await repository.upsert([image, an_image(2)])
        await repository.close()
        await repository.open(SPACE)
        [match] = await repository.nearest_objects(a_query(AXIS, limit=10))
        assert (match.image, match.region) == (image.record, image.record.objects[0])
        assert (await repository.status()).objects == 2

    async def test_objects_do_not_change_with_the_callers_array(self, repository: SimilarityRepository) -> None:
        image = holding(1, 0.9, 0.1)
        expected = image.object_embeddings.copy()
        await repository.upsert([image])
        image.object_embeddings[:] = 0.0
        np.testing.assert_allclose((await repository.object_embeddings([an_id(1)]))[an_id(1)], expected, atol=1e-6)

    async def test_unfit_embeddings_of_objects_are_refused_and_nothing_stored(
        self, repository: SimilarityRepository
    ) -> None:
        objects = (an_object("cup"), an_object("dog"))
        for kind, unfit in UNFIT.items():
            with pytest.raises(ValueError, match="object"):
                await repository.upsert([holding(1, 0.9), an_image(2, objects=objects, object_embeddings=unfit)])
            status = await repository.status()
            assert (status.images, status.objects) == (0, 0), kind
            assert await repository.nearest_objects(a_query(AXIS, limit=10)) == [], kind

    async def test_objects_belong_to_one_index(self, repository: SimilarityRepository) -> None:
        await repository.upsert([holding(1, 0.9)])
        new = await repository.replacement(OTHER_SPACE)
        await new.upsert([an_image(2, dimension=8, objects=(an_object("dog"), an_object("cat")))])
        assert ids(await repository.nearest_objects(a_query(AXIS, limit=10))) == [an_id(1)]
        await repository.promote(new)
        await repository.open(OTHER_SPACE)
        assert ids(await repository.nearest_objects(a_query(an_embedding(1, dimension=8), limit=10))) == [an_id(2)]
        assert (await repository.status()).objects == 2

    async def test_nothing_is_orphaned_by_writes_that_end(self, repository: SimilarityRepository) -> None:
        await repository.upsert([holding(number, 0.9, 0.1) for number in range(3)])
        await repository.upsert([holding(1, 0.5), an_image(2)])
        await repository.update([a_record(0, metadata={"x": 1})])
        await repository.delete([an_id(9), an_id(2)])
        assert dict(await repository.orphaned_objects()) == {}
        assert await repository.sweep_objects([an_id(number) for number in range(4)]) == 0
        assert await repository.sweep_objects([]) == 0
        assert (await repository.status()).objects == 3
        assert set(ids(await repository.nearest_objects(a_query(AXIS, limit=10)))) == {an_id(0), an_id(1)}

    # While others write

    async def test_images_are_found_by_their_objects_of_now_while_these_are_replaced(
        self, repository: SimilarityRepository
    ) -> None:
        await repository.upsert([holding(number, 0.9, 0.5) for number in range(8)])
        writing = True

        async def replace_objects(number: int) -> None:
            for turn in range(12):
                label = f"turn {turn}"
                await repository.upsert([holding(number, *np.linspace(0.9, 0.1, 1 + turn % 4), label=label)])

        async def search() -> int:
            searches = 0
            while writing:
                matches = await repository.nearest_objects(a_query(AXIS, limit=8))
                assert set(ids(matches)) == {an_id(number) for number in range(8)}
                assert all(match.region in match.image.objects for match in matches)
                searches += 1
            return searches

        searching = [asyncio.create_task(search()) for _ in range(3)]
        try:
            await asyncio.gather(*map(replace_objects, range(8)))
        finally:
            writing = False
            searches = sum(await asyncio.gather(*searching))
        assert searches >= 3
        assert (await repository.status()).objects == 8 * 4

    async def test_objects_agree_with_their_image_whatever_overlapped(self, repository: SimilarityRepository) -> None:
        await repository.upsert([holding(number, 0.9, 0.5, metadata={"n": -1}) for number in range(4)])

        async def write(number: int, turn: int) -> None:
            if turn % 2:
                await repository.update([a_record(number, metadata={"n": turn})])
            else:
                await repository.upsert([holding(number, 0.9, *[0.5] * (turn % 3), metadata={"n": turn})])

        await asyncio.gather(*(write(number, turn) for turn in range(10) for number in range(4)))
        records = await repository.get([an_id(number) for number in range(4)])
        for n in range(-1, 10):
            matches = await repository.nearest_objects(a_query(AXIS, limit=10, where=where("metadata.n", eq=n)))
            assert set(ids(matches)) == {record.id for record in records.values() if record.metadata["n"] == n}
        assert (await repository.status()).objects == sum(len(record.objects) for record in records.values())
        vectors = await repository.object_embeddings(list(records))
        assert {id_: len(vectors[id_]) for id_ in records} == {
            id_: len(record.objects) for id_, record in records.items()
        }
