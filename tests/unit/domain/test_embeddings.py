from dataclasses import replace

import numpy as np
import pytest

from domain.embeddings import EmbeddingSpace, cosine_of, example_query, normalised
from domain.errors import InvalidExamplesError
from tests.builders import a_space, an_embedding


def test_normalised_vectors_have_length_one() -> None:
    vectors = np.random.default_rng(1).standard_normal((5, 16)) * 1000
    found = normalised(vectors)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(found[0], vectors[0] / np.linalg.norm(vectors[0]), atol=1e-6)
    assert np.isfinite(normalised(np.zeros(16))).all()


@pytest.mark.parametrize(("score", "cosine"), [(1.0000001, 1.0), (-1.0000001, -1.0), (0.25, 0.25)])
def test_rounding_does_not_leave_the_range_of_a_cosine(score: float, cosine: float) -> None:
    assert cosine_of(score) == cosine


def test_positives_are_averaged() -> None:
    one, two = an_embedding(1), an_embedding(2)
    np.testing.assert_allclose(example_query([one], []), one, atol=1e-6)
    np.testing.assert_allclose(example_query([one, two], []), normalised(one + two), atol=1e-6)


def test_negatives_are_opposed() -> None:
    one, two, three = (an_embedding(seed) for seed in (1, 2, 3))
    np.testing.assert_allclose(example_query([], [one]), -one, atol=1e-6)
    np.testing.assert_allclose(example_query([one, two], [three]), normalised(one + two - three), atol=1e-6)


def test_examples_that_give_no_direction_are_refused() -> None:
    one = an_embedding(1)
    for positive, negative in (([], []), ([one, -one], []), ([], [one, -one])):
        with pytest.raises(InvalidExamplesError):
            example_query(positive, negative)


def test_a_space_is_told_by_every_field() -> None:
    space = a_space()
    changes = {"model": "b", "weights_digest": "0" * 64, "dimension": 8, "preprocessing": "x", "decode_version": 2}
    others = [replace(space, **{name: value}) for name, value in changes.items()]  # type: ignore[arg-type]
    assert len({each.fingerprint for each in [space, *others]}) == 6
    for name, other in zip(changes, others, strict=True):
        stored, new = getattr(space, name), getattr(other, name)
        assert space.differences(other) == f"{name}: {stored} (stored) / {new} (encoder)"
        assert space.differences(other, ("backup", "index")) == f"{name}: {stored} (backup) / {new} (index)"
    assert space.differences(space) == ""
    assert EmbeddingSpace.from_mapping(space.as_mapping()) == space
    # It is stored with indexes: it may never come out otherwise.
    assert space.fingerprint == replace(space).fingerprint == "418431ba9bbaf231"
