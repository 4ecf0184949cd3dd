"""What is stored of an indexed image, and what it means where that is missing."""

from collections.abc import Awaitable, Callable

from domain.errors import ImageNotFoundError, IndexDamagedError
from domain.images import ImageId
from domain.ports.image_store import ImageStore
from domain.ports.similarity_repository import SimilarityRepository


async def stored_original(id_: ImageId, *, store: ImageStore, repository: SimilarityRepository) -> bytes | None:
    """The original; None where the image was deleted meanwhile. Raises IndexDamagedError where it is still indexed."""
    return await _read(
        store.original,
        id_,
        repository,
        f"The stored original of {id_} is missing. Send the picture again or restore it with `lookalike restore`, with "
        "the encoder that the index was built with; or remove the image from the index too: `lookalike check --repair "
        "--forget-lost`. Then run this again.",
    )


async def stored_thumbnail(id_: ImageId, *, store: ImageStore, repository: SimilarityRepository) -> bytes | None:
    """The thumbnail, likewise."""
    return await _read(
        store.thumbnail,
        id_,
        repository,
        f"The stored thumbnail of {id_} is missing. Render it anew with `lookalike check --repair`, then run this "
        "again.",
    )


async def _read(
    read: Callable[[ImageId], Awaitable[bytes]], id_: ImageId, repository: SimilarityRepository, missing: str
) -> bytes | None:
    try:
        return await read(id_)
    except ImageNotFoundError as error:
        if await repository.get([id_]):
            raise IndexDamagedError(missing) from error
        return None
