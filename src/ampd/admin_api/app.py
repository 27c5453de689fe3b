"""The application: routes, errors, and the guard around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.utils import get_openapi

from ampd.admin_api.bodies.models import ErrorBody
from ampd.admin_api.dashboard import dashboard_router
from ampd.admin_api.errors import error_responses, install_error_handlers
from ampd.admin_api.gate.authentication import Authentication
from ampd.admin_api.gate.entrance import CSRF_HEADER, SAFE_METHODS, Entrance
from ampd.admin_api.gate.methods import Methods
from ampd.admin_api.gate.middleware import DEFAULT_REQUEST_SECONDS, RequestGuard
from ampd.admin_api.gate.pace import RequestPace, SignInPace
from ampd.admin_api.gate.request_meter import RequestMeter
from ampd.admin_api.gate.session_cookie import SESSION_COOKIE
from ampd.admin_api.openapi.exact import make_bounds_exact
from ampd.admin_api.openapi.links import add_links
from ampd.admin_api.routes import (
    datasets,
    events,
    files,
    health,
    job_creation,
    job_operations,
    job_ranges,
    jobs,
    live,
    manifests,
    metrics,
    overview,
    providers,
    restores,
    revisions,
    schema,
    sessions,
    timetable,
    tokens,
    webhooks,
    workers,
)
from ampd.admin_api.rules import Rule, api_routes, rule_of
from ampd.admin_api.services import Services
from ampd.errors import ErrorCode

DEFAULT_REQUESTS_PER_MINUTE = 6000
DEFAULT_SIGN_INS_PER_MINUTE = 10
_TITLE = "ampd Admin API"
_DESCRIPTION = (
    "Operate extraction jobs: register datasets, deploy them, watch and stop their jobs.\n\n"
    'Errors are always `{"error_code", "error_message"}`. Timestamps are RFC 3339 in UTC with `Z` and whole seconds.'
)

_SECURITY = {
    "token": {"type": "http", "scheme": "bearer"},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": "Set by POST /session. What changes something also needs the csrf_token that GET /session "
        f"tells, as the header {CSRF_HEADER}. Beside a token the cookie does not count.",
    },
}


@dataclass(frozen=True)
class Gate:
    """How requests come in. ``requires_token``: also while there are no tokens yet. ``cors_origins`` are the web pages
    that may use the API from a browser. ``requests_per_minute`` is what each token may make on this controller (0: as
    many as it likes), ``request_seconds`` how long a body may take to arrive, ``sign_ins_per_minute`` how often each
    address may try to sign in. ``dashboard``: its pages are served too.
    """

    requires_token: bool = False
    cors_origins: tuple[str, ...] = ()
    requests_per_minute: int = DEFAULT_REQUESTS_PER_MINUTE
    request_seconds: float = DEFAULT_REQUEST_SECONDS
    sign_ins_per_minute: int = DEFAULT_SIGN_INS_PER_MINUTE
    dashboard: bool = True


def create_app(services: Services, gate: Gate | None = None) -> FastAPI:
    """Return the Admin API over ``services``, which the caller opens and closes."""
    gate = gate or Gate()
    app = _application(services.version, dashboard=gate.dashboard)
    app.state.services = services
    _guard(app, gate)
    return app


def _guard(app: FastAPI, gate: Gate) -> None:
    """Put what looks at requests around ``app``: what is added last sees them first."""
    public = [route.path for route in api_routes(app.routes) if rule_of(route) == Rule(None)]
    app.add_middleware(Methods, routes=app.routes)
    app.state.entrance = Entrance(
        requires_token=gate.requires_token,
        pace=RequestPace(gate.requests_per_minute),
        sign_ins=SignInPace(gate.sign_ins_per_minute),
    )
    app.add_middleware(Authentication, entrance=app.state.entrance, public=public)
    app.add_middleware(RequestGuard, origins=gate.cors_origins, body_seconds=gate.request_seconds)
    if gate.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=gate.cors_origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Last-Event-ID"],
            expose_headers=["X-Request-Id", "X-Deleted-Count", "Retry-After"],
        )
    app.add_middleware(RequestMeter)


def specification(version: str) -> dict[str, Any]:
    """Return the OpenAPI specification of the Admin API; it needs no services."""
    return _application(version).openapi()


def _application(version: str, *, dashboard: bool = True) -> FastAPI:
    app = FastAPI(
        title=_TITLE,
        description=_DESCRIPTION,
        version=version,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    of_jobs = (
        health,
        metrics,
        job_creation,
        job_operations,
        jobs,
        job_ranges,
        timetable,
        workers,
        events,
        overview,
        live,
    )
    of_the_lake = (datasets, restores, manifests, providers, revisions, files, schema)
    routers = [noun.router for noun in (*of_jobs, *of_the_lake, sessions, tokens, webhooks)]
    if dashboard:
        routers.append(dashboard_router())
    for router in routers:
        # The routes as they are: including a router would make each of them once more, for every application.
        app.router.routes.extend(router.routes)
    install_error_handlers(app)
    app.openapi = lambda: _specification_of(app)  # type: ignore[method-assign]
    return app


def _specification_of(app: FastAPI) -> dict[str, Any]:
    """Return FastAPI's specification without its own 422 answers: ours are 400 with a code."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        rules = {route.operation_id: rule_of(route) for route in api_routes(app.routes)}
        for operations in schema["paths"].values():
            for method, operation in operations.items():
                operation["responses"].pop("422", None)
                _tell_rule(method.upper(), operation, rules.get(operation["operationId"]))
        schema["components"]["securitySchemes"] = _SECURITY
        for name in ("HTTPValidationError", "ValidationError"):
            schema["components"]["schemas"].pop(name, None)
        make_bounds_exact(schema)
        add_links(schema)
        app.openapi_schema = schema
    return app.openapi_schema


def _tell_rule(method: str, operation: dict[str, Any], rule: Rule | None) -> None:
    """Say in the specification who may use an operation, and what others are told."""
    if rule is None or rule.role is None:
        return
    operation["security"] = [{"token": []}, {"session": []}, {}]
    operation["x-required-role"] = str(rule.role)
    operation["x-all-namespaces"] = rule.whole
    of_sessions = () if method in SAFE_METHODS else (ErrorCode.CSRF_TOKEN_INVALID,)
    refusals = error_responses(
        ErrorCode.UNAUTHORIZED,
        ErrorCode.FORBIDDEN,
        ErrorCode.CROSS_ORIGIN_REFUSED,
        *of_sessions,
        ErrorCode.RATE_LIMITED,
    )
    for status, answer in refusals.items():
        reference = {"$ref": f"#/components/schemas/{ErrorBody.__name__}"}
        content = {"application/json": {"schema": reference}}
        operation["responses"].setdefault(str(status), {"description": answer["description"], "content": content})
    operation["responses"] = dict(sorted(operation["responses"].items()))
