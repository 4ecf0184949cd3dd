"""What of the HTTP contract depends on the encoder, with torch."""

import pytest

from tests.contracts.api import EncoderContract


@pytest.fixture(scope="module")
def deployment() -> dict[str, str]:
    return {"REPOSITORY__BACKEND": "memory", "ENCODER__RUNTIME": "torch"}


class TestMemoryWithTorch(EncoderContract): ...
