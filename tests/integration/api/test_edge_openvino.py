"""The HTTP contract on the default deployment: the embedded index and OpenVINO."""

import pytest

from tests.contracts.api import IndexContract


@pytest.fixture(scope="module")
def deployment() -> dict[str, str]:
    return {"REPOSITORY__BACKEND": "edge", "ENCODER__RUNTIME": "openvino"}


class TestEdgeWithOpenVino(IndexContract): ...
