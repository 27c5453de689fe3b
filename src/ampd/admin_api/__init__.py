"""The Admin API: HTTP over the stores of jobs, workers, datasets, providers and tables."""

from __future__ import annotations

from ampd.admin_api.app import create_app, specification
from ampd.admin_api.server import serve_admin_api
from ampd.admin_api.services import Services

__all__ = ["Services", "create_app", "serve_admin_api", "specification"]
