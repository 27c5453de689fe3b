"""The Admin API: HTTP over the stores of jobs, workers, datasets, providers and tables."""

from __future__ import annotations

from ampd.admin_api.app import Gate, create_app, specification
from ampd.admin_api.cluster_figures import ClusterFigures, FigureSources
from ampd.admin_api.gate.connections import ConnectionLimits
from ampd.admin_api.server import Listening, Tls, is_loopback, serve_admin_api
from ampd.admin_api.services import Services
from ampd.admin_api.streams.event_streams import EventStreams
from ampd.admin_api.streams.live import ChangeSources, LiveStreams

__all__ = [
    "ChangeSources",
    "ClusterFigures",
    "ConnectionLimits",
    "EventStreams",
    "FigureSources",
    "Gate",
    "Listening",
    "LiveStreams",
    "Services",
    "Tls",
    "create_app",
    "is_loopback",
    "serve_admin_api",
    "specification",
]
