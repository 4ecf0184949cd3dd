"""Conditional requests, and how long which caches may keep a file."""

from collections.abc import Mapping

from fastapi import Request

KEEP = {"Cache-Control": "private, max-age=3600"}
"""Of a file that its caller's key has opened: that caller's browser keeps it."""

KEEP_VERSION = {"Cache-Control": "private, max-age=172800, immutable"}
"""The same of a link that names the version, whose picture never changes. One that is deleted stays for two days."""


def keep_publicly(seconds: int) -> Mapping[str, str]:
    """Of a signed link: everyone with the link may load it, so shared caches keep it, and any site shows it."""
    return {
        "Cache-Control": f"public, max-age={seconds}, immutable",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Access-Control-Allow-Origin": "*",
    }


def is_current(request: Request, etag: str) -> bool:
    """Whether the copy that the caller has is the one of this ETag."""
    tags = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    return etag in tags or "*" in tags
