"""What is stored of an indexed image, and what it means where that is missing."""

from domain.errors import ImageNotFoundError, IndexDamagedError, Remedy
from domain.images import ImageRecord
from domain.ports.image_store import ImageStore
from domain.ports.similarity_repository import SimilarityRepository


async def stored_original(record: ImageRecord, *, store: ImageStore, repository: SimilarityRepository) -> bytes | None:
    """The original; None where the image was deleted or replaced meanwhile.

    Raises IndexDamagedError where it is still indexed.
    """
    try:
        return await store.original(record.sha256)
    except ImageNotFoundError as error:
        now = (await repository.get([record.id])).get(record.id)
        if now is not None and now.sha256 == record.sha256:
            raise IndexDamagedError(
                f"The stored original of {record.id} is missing; mend that, then run this again.",
                remedy=Remedy.RESTORE_OR_FORGET_THE_IMAGE,
            ) from error
        return None
