"""Counts, times and traces every request, by the path of its operation: what is in place of ids does not matter."""

from __future__ import annotations

import time
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ampd.telemetry.job_metrics import REQUEST_SECONDS, REQUESTS
from ampd.telemetry.traces import request_span

# Nobody wants a trace of each look at these.
_NOT_TRACED: Final = frozenset({"/healthz", "/metrics"})
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_ROUTE: Final = "none"


class RequestMeter:
    """ASGI middleware around everything else, so that refusals count too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] in _NOT_TRACED:
            await self._count(scope, receive, send, None)
        else:
            with request_span(scope["method"], Headers(scope=scope)) as span:
                await self._count(scope, receive, send, span)

    async def _count(self, scope: Scope, receive: Receive, send: Send, span: Any) -> None:
        # Nothing was answered: the client has gone, or we have failed in the middle.
        status = "none"

        async def watching(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        started = time.perf_counter()
        try:
            await self._app(scope, receive, watching)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = getattr(scope.get("route"), "path", NO_ROUTE)
            REQUESTS.labels(method, route, status).inc()
            REQUEST_SECONDS.labels(method, route).observe(time.perf_counter() - started)
            if span is not None:
                _describe(span, method, route, status)


def _describe(span: Any, method: str, route: str, status: str) -> None:
    span.update_name(f"{method} {route}")
    span.set_attribute("http.request.method", method)
    span.set_attribute("http.route", route)
    if status.isdecimal():
        span.set_attribute("http.response.status_code", int(status))
