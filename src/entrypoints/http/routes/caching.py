"""Conditional requests."""

from fastapi import Request


def is_current(request: Request, etag: str) -> bool:
    """Whether the copy that the caller has is the one of this ETag."""
    tags = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    return etag in tags or "*" in tags
