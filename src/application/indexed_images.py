"""Images as they are indexed: their records, with the embeddings that belong to these."""

from collections.abc import Mapping, Sequence

from domain.images import ImageId, ImageRecord, IndexedImage
from domain.ports.similarity_repository import SimilarityRepository


async def indexed_images(
    repository: SimilarityRepository, records: Sequence[ImageRecord]
) -> Mapping[ImageId, IndexedImage | None]:
    """Those of the images that are still there, as they are now; None for one that has lost some of its objects.

    Others may replace an image, or detect its objects anew, between two requests. Then all are read again.
    """
    while True:
        ids = [record.id for record in records]
        embeddings = await repository.embeddings(ids)
        objects = await repository.object_embeddings(ids)
        now = await repository.get(ids)
        if all(_is_same_picture(now[record.id], record) for record in records if record.id in now):
            break
        records = list(now.values())
    return {
        id_: None
        if (of_objects := objects.get(id_)) is None
        else IndexedImage(record=now[id_], embedding=embeddings[id_], object_embeddings=of_objects)
        for id_ in ids
        if id_ in now and id_ in embeddings
    }


def _is_same_picture(record: ImageRecord, other: ImageRecord) -> bool:
    return (record.sha256, record.objects) == (other.sha256, other.objects)
