"""Which web page a request comes from, as far as the browser tells. Other clients send none of these headers."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers

_LOCAL_NAME: Final = "localhost"


def is_own_origin(headers: Headers) -> bool:
    """Tell whether a request comes from a page of this server, or from no page at all."""
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc == headers.get("host")
    except ValueError:
        return False


def is_same_origin(headers: Headers) -> bool:
    """Tell the same more strictly: whatever the browser says of where the request comes from must be this server."""
    return is_own_origin(headers) and headers.get("sec-fetch-site") in {None, "same-origin"}


def is_foreign_name(host: str, server: str) -> bool:
    """Tell whether a request to the address ``server`` of this machine itself calls it by a name of somebody else.

    Whoever owns a name may point it at 127.0.0.1 after his page has been loaded; for the browser the page and this
    server are one origin then (DNS rebinding). Nobody can do so with addresses, ``localhost`` and the machine's own
    name.
    """
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return True
    own = {_LOCAL_NAME, socket.gethostname().lower()}
    is_own = name in own or name.endswith(f".{_LOCAL_NAME}") or _is_address(name)
    return _is_loopback(server) and not is_own


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(server: str) -> bool:
    return ip_address(server).is_loopback if _is_address(server) else server == _LOCAL_NAME
