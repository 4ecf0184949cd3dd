"""Paths as the routes know them: without the one under which a proxy serves us."""

from starlette.types import Scope


def own_path(scope: Scope) -> str:
    """The path below the root path, such as `/v1/images`."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def is_health(scope: Scope) -> bool:
    """Whether this asks how the service is: always open, never counted, answered to the end."""
    return own_path(scope).startswith("/health/")
