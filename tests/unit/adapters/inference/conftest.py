import gc
from collections.abc import Iterator

import pytest


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    """What is still there was not let go, however soon a collection would find it."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
