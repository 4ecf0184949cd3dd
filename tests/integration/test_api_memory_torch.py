"""The HTTP contract on the exact in-memory index and torch."""

import pytest

from tests.contracts.api import ApiContract


@pytest.fixture(scope="module")
def deployment() -> dict[str, str]:
    return {"REPOSITORY__BACKEND": "memory", "ENCODER__RUNTIME": "torch"}


class TestMemoryWithTorch(ApiContract): ...
