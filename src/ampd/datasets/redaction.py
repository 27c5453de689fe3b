"""What of a provider's settings may be shown. Everything that is not known to be harmless counts as a secret."""

from __future__ import annotations

import re
from typing import Any

from ampd.datasets.placeholders import is_only_placeholders

HIDDEN = "***"
HIDDEN_SEGMENT = "…"
_HARMLESS_TEXTS = frozenset({"kind", "network", "auth_header"})
_SECRET_KEY = re.compile(r"token|secret|password|credential|key", re.IGNORECASE)
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(.*)", re.DOTALL)
_VARIABLE = r"\$\{[^{}]+\}"
_HOST = re.compile(rf"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._-]|{_VARIABLE})+)(?::(?:[0-9]+|{_VARIABLE}))?")


def redacted(config: dict[str, Any]) -> dict[str, Any]:
    """Return ``config`` as it may be shown: URLs without user, path and query, other texts as ``***``.

    ``${VAR}`` stays: the name of a variable is no secret, and helps who looks for a fault.
    """
    return {key: _shown(key, value) for key, value in config.items()}


def _shown(key: str, value: Any) -> Any:
    if isinstance(value, dict):
        return redacted(value)
    if isinstance(value, list):
        return [_shown(key, item) for item in value]
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return HIDDEN if _SECRET_KEY.search(key) else value
    if key in _HARMLESS_TEXTS or is_only_placeholders(value):
        return value
    return redacted_url(str(value)) if key == "url" or key.endswith("_url") else HIDDEN


def redacted_url(url: str) -> str:
    """Return scheme, host and port of ``url``, and ``…`` for each segment of its path; the rest often carries keys."""
    found = _URL.fullmatch(url)
    if found is None:
        return HIDDEN
    scheme, authority, path, rest = found.groups()
    host = authority.rpartition("@")[2]
    # An '@' further on may belong to a password with a '/' in it: then nothing here is sure to be the host.
    if "@" in path + rest or not _HOST.fullmatch(host):
        return f"{scheme}://{HIDDEN_SEGMENT}"
    return f"{scheme}://{host}" + "".join(f"/{_segment(part)}" for part in path.split("/")[1:])


def _segment(part: str) -> str:
    return part if not part or is_only_placeholders(part) else HIDDEN_SEGMENT
