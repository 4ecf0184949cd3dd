"""What is stored of an indexed image, and what it means where that is missing."""

from collections.abc import Awaitable, Callable

from domain.errors import ImageNotFoundError, IndexDamagedError, Remedy
from domain.images import ImageId
from domain.ports.image_store import ImageStore
from domain.ports.similarity_repository import SimilarityRepository


async def stored_original(id_: ImageId, *, store: ImageStore, repository: SimilarityRepository) -> bytes | None:
    """The original; None where the image was deleted meanwhile. Raises IndexDamagedError where it is still indexed."""
    return await _read(store.original, id_, repository, "original", Remedy.RESTORE_OR_FORGET_THE_IMAGE)


async def stored_thumbnail(id_: ImageId, *, store: ImageStore, repository: SimilarityRepository) -> bytes | None:
    """The thumbnail, likewise."""
    return await _read(store.thumbnail, id_, repository, "thumbnail", Remedy.RENDER_THE_THUMBNAIL_ANEW)


async def _read(
    read: Callable[[ImageId], Awaitable[bytes]],
    id_: ImageId,
    repository: SimilarityRepository,
    name: str,
    remedy: Remedy,
) -> bytes | None:
    try:
        return await read(id_)
    except ImageNotFoundError as error:
        if await repository.get([id_]):
            raise IndexDamagedError(
                f"The stored {name} of {id_} is missing; mend that, then run this again.", remedy=remedy
            ) from error
        return None
