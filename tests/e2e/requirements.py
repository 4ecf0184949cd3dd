"""What these tests need besides Python packages."""

import os

import pytest


def require(there: bool, missing: str) -> None:
    """Skip without it, loudly; in continuous integration, where all of it is installed, fail."""
    if there:
        return
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)
