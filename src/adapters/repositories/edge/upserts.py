"""Images as requests to store them, each of a bounded number of points."""

from collections.abc import Sequence

import numpy as np

from adapters.repositories.edge.requests import Upsert
from adapters.repositories.edge.write_queue import MAX_POINTS
from adapters.repositories.embedding_checks import checked_object_embeddings, stacked_embeddings
from adapters.repositories.object_payload import Generation
from domain.embeddings import EmbeddingSpace
from domain.images import IndexedImage


def upserts_of(images: Sequence[IndexedImage], space: EmbeddingSpace) -> list[Upsert]:
    """Requests to store the images, the last one of each id.

    Raises ValueError, before there is any request, for an embedding that is not of `space`.
    """
    last_of_each = list({image.record.id: image for image in images}.values())
    vectors = stacked_embeddings(last_of_each, space)
    object_vectors = checked_object_embeddings(last_of_each, space)
    upserts: list[Upsert] = []
    for batch in _batches([1 + len(image.record.objects) for image in last_of_each]):
        records = [image.record for image in last_of_each[batch]]
        upserts.append(
            Upsert(
                records=records,
                generations=[Generation.new(record) for record in records],
                vectors=vectors[batch].tobytes(),
                object_vectors=np.concatenate(object_vectors[batch]).tobytes(),
            )
        )
    return upserts


def _batches(points: Sequence[int]) -> list[slice]:
    """Slices of images that have at most MAX_POINTS together, or are single."""
    batches: list[slice] = []
    first = total = 0
    for place, count in enumerate(points):
        if place > first and total + count > MAX_POINTS:
            batches.append(slice(first, place))
            first, total = place, 0
        total += count
    return [*batches, slice(first, len(points))] if points else []
