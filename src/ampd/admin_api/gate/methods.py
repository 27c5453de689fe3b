"""Which methods a path takes. A path without parameters, such as /jobs/stats, is its own: a request with another method
is not one for a job whose id is ``stats``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from starlette.routing import BaseRoute, compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from ampd.admin_api.errors import STATUS_OF, error_response
from ampd.admin_api.rules import api_routes
from ampd.errors import ErrorCode


class Methods:
    """ASGI middleware in front of the routes: answers 405, with all methods that the path takes."""

    def __init__(self, app: ASGIApp, *, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        methods: dict[str, set[str]] = defaultdict(set)
        for route in api_routes(routes):
            methods[route.path] |= route.methods or set()
        self._plain = {path: _listed(taken) for path, taken in methods.items() if "{" not in path}
        self._others = [(compile_path(path)[0], _listed(taken)) for path, taken in methods.items() if "{" in path]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        taken = self._taken_by(scope["path"]) if scope["type"] == "http" else ()
        if not taken or scope["method"] in taken:
            await self._app(scope, receive, send)
            return
        message = f"{scope['path']} does not take {scope['method']}; /openapi.json lists the operations"
        status = STATUS_OF[ErrorCode.METHOD_NOT_ALLOWED]
        allow = {"Allow": ", ".join(taken)}
        await error_response(ErrorCode.METHOD_NOT_ALLOWED, message, status, allow)(scope, receive, send)

    def _taken_by(self, path: str) -> tuple[str, ...]:
        """Return the methods of a path; none when there is nothing."""
        plain = self._plain.get(path)
        if plain is not None:
            return plain
        return next((taken for pattern, taken in self._others if pattern.match(path)), ())


def _listed(methods: set[str]) -> tuple[str, ...]:
    return tuple(sorted(methods))
