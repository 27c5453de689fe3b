"""The application: routes, errors, and the guard around them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ampd.admin_api.errors import install_error_handlers
from ampd.admin_api.middleware import RequestGuard
from ampd.admin_api.routes import (
    datasets,
    files,
    health,
    job_creation,
    job_operations,
    jobs,
    manifests,
    providers,
    restores,
    revisions,
    timetable,
    webhooks,
    workers,
)
from ampd.admin_api.services import Services

_TITLE = "ampd Admin API"
_DESCRIPTION = (
    "Operate extraction jobs: register datasets, deploy them, watch and stop their jobs.\n\n"
    'Errors are always `{"error_code", "error_message"}`. Timestamps are RFC 3339 in UTC with `Z` and whole seconds.'
)


def create_app(services: Services) -> FastAPI:
    """Return the Admin API over ``services``, which the caller opens and closes."""
    app = _application(services.version)
    app.state.services = services
    return app


def specification(version: str) -> dict[str, Any]:
    """Return the OpenAPI specification of the Admin API; it needs no services."""
    return _application(version).openapi()


def _application(version: str) -> FastAPI:
    app = FastAPI(
        title=_TITLE,
        description=_DESCRIPTION,
        version=version,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    of_jobs = (health, job_creation, job_operations, jobs, timetable, workers)
    of_the_lake = (datasets, restores, manifests, providers, revisions, files)
    for noun in (*of_jobs, *of_the_lake, webhooks):
        app.include_router(noun.router)
    install_error_handlers(app)
    app.add_middleware(RequestGuard)
    app.openapi = lambda: _specification_of(app)  # type: ignore[method-assign]
    return app


def _specification_of(app: FastAPI) -> dict[str, Any]:
    """Return FastAPI's specification without its own 422 answers: ours are 400 with a code."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        for operations in schema["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            schema["components"]["schemas"].pop(name, None)
        app.openapi_schema = schema
    return app.openapi_schema
