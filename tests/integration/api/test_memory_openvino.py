"""The HTTP contract on the exact in-memory index and OpenVINO: all of it, and what is no matter of the deployment."""

import pytest

from tests.contracts.api import IndexContract, RequestsContract


@pytest.fixture(scope="module")
def deployment() -> dict[str, str]:
    return {"REPOSITORY__BACKEND": "memory", "ENCODER__RUNTIME": "openvino"}


class TestMemoryWithOpenVino(IndexContract, RequestsContract): ...
