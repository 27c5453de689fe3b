"""What the URL of a webhook may be. Pure: names are looked up, and their addresses judged, when it is called."""

from __future__ import annotations

import re

import httpx

from ampd.errors import AmpError, ErrorCode
from ampd.webhooks.addresses import AddressRules, literal_address

MOST_BYTES = 2048


def checked_url(text: str, rules: AddressRules) -> str:
    """Return the URL of a webhook in its normal form.

    :raises AmpError: INVALID_WEBHOOK, saying what is wrong; never with an account that stands in it.
    """
    url = _parsed(text)
    address = literal_address(url.host)
    if address is not None and (reason := rules.refusal(address)) is not None:
        where = "webhooks reach the public internet, and what webhooks.allowed_networks names"
        raise _invalid(f"url: its address is {reason}; {where}")
    if url.scheme == "http" and not (rules.allows(address) if address is not None else rules.allowed):
        raise _invalid("url: want https; plain http goes only to networks that webhooks.allowed_networks names")
    return str(url)


def _parsed(text: str) -> httpx.URL:
    if len(text.encode("utf-8", "replace")) > MOST_BYTES:
        raise _invalid(f"url: has more than {MOST_BYTES} bytes")
    if re.search(r"[\s\x00-\x1f\x7f\\\ud800-\udfff]", text):
        raise _invalid("url: has spaces, control characters or backslashes in it")
    try:
        url = httpx.URL(str(httpx.URL(text)))  # twice: the first one does not know the usual port of HTTPS://
        host = url.raw_host
    except (httpx.InvalidURL, ValueError):
        raise _invalid("url: is no URL; want one such as https://example.com/hooks") from None
    if url.scheme not in {"http", "https"} or not host:
        raise _invalid("url: want one such as https://example.com/hooks")
    if url.userinfo or "@" in text.partition("://")[2].partition("/")[0]:
        raise _invalid("url: must hold no user name and no password; the signature is what receivers go by")
    if url.fragment or "#" in text:
        raise _invalid("url: must have no part behind a '#': it is never sent")
    if url.port is not None and not 0 < url.port <= 65535:
        raise _invalid("url: its port is none")
    return url


def _invalid(message: str) -> AmpError:
    return AmpError(ErrorCode.INVALID_WEBHOOK, message)
