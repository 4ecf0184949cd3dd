"""Records and embeddings for tests: small, deterministic, each numbered one different."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from domain.appearance import COLOURS, Appearance
from domain.embeddings import Embedding, Embeddings, EmbeddingSpace, normalised
from domain.geometry import BoundingBox
from domain.images import DetectedObject, ImageId, ImageRecord, IndexedImage, id_of_content, sha256_of
from domain.search import NearestQuery

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def a_space(dimension: int = 16, *, model: str = "test-model") -> EmbeddingSpace:
    return EmbeddingSpace(
        model=model,
        weights_digest="9656183e" * 8,
        dimension=dimension,
        preprocessing="letterbox 320 bicubic, mean 0.5, std 0.5, GeM 3",
        decode_version=1,
    )


def box(x_min: float, y_min: float, x_max: float, y_max: float) -> BoundingBox:
    """Corners in pixels."""
    return BoundingBox(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max)


def an_id(number: int) -> ImageId:
    return id_of_content(sha256_of(f"picture {number}".encode()))


def a_record(number: int = 0, **changes: Any) -> ImageRecord:
    """Record `number`, created `number` seconds after EPOCH."""
    fields: dict[str, Any] = {
        "id": an_id(number),
        "filename": f"{number:05d}.jpg",
        "media_type": "image/jpeg",
        "width": 640 + number,
        "height": 480,
        "size_bytes": 10_000 + number,
        "sha256": sha256_of(f"picture {number}".encode()),
        "created_at": EPOCH + timedelta(seconds=number),
        "updated_at": EPOCH + timedelta(seconds=number),
        "metadata": {},
        "objects": (),
    }
    fields |= changes
    return ImageRecord(**({"updated_at": fields["created_at"]} | fields))


def an_appearance(seed: int = 0, *, low_detail: bool = False) -> Appearance:
    """Appearance `seed`, with colours and a digest of its own."""
    colours = np.random.default_rng(seed).integers(0, 256, COLOURS, dtype=np.uint8)
    return Appearance(pixels=f"{seed:032x}", low_detail=low_detail, colours=colours.tobytes())


def an_embedding(seed: int = 0, *, dimension: int = 16) -> Embedding:
    """A random direction, L2-normalised."""
    return normalised(np.random.default_rng(seed).standard_normal(dimension))


def an_image(
    number: int = 0,
    *,
    embedding: Embedding | None = None,
    object_embeddings: Embeddings | None = None,
    dimension: int = 16,
    **changes: Any,
) -> IndexedImage:
    """Image `number`, with an embedding for itself and for each of its objects."""
    return indexed(
        a_record(number, **changes),
        embedding=an_embedding(number, dimension=dimension) if embedding is None else embedding,
        object_embeddings=object_embeddings,
    )


def indexed(record: ImageRecord, *, embedding: Embedding, object_embeddings: Embeddings | None = None) -> IndexedImage:
    """The image of `record`; unless they are given, with embeddings of its objects that follow from its id."""
    if object_embeddings is None:
        object_embeddings = some_embeddings(len(record.objects), seed=record.id.int, dimension=len(embedding))
    return IndexedImage(record=record, embedding=embedding, object_embeddings=object_embeddings)


def some_embeddings(count: int, *, seed: int = 0, dimension: int = 16) -> Embeddings:
    """Random directions, L2-normalised, shape (count, dimension)."""
    return normalised(np.random.default_rng(seed).standard_normal((count, dimension)))


def an_object(label: str = "dog", *, score: float = 0.75, x: float = 12.5) -> DetectedObject:
    return DetectedObject(label=label, score=score, box=BoundingBox(x_min=x, y_min=8.25, x_max=x + 100, y_max=310.0))


def a_query(vector: Embedding, **part: Any) -> NearestQuery:
    return NearestQuery(vector=vector, **part)
