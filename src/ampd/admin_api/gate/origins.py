"""Which web page a request comes from, as far as the browser tells. Other clients send none of these headers."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers


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
