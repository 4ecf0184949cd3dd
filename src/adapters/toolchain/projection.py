"""A linear layer behind a model's features, fitted without labels, so that embeddings ignore what views change.

Subtract the mean; whiten by invariance, which weakens the directions in which views of one picture differ; keep the
principal components of the result; turn them by a fixed random rotation, so that every number carries alike.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adapters.encoders.preprocessing import Pixels, Preprocessing
from adapters.toolchain.photos import Photos
from adapters.toolchain.views import view_of
from domain.embeddings import Embeddings, normalised
from domain.errors import ModelError
from domain.geometry import BoundingBox
from domain.raster import RasterImage
from domain.scores import LikenessScale, LikenessScales

Features = NDArray[np.float32]
"""L2-normalised, shape (n, wide)."""

SEED = 20
DIMENSION = 512
"""On 3,440 photos of clothes that the fit had not seen, P@5 .821, and .979 of 1,800 altered pictures found first;
.819 and .971 with 256."""

VIEWS = 4
"""Of each photo."""

RIDGE = 0.3
"""Of the mean variance between views: added to each, so that no direction is blown up."""

EXPONENT = -0.25
"""Of the variances: halfway to whitening proper, which lost more than it gained."""

FOLDS = 5
"""Of the photos: what cosines mean is measured with layers that have not seen one picture of each pair."""

TAIL = 0.01
"""The share of unrelated pairs from which the rarest are extrapolated."""

RARE = 1e-4
"""What is called rare: one unrelated pair in ten thousand."""

LEAST_CROP, MOST_CROP = 0.2, 0.7
"""Of a photo's sides: about what objects are cut out at."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Projection:
    """Features to embeddings: `normalise(features @ matrix + offset)`."""

    matrix: NDArray[np.float32]
    """Shape (wide, dimension)."""
    offset: NDArray[np.float32]
    """Shape (dimension,)."""
    likeness: LikenessScales
    """What the embeddings' cosines mean."""

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the numbers."""
        return hashlib.sha256(self.matrix.tobytes() + self.offset.tobytes()).hexdigest()

    def __call__(self, features: Features) -> Embeddings:
        """Embeddings, shape (n, dimension)."""
        return normalised(features @ self.matrix + self.offset)

    def save(self, path: Path) -> None:
        """Write it to a file. Raises OSError."""
        scales = [(scale.median, scale.rare) for scale in (self.likeness.images, self.likeness.objects)]
        np.savez(path, matrix=self.matrix, offset=self.offset, likeness=scales)

    @classmethod
    def read(cls, path: Path) -> "Projection":
        """What `save` wrote. Raises ModelError."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                images, objects = (
                    LikenessScale(median=median, rare=rare) for median, rare in stored["likeness"].tolist()
                )
                likeness = LikenessScales(images=images, objects=objects)
                return cls(matrix=stored["matrix"], offset=stored["offset"], likeness=likeness)
        except (OSError, KeyError, ValueError) as error:
            raise ModelError(f"{path} holds no projection that `models fit` wrote: {error}") from error


def fit_projection(
    extract: Callable[[Pixels], Features], preprocessing: Preprocessing, photos: Photos, *, dimension: int = DIMENSION
) -> Projection:
    """Fit the layer on photos and `VIEWS` views of each, the same ones every time, and measure what cosines mean.

    The dimension is smaller than asked for where the photos and their views span no more. Raises ModelError where the
    photos tell nothing of unrelated pictures.
    """
    random = np.random.default_rng(SEED)
    rows, crops = [], []
    for raster in photos.rasters:
        views = [raster, *(view_of(raster, random) for _ in range(VIEWS)), _crop(raster, random)]
        features = extract(preprocessing.prepared(views))
        rows.append(features[:-1])
        crops.append(features[-1])
    samples = np.array(rows)
    matrix, offset = _fitted(samples, dimension)
    likeness = _likeness_scales(samples, np.array(crops), photos.subjects, dimension)
    return Projection(matrix=matrix, offset=offset, likeness=likeness)


def _fitted(samples: Features, dimension: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Matrix and offset of the layer; `samples` has shape (photos, 1 + VIEWS, wide), the photo itself first."""
    mean = samples[:, 0].mean(axis=0)
    # Everything happens in the span of the samples, whose Gram matrix is smaller than the features' covariance.
    moved = (samples - mean).reshape(-1, mean.size)
    variances, directions = _components(moved @ moved.T)
    basis = moved.T @ (directions / np.sqrt(variances))
    coordinates = (moved @ basis).reshape(*samples.shape[:2], -1)
    views_apart = coordinates[:, 1:] - coordinates[:, 1:].mean(axis=1, keepdims=True)
    changes = views_apart.reshape(-1, coordinates.shape[2])
    variances, directions = np.linalg.eigh(changes.T @ changes / len(changes))
    ridge = RIDGE * variances.sum() / mean.size
    whitening = (directions * (np.maximum(variances, 0) + ridge) ** EXPONENT) @ directions.T
    whitened = coordinates.reshape(len(moved), -1) @ whitening
    _, components = np.linalg.eigh(whitened.T @ whitened)
    principal = components[:, ::-1][:, :dimension]
    random = np.random.default_rng(SEED)
    rotation, _ = np.linalg.qr(random.standard_normal((principal.shape[1], principal.shape[1])))
    matrix = (basis @ (whitening @ principal @ rotation)).astype(np.float32)
    return matrix, -(mean @ matrix)


def _components(gram: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalues and eigenvectors of a Gram matrix, but those of rounding."""
    values, vectors = np.linalg.eigh(gram.astype(np.float64))
    kept = values > values[-1] * 1e-7
    return values[kept], vectors[:, kept]


def _likeness_scales(samples: Features, crops: Features, subjects: Sequence[str], dimension: int) -> LikenessScales:
    """What cosines mean, by pairs of different subjects: two photos, and a photo and a crop as objects are cut out.

    A layer takes the photos that it was fitted on farther apart than others. So the first photo of each pair is one
    that the layer has not seen, of `FOLDS` layers. Raises ModelError where all photos are of one subject.
    """
    unrelated = np.array(subjects)[:, np.newaxis] != np.array(subjects)
    fold_of = np.random.default_rng(SEED).permutation(len(samples)) % FOLDS
    images, objects = [], []
    for fold in range(FOLDS):
        held_out, seen = np.flatnonzero(fold_of == fold), np.flatnonzero(fold_of != fold)
        matrix, offset = _fitted(samples[seen], dimension)
        photos = normalised(samples[:, 0] @ matrix + offset)
        parts = normalised(crops[seen] @ matrix + offset)
        pairs = unrelated[np.ix_(held_out, seen)]
        images.append((photos[held_out] @ photos[seen].T)[pairs])
        objects.append((photos[held_out] @ parts.T)[pairs])
    try:
        return LikenessScales(images=background(np.concatenate(images)), objects=background(np.concatenate(objects)))
    except (ValueError, IndexError) as error:
        raise ModelError(f"The photos tell nothing of unrelated pictures ({error}): give more varied ones.") from error


def _crop(raster: RasterImage, random: np.random.Generator) -> RasterImage:
    width, height = random.uniform(LEAST_CROP, MOST_CROP, 2) * (raster.width, raster.height)
    left, top = random.uniform(0, 1, 2) * (raster.width - width, raster.height - height)
    return raster.crop(BoundingBox(x_min=left, y_min=top, x_max=left + width, y_max=top + height))


def background(cosines: NDArray[np.floating]) -> LikenessScale:
    """The scale by cosines of unrelated pairs.

    Few pairs are as rare as one in ten thousand, and one mistaken for unrelated would decide where that is. So the tail
    is taken to fall off exponentially beyond the highest hundredth, as fast as half of that hundredth does; but to
    leave half of the way to 1, which few photos or a poor model would use up.
    """
    median, high, half = np.quantile(cosines, (0.5, 1 - TAIL, 1 - TAIL / 2))
    rare = high + (half - high) * np.log2(TAIL / RARE)
    return LikenessScale(median=float(median), rare=float(min(rare, (1 + half) / 2)))
