"""The web page's session: the key is sent once, and a cookie that scripts cannot read stands for it afterwards."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from entrypoints.http.access.gate import COOKIE, caller_of
from entrypoints.http.access.key_ring import KeyRing
from entrypoints.http.access.roles import granted_role, require
from entrypoints.http.routes.dependencies import ContainerOf, ProxyRoot
from entrypoints.keys import Role

THIRTY_DAYS = 30 * 24 * 3600

router = APIRouter(prefix="/session", include_in_schema=False)


class SessionOut(BaseModel):
    """The role of the page's visitor, how much may be sent, and whether pictures may be named by their URLs."""

    keys: bool
    role: Role | None
    max_upload_bytes: int
    fetching: bool


@router.get("")
async def session(request: Request, container: ContainerOf) -> SessionOut:
    """Whether keys are configured, and the role that the caller has. Open to all."""
    settings = container.settings()
    return SessionOut(
        keys=settings.auth.has_keys,
        role=granted_role(request),
        max_upload_bytes=settings.http.max_upload_bytes,
        fetching=settings.fetch.enabled,
    )


@router.post("", status_code=HTTPStatus.NO_CONTENT, response_class=Response, dependencies=[require(Role.READ)])
async def sign_in(request: Request, response: Response, root: ProxyRoot) -> None:
    """Set the cookie that stands for the key in the header."""
    key = caller_of(request)
    keys: KeyRing = request.app.state.keys
    if key is not None:
        response.set_cookie(
            COOKIE,
            keys.token_of(key),
            max_age=THIRTY_DAYS,
            path=f"{root}/",
            secure=request.scope["scheme"] == "https",
            httponly=True,
            samesite="strict",
        )


@router.delete("", status_code=HTTPStatus.NO_CONTENT, response_class=Response)
async def sign_out(response: Response, root: ProxyRoot) -> None:
    """Forget the cookie."""
    response.delete_cookie(COOKIE, path=f"{root}/", httponly=True, samesite="strict")
