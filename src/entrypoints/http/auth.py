"""Who may call what."""

import hmac
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, HTTPException, Request, params
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from entrypoints.settings import Role, Settings

_bearer = HTTPBearer(auto_error=False, description="A key of LOOKALIKE_AUTH__KEYS, where keys are configured.")
_RANK = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True, slots=True)
class RequiredRole:
    """Lets through callers whose key has `role` or more; everybody, where no keys are configured."""

    role: Role

    async def __call__(
        self, request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
    ) -> None:
        """As a dependency. Raises HTTPException 401 or 403."""
        settings: Settings = request.app.state.container.settings()
        if not settings.auth.keys:
            return
        granted = None if credentials is None else _role_of(credentials.credentials, settings)
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


def _role_of(key: str, settings: Settings) -> Role | None:
    """The key's role. Every configured key is compared, in constant time, so that timing tells nothing."""
    found = None
    for known, role in settings.auth.keys.items():
        if hmac.compare_digest(known.encode(), key.encode()):
            found = role
    return found
