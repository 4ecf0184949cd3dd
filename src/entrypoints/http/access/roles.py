"""The role that an operation needs, checked against that of the caller's key, which `gate.py` recognises."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, HTTPException, Request, params
from fastapi.security import APIKeyQuery, HTTPAuthorizationCredentials, HTTPBearer

from entrypoints.http.access.gate import caller_of
from entrypoints.http.access.key_ring import KeyRing
from entrypoints.keys import Role
from entrypoints.settings import AuthSettings

_bearer = HTTPBearer(auto_error=False, description="A key, where keys are configured.")
_signature = APIKeyQuery(
    name="signature",
    scheme_name="SignedLink",
    auto_error=False,
    description="`links.thumbnail` of an image as it is, where keys are configured: it loads without a key until it "
    "expires.",
)

Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
Signature = Annotated[str | None, Depends(_signature)]


@dataclass(frozen=True, slots=True)
class RequiredRole:
    """Lets through callers whose key has `role` or more; all callers, where no keys are configured."""

    role: Role

    async def __call__(self, request: Request, _: Credentials) -> None:
        """As a dependency; the parameter puts the way to send a key into the OpenAPI document."""
        self.check(request)

    def check(self, request: Request) -> None:
        """The same outside of FastAPI's dependencies. Raises HTTPException 401 or 403."""
        granted = granted_role(request)
        if granted is None:
            raise HTTPException(
                401, "Send a valid key: Authorization: Bearer <key>.", headers={"WWW-Authenticate": "Bearer"}
            )
        if not has_role(request, self.role):
            raise HTTPException(403, f"This needs a key with the role {self.role}; yours has the role {granted}.")


def require(role: Role) -> params.Depends:
    """The dependency of a route that needs `role`."""
    return params.Depends(RequiredRole(role))


async def require_reading_or_link(request: Request, _: Credentials, __: Signature) -> None:
    """As a dependency of thumbnails: a key that reads, or a link that seems signed. Raises HTTPException.

    The route checks the signature, for which the image's record is needed.
    """
    if not {"expires", "signature"} & request.query_params.keys():
        RequiredRole(Role.READ).check(request)


async def require_docs_access(request: Request) -> None:
    """As a dependency of the documentation: open, or for admins (LOOKALIKE_AUTH__OPEN_DOCS). Raises HTTPException."""
    if not _auth(request).open_docs:
        RequiredRole(Role.ADMIN).check(request)


async def require_metrics_access(request: Request) -> None:
    """As a dependency of the metrics: open, or for admins (LOOKALIKE_AUTH__OPEN_METRICS). Raises HTTPException."""
    if not _auth(request).open_metrics:
        RequiredRole(Role.ADMIN).check(request)


def granted_role(request: Request) -> Role | None:
    """The caller's role, by the key in the header or else by the page's cookie; the highest without keys."""
    keys: KeyRing = request.app.state.keys
    if keys.is_empty:
        return Role.ADMIN
    key = caller_of(request)
    return None if key is None else key.role


def has_role(request: Request, role: Role) -> bool:
    """Whether the caller has this role or more."""
    granted = granted_role(request)
    return granted is not None and granted.rank >= role.rank


def _auth(request: Request) -> AuthSettings:
    auth: AuthSettings = request.app.state.container.settings().auth
    return auth
