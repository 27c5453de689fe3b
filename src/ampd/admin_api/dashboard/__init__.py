"""The dashboard: pages that use the Admin API from a browser."""

from ampd.admin_api.dashboard.serving import Asset, dashboard_router, read_assets

__all__ = ["Asset", "dashboard_router", "read_assets"]
