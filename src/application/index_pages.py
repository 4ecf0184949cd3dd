"""All of an index, page by page."""

from collections.abc import AsyncIterator

from domain.filters import EVERYTHING, Filter
from domain.listing import ImagePage
from domain.ports.similarity_repository import SimilarityRepository

PAGE_SIZE = 500
"""Every page counts all that there are, so that many small ones would take longer than what is done with them."""


async def pages_of(
    repository: SimilarityRepository, *, page_size: int = PAGE_SIZE, where: Filter = EVERYTHING
) -> AsyncIterator[ImagePage]:
    """Every image that matches and exists throughout, newest first; none of the pages is empty."""
    page = await repository.list(limit=page_size, where=where)
    while page.items:
        yield page
        if page.next_cursor is None:
            return
        page = await repository.list(limit=page_size, after=page.next_cursor, where=where)
