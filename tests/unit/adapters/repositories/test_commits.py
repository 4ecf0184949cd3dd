"""How the repository cuts a large upsert into writes."""

import numpy as np
import pytest

from adapters.repositories.qdrant.layout import Generation, image_vector, object_vector, record_of
from adapters.repositories.qdrant.points import POINTS_PER_COMMIT, Point
from adapters.repositories.qdrant.repository import _commits
from domain.images import IndexedImage
from tests.builders import a_space, an_id, an_image, an_object

SPACE = a_space(16)
MOST = POINTS_PER_COMMIT


def with_objects(number: int, count: int) -> IndexedImage:
    return an_image(number, objects=tuple(an_object(x=float(place)) for place in range(count)))


def generations_of(points: list[Point]) -> list[Generation]:
    return [Generation.of(point) for point in points]


@pytest.mark.parametrize("counts", [[], [0], [MOST - 1], [MOST + 5], [0] * 1_200, [10] * 120, [3, 600, 0, 7, 499, 0]])
def test_every_image_is_in_one_write_of_bounded_size(counts: list[int]) -> None:
    images = [with_objects(number, count) for number, count in enumerate(counts)]

    commits = _commits(images, SPACE)

    stored = [point for points, _ in commits for point in points]
    assert [record_of(point) for point in stored] == [image.record for image in images]
    assert {point.vector_name for point in stored} <= {image_vector(SPACE)}
    assert all((point.vector == image.embedding).all() for point, image in zip(stored, images, strict=True))
    stored_objects = [point for _, points in commits for point in points]
    assert {point.vector_name for point in stored_objects} <= {object_vector(SPACE)}
    embeddings = [embedding for image in images for embedding in image.object_embeddings]
    assert all((point.vector == vector).all() for point, vector in zip(stored_objects, embeddings, strict=True))
    for images_, objects in commits:
        assert len(images_) + len(objects) <= MOST or len(images_) == 1
        assert [id_ for generation in generations_of(images_) for id_ in generation.point_ids] == [
            point.id for point in objects
        ]


def test_a_write_is_as_large_as_may_be() -> None:
    images = [with_objects(number, 9) for number in range(2 * MOST // 10)]
    assert [len(images_) + len(objects) for images_, objects in _commits(images, SPACE)] == [MOST, MOST]


def test_the_last_of_an_id_counts() -> None:
    [(images, objects)] = _commits([with_objects(1, 3), with_objects(2, 1), with_objects(1, 0)], SPACE)
    assert {generation.image: generation.object_count for generation in generations_of(images)} == {
        str(an_id(1)): 0,
        str(an_id(2)): 1,
    }
    assert len(objects) == 1


def test_nothing_is_asked_for_when_one_embedding_is_unfit() -> None:
    unfit = an_image(2, objects=(an_object(),), object_embeddings=np.zeros((1, 16), np.float32))
    with pytest.raises(ValueError, match="object 0"):
        _commits([with_objects(1, 1), unfit], SPACE)
