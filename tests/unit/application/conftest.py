from collections.abc import AsyncIterator

import pytest

from tests.unit.application.workshop import Workshop


@pytest.fixture
async def workshop() -> AsyncIterator[Workshop]:
    workshop = await Workshop().open()
    yield workshop
    await workshop.repository.close()
