"""The embeddings of images' objects, also where some images have lost theirs."""

from collections.abc import Mapping, Sequence

from domain.embeddings import Embeddings
from domain.errors import IndexDamagedError
from domain.images import ImageId
from domain.ports.similarity_repository import SimilarityRepository


async def undamaged_objects(
    repository: SimilarityRepository, ids: Sequence[ImageId]
) -> tuple[Mapping[ImageId, Embeddings], Mapping[ImageId, IndexDamagedError]]:
    """Those of the images that have them all, and for each of the others what is wrong with it.

    The repository refuses a group for one image: halving finds out which.
    """
    try:
        return await repository.object_embeddings(ids), {}
    except IndexDamagedError as error:
        if len(ids) == 1:
            return {}, {ids[0]: error}
    half = len(ids) // 2
    first, first_damaged = await undamaged_objects(repository, ids[:half])
    second, second_damaged = await undamaged_objects(repository, ids[half:])
    return {**first, **second}, {**first_damaged, **second_damaged}
