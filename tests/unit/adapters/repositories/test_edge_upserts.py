"""How the embedded repository cuts a large upsert into requests."""

import numpy as np
import pytest

from adapters.repositories.edge.upserts import upserts_of
from adapters.repositories.edge.write_queue import MAX_POINTS
from domain.images import IndexedImage
from tests.builders import a_space, an_id, an_image, an_object

SPACE = a_space(16)


def with_objects(number: int, count: int) -> IndexedImage:
    return an_image(number, objects=tuple(an_object(x=float(place)) for place in range(count)))


@pytest.mark.parametrize(
    "counts", [[], [0], [MAX_POINTS - 1], [MAX_POINTS + 5], [0] * 1_200, [10] * 120, [3, 600, 0, 7, 499, 0]]
)
def test_every_image_is_in_one_request_of_bounded_size(counts: list[int]) -> None:
    images = [with_objects(number, count) for number, count in enumerate(counts)]

    upserts = upserts_of(images, SPACE)

    assert [record for upsert in upserts for record in upsert.records] == [image.record for image in images]
    assert all(upsert.point_count <= MAX_POINTS or len(upsert.records) == 1 for upsert in upserts)
    assert sum(upsert.point_count for upsert in upserts) == len(counts) + sum(counts)
    vectors = b"".join(upsert.vectors for upsert in upserts)
    assert vectors == b"".join(image.embedding.tobytes() for image in images)
    object_vectors = b"".join(upsert.object_vectors for upsert in upserts)
    assert object_vectors == b"".join(image.object_embeddings.tobytes() for image in images)
    for upsert in upserts:
        assert [generation.image for generation in upsert.generations] == [record.id for record in upsert.records]
        assert len(upsert.object_vectors) == 16 * 4 * (upsert.point_count - len(upsert.records))


def test_the_last_of_an_id_counts() -> None:
    [upsert] = upserts_of([with_objects(1, 3), with_objects(2, 1), with_objects(1, 0)], SPACE)
    assert {record.id: len(record.objects) for record in upsert.records} == {an_id(1): 0, an_id(2): 1}


def test_nothing_is_asked_for_when_one_embedding_is_unfit() -> None:
    unfit = an_image(2, objects=(an_object(),), object_embeddings=np.zeros((1, 16), np.float32))
    with pytest.raises(ValueError, match="object 0"):
        upserts_of([with_objects(1, 1), unfit], SPACE)
