"""Which route a request took: its template, of which there are few, where paths are as many as callers make up."""

from collections.abc import Hashable

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.types import Scope

UNMATCHED = "unmatched"
"""No route took it; or it was refused before one could."""


class RouteTemplates:
    """The templates of an application's routes, `/v1/images/{id:uuid}` without the converter."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._by_endpoint: dict[Hashable, str] = {}

    def of(self, scope: Scope) -> str:
        """The template of the route that the request has taken by now.

        By its endpoint: `scope["route"]` lacks the prefix with which a router was included.
        """
        endpoint = scope.get("endpoint")
        if endpoint is None:
            return UNMATCHED
        if endpoint not in self._by_endpoint:  # the first of all requests, or a route that was added since
            self._by_endpoint = self._read()
        return self._by_endpoint.setdefault(endpoint, UNMATCHED)

    def _read(self) -> dict[Hashable, str]:
        found: dict[Hashable, str] = {}
        for route in iter_route_contexts(self._app.routes):
            # What is mounted is its own endpoint.
            endpoint = getattr(route, "endpoint", None) or getattr(route, "app", None)
            if endpoint is not None and route.path_format is not None:
                found[endpoint] = route.path_format
        return found
