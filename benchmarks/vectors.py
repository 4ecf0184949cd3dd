"""Clustered vectors, and image records that carry them: an index of any size without encoding a picture."""

import uuid
from datetime import UTC, datetime, timedelta

import numpy as np

from domain.embeddings import Embeddings, normalised
from domain.geometry import BoundingBox
from domain.images import DetectedObject, ImageRecord, IndexedImage, id_of_content, sha256_of

DIMENSION = 512
CLUSTERS = 500
SPREAD = 0.6


class Clusters:
    """Vectors around centres, as embeddings of pictures are; the same for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        self._generator = np.random.default_rng(seed)
        self._centres = self._generator.standard_normal((CLUSTERS, DIMENSION))

    def draw(self, count: int) -> Embeddings:
        """`count` more, L2-normalised."""
        chosen = self._centres[self._generator.integers(CLUSTERS, size=count)]
        return normalised(chosen + SPREAD * self._generator.standard_normal(chosen.shape))

    def image(self, number: int, *, objects: int = 0) -> IndexedImage:
        """An image that nobody took, with so many objects."""
        found = tuple(
            DetectedObject(label="thing", score=0.9, box=BoundingBox(x_min=0, y_min=0, x_max=10 + n, y_max=10))
            for n in range(objects)
        )
        vectors = self.draw(1 + objects)
        return IndexedImage(record=a_record(number, found), embedding=vectors[0], object_embeddings=vectors[1:])


def a_record(number: int, objects: tuple[DetectedObject, ...] = ()) -> ImageRecord:
    """Of an image that nobody took, `number` seconds after the others began."""
    sha256 = sha256_of(uuid.UUID(int=number).bytes)
    created_at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
    return ImageRecord(
        id=id_of_content(sha256),
        filename=f"{number}.jpg",
        media_type="image/jpeg",
        width=400,
        height=533,
        size_bytes=1,
        sha256=sha256,
        created_at=created_at,
        updated_at=created_at,
        objects=objects,
    )
