"""Settings of providers without their secrets (design section 5.3).

What is shown is chosen by name: a text under a name that nobody knows to be harmless stays on the server. A
``${VARIABLE}`` is shown, as it only names where the secret is.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import urlsplit

REDACTED: Final = "[redacted]"
_HARMLESS_TEXTS: Final = frozenset({"name", "kind", "network"})
_SECRET_NAME = re.compile(r"token|secret|password|key|auth|credential|cookie|header", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")


def redact_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Return ``settings`` as answers may show them."""
    return {name: _shown(name, value) for name, value in settings.items()}


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shown(f"{name}.{key}", item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shown(name, item) for item in value]
    if isinstance(value, str):
        return _shown_text(name, value)
    if isinstance(value, bool | int | float) and not _SECRET_NAME.search(name):
        return value
    return REDACTED


def _shown_text(name: str, value: str) -> str:
    if name in _HARMLESS_TEXTS or _VARIABLE.fullmatch(value):
        return value
    if "://" in value and not _SECRET_NAME.search(name):
        return _shown_url(value)
    return REDACTED


def _shown_url(url: str) -> str:
    """Return scheme, host and port: node providers put their keys into account, path and parameters."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return REDACTED
    if not parts.scheme or not host:
        return REDACTED
    more = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
    return f"{parts.scheme}://{host}" + (f"/{REDACTED}" if more else "")
