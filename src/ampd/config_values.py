"""Values of settings that need more than a type."""

from __future__ import annotations

import json
from ipaddress import ip_network
from typing import Any


def split_texts(value: Any) -> Any:
    """Take a list of texts also as one text with commas, or as JSON: in the environment there is no other way."""
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.startswith("[") else [part.strip() for part in value.split(",") if part.strip()]


def checked_networks(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return ``texts`` when each is a network.

    :raises ValueError: with what is expected.
    """
    for text in texts:
        try:
            ip_network(text)
        except ValueError:
            raise ValueError(
                "must be networks such as 127.0.0.0/8, fd00::/8 or 10.1.2.3/32, no host bits set"
            ) from None
    return texts
