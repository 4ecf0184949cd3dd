"""Who may call what: by a key in the header, or by the cookie that stands for one in the web page."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, HTTPException, Request, params
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from entrypoints.settings import Role, Settings

COOKIE = "lookalike_session"
PAGE_HEADER = "X-Lookalike-Page"
"""The page sends it with whatever changes something. Another site cannot: browsers ask us first, and we never agree.
A cookie alone therefore changes nothing, not even from another port of the same host, which counts as the same site."""

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_bearer = HTTPBearer(auto_error=False, description="A key of LOOKALIKE_AUTH__KEYS, where keys are configured.")
_RANK = {role: rank for rank, role in enumerate(Role)}

Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


@dataclass(frozen=True, slots=True)
class RequiredRole:
    """Lets through callers whose key has `role` or more; everybody, where no keys are configured."""

    role: Role

    async def __call__(self, request: Request, credentials: Credentials) -> None:
        """As a dependency. Raises HTTPException 401 or 403."""
        granted = granted_role(request, credentials)
        if granted is None:
            raise HTTPException(
                401, "Send a valid key: Authorization: Bearer <key>.", headers={"WWW-Authenticate": "Bearer"}
            )
        if _RANK[granted] < _RANK[self.role]:
            raise HTTPException(403, f"This needs a key with the role {self.role}; yours has the role {granted}.")

    async def check(self, request: Request) -> None:
        """The same for those who hold nothing but the request."""
        await self(request, await _bearer(request))


def require(role: Role) -> params.Depends:
    """The dependency of a route that needs `role`."""
    return params.Depends(RequiredRole(role))


def granted_role(request: Request, credentials: HTTPAuthorizationCredentials | None) -> Role | None:
    """The caller's role, by the key in the header or else by the page's cookie; the highest without keys."""
    settings: Settings = request.app.state.container.settings()
    if not settings.auth.keys:
        return Role.ADMIN
    if credentials is not None:
        return _role_of(credentials.credentials, {key: key for key in settings.auth.keys}, settings)
    if request.method in _SAFE_METHODS or PAGE_HEADER in request.headers:
        tokens = {key: session_token(key) for key in settings.auth.keys}
        return _role_of(request.cookies.get(COOKIE, ""), tokens, settings)
    return None


def session_token(key: str) -> str:
    """What the page's cookie holds: it stands for the key as long as that is configured, and does not tell it."""
    return hmac.digest(key.encode(), b"lookalike web page session", hashlib.sha256).hex()


def _role_of(given: str, secrets: dict[str, str], settings: Settings) -> Role | None:
    """The role of the key whose secret was given. All are compared, in constant time, so that timing tells nothing."""
    found = None
    for key, secret in secrets.items():
        if hmac.compare_digest(secret.encode(), given.encode()):
            found = settings.auth.keys[key]
    return found
