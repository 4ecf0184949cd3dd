from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from adapters.encoders.preprocessing import Pixels, Preprocessing
from adapters.toolchain.photos import Photos
from adapters.toolchain.projection import VIEWS, Features, Projection, background, fit_projection
from adapters.toolchain.views import view_of
from domain.embeddings import normalised
from domain.errors import ModelError
from domain.raster import RasterImage

PREPROCESSING = Preprocessing(size=16, fit="letterbox", mean=(0.5,) * 3, std=(0.5,) * 3, pooling="model")


SUBJECTS = 8


def some_photos(count: int = 24) -> Photos:
    """Those of a subject are nearly the same."""
    random = np.random.default_rng(1)
    motifs = random.integers(0, 200, (SUBJECTS, 4, 5, 3), dtype=np.uint8)
    subjects = [number % SUBJECTS for number in range(count)]
    rasters = []
    for subject in subjects:
        coarse = motifs[subject] + random.integers(0, 50, motifs[subject].shape, dtype=np.uint8)
        rasters.append(RasterImage(pixels=np.kron(coarse, np.ones((8, 8, 1), np.uint8)), width=40, height=32))
    return Photos(rasters=rasters, subjects=[str(subject) for subject in subjects])


def extract(pixels: Pixels) -> Features:
    """A stand-in for a model, without the invariances of one."""
    return normalised(pixels.reshape(len(pixels), -1).astype(np.float32))


@pytest.fixture(scope="module")
def fitted() -> Projection:
    return fit_projection(extract, PREPROCESSING, some_photos(), dimension=20)


def embeddings_of(projection: Projection, photos: Photos) -> NDArray[np.float32]:
    return projection(extract(PREPROCESSING.prepared(photos.rasters)))


def test_embeddings_are_of_the_dimension_and_of_length_1(fitted: Projection) -> None:
    embeddings = embeddings_of(fitted, some_photos())
    assert embeddings.shape == (24, 20)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-5)


def test_the_same_photos_give_the_same_projection(fitted: Projection) -> None:
    assert fit_projection(extract, PREPROCESSING, some_photos(), dimension=20).digest == fitted.digest


def test_views_of_a_photo_come_nearer_to_it_than_they_were(fitted: Projection) -> None:
    photos = some_photos()
    random = np.random.default_rng(99)  # other views than those of the fit
    views = Photos(rasters=[view_of(raster, random) for raster in photos.rasters], subjects=photos.subjects)
    features = [extract(PREPROCESSING.prepared(each.rasters)) for each in (photos, views)]

    def apart(photos: NDArray[np.float32], views: NDArray[np.float32]) -> float:
        """How much nearer to its photo a view is than to the others, in standard deviations of those."""
        cosines = views @ photos.T
        own, others = cosines.diagonal(), cosines[~np.eye(len(cosines), dtype=bool)]
        return float((own.mean() - others.mean()) / others.std())

    assert apart(fitted(features[0]), fitted(features[1])) > 1.2 * apart(*features)


def test_no_number_carries_more_than_the_others(fitted: Projection) -> None:
    # Without the rotation the first principal component would carry most.
    variances = embeddings_of(fitted, some_photos()).var(axis=0)
    assert variances.max() < 6 * variances.mean()


def test_a_dimension_beyond_what_the_photos_span_is_cut(fitted: Projection) -> None:
    wide = fit_projection(extract, PREPROCESSING, some_photos(), dimension=5_000)
    assert wide.matrix.shape[1] <= 24 * (1 + VIEWS)


def test_a_projection_is_written_and_read(fitted: Projection, tmp_path: Path) -> None:
    fitted.save(tmp_path / "projection.npz")
    read = Projection.read(tmp_path / "projection.npz")
    assert (read.digest, read.likeness) == (fitted.digest, fitted.likeness)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.npz").write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError, match=r"other\.npz holds no projection that `models fit` wrote"):
        Projection.read(tmp_path / "other.npz")


def test_the_rare_cosine_is_where_one_pair_in_ten_thousand_is() -> None:
    random = np.random.default_rng(2)
    # Exponential above the median, as the cosines of photos are.
    many = 0.05 + 0.05 * random.exponential(size=4_000_000)
    scale = background(many[:40_000])
    assert scale.median == pytest.approx(np.median(many), abs=0.005)
    assert scale.rare == pytest.approx(np.quantile(many, 1 - 1e-4), abs=0.04)


def test_a_few_pairs_mistaken_for_unrelated_do_not_move_the_scale() -> None:
    cosines = 0.05 + 0.05 * np.random.default_rng(2).exponential(size=40_000)
    spoilt = np.concatenate([cosines, np.full(20, 0.99)])
    assert background(spoilt).rare == pytest.approx(background(cosines).rare, abs=0.05)


def test_a_scale_leaves_room_for_what_is_alike_even_where_the_tail_is_long() -> None:
    cosines = np.concatenate([np.zeros(970), np.linspace(0.3, 0.9, 30)])
    assert background(cosines).rare < 0.95


def test_pairs_of_one_subject_do_not_count_as_unrelated(fitted: Projection) -> None:
    photos = some_photos()
    all_apart = Photos(rasters=photos.rasters, subjects=[str(number) for number in range(len(photos.rasters))])
    mistaken = fit_projection(extract, PREPROCESSING, all_apart, dimension=20)
    assert mistaken.digest == fitted.digest
    assert fitted.likeness.images.rare < 0.9
    assert mistaken.likeness.images.rare > fitted.likeness.images.rare + 0.1


def test_photos_of_one_subject_tell_nothing_of_unrelated_ones() -> None:
    photos = Photos(rasters=some_photos().rasters, subjects=["the same"] * 24)
    with pytest.raises(ModelError, match="give more varied ones"):
        fit_projection(extract, PREPROCESSING, photos)
