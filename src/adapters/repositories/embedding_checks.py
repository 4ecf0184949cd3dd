"""What every repository checks before it stores or compares a vector: backends accept NaN and zero silently."""

from collections.abc import Sequence

import numpy as np

from domain.embeddings import Embedding, Embeddings, EmbeddingSpace
from domain.images import IndexedImage
from domain.ports.similarity_repository import MAX_WINDOW

LENGTH_TOLERANCE = 1e-3
"""How far from 1 a length may be: float32 and half-precision rounding stay well below, another scale well above."""


def stacked_embeddings(images: Sequence[IndexedImage], space: EmbeddingSpace) -> Embeddings:
    """The images' embeddings, float32 of shape (len(images), space.dimension).

    Raises ValueError, naming the image, for an embedding of another shape, that is not finite or not of length 1.
    """
    vectors = np.empty((len(images), space.dimension), dtype=np.float32)
    for row, image in enumerate(images):
        vectors[row] = checked_embedding(image.embedding, space, of=f"image {image.record.id}")
    return vectors


def checked_object_embeddings(images: Sequence[IndexedImage], space: EmbeddingSpace) -> Sequence[Embeddings]:
    """For each image its objects' embeddings, float32 of shape (len(record.objects), space.dimension).

    Raises ValueError, naming the image, if there is not one for each object, or for one that is not finite or not of
    length 1.
    """
    checked: list[Embeddings] = []
    for image in images:
        vectors = np.asarray(image.object_embeddings, dtype=np.float32)
        expected = (len(image.record.objects), space.dimension)
        if vectors.shape != expected:
            raise ValueError(
                f"The object embeddings of image {image.record.id} have shape {vectors.shape}; for its "
                f"{expected[0]} objects {space.model} makes {expected}."
            )
        for index, length in enumerate(np.linalg.norm(vectors, axis=1)):
            _check_length(float(length), of=f"object {index} of image {image.record.id}")
        checked.append(vectors)
    return checked


def checked_embedding(vector: Embedding, space: EmbeddingSpace, *, of: str) -> Embedding:
    """`vector` as float32 of shape (space.dimension,). Raises ValueError, naming what it is an embedding `of`."""
    values = np.asarray(vector, dtype=np.float32)
    if values.shape != (space.dimension,):
        raise ValueError(f"The embedding of {of} has shape {values.shape}; {space.model} makes ({space.dimension},).")
    _check_length(float(np.linalg.norm(values)), of=of)
    return values


def _check_length(length: float, *, of: str) -> None:
    if not abs(length - 1.0) <= LENGTH_TOLERANCE:  # NaN and infinity fail every comparison
        raise ValueError(f"The embedding of {of} has length {length}; embeddings are L2-normalised to length 1.")


def check_window(limit: int, offset: int) -> None:
    """Raise ValueError unless 1 <= limit, 0 <= offset and offset + limit <= MAX_WINDOW."""
    if limit < 1 or offset < 0 or offset + limit > MAX_WINDOW:
        raise ValueError(f"limit {limit} with offset {offset}: 1 <= limit, 0 <= offset, together at most {MAX_WINDOW}.")
