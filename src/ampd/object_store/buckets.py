"""Opening the bucket that a URL names, with the settings that were given and those of the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import ObjectStore as AnyStore
from obstore.store import from_url

from ampd.errors import AmpError, ErrorCode
from ampd.object_store.failures import summary
from ampd.object_store.profile import chosen_profile, read_profile
from ampd.object_store.settings import StoreSettings

REMOTE_SCHEMES = ("s3", "gs", "az")
SCHEMES = ("file", *REMOTE_SCHEMES, "memory")

_PREFIXES = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}
# obstore takes these from the environment only when it is given no client options at all, and we give the timeout.
_CLIENT_OPTIONS = ("connect_timeout", "proxy_url", "proxy_ca_certificate", "proxy_excludes", "user_agent")
# obstore lets the first one win over everything that it is given.
_STRONGEST_ENDPOINT = "AWS_ENDPOINT_URL_S3"
_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT")
# Quick refusals are tried again inside of obstore, so that one page of a list or one part of a large file does not
# begin the whole again. Slow ones are left to our own loop, which knows how much time is left.
_RETRIES = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=5),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
}


def open_bucket(url: str, settings: StoreSettings) -> tuple[str, AnyStore]:
    """Return the bucket's URL as it may be shown, and the bucket. Nothing is sent yet.

    :raises AmpError: CONFIG_INVALID when the URL is of another kind, malformed, or carries credentials; when plain
        HTTP was not allowed; when the profile cannot be used.
    """
    parts = urlsplit(url)
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if parts.scheme not in REMOTE_SCHEMES:
        raise AmpError(
            ErrorCode.CONFIG_INVALID,
            f"object store '{shown}': unknown scheme '{parts.scheme}'. Use a plain path or one of "
            + ", ".join(f"{scheme}://" for scheme in SCHEMES),
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise AmpError(
            ErrorCode.CONFIG_INVALID,
            f"object store '{shown}': user names, keys and parameters do not belong into the URL. Give "
            "credentials through the environment (AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS, "
            "AZURE_STORAGE_ACCOUNT_KEY, …)",
        )
    client = _client_options(parts.scheme, settings, os.environ)
    config = _s3_config(parts.netloc, settings, os.environ) if parts.scheme == "s3" else {}
    _require_allowed(shown, config.get("endpoint"), allow_http=client["allow_http"])
    try:
        store = from_url(url, client_options=cast(Any, client), retry_config=cast(Any, _RETRIES), **cast(Any, config))
    except (BaseError, ValueError) as error:
        raise AmpError(
            ErrorCode.CONFIG_INVALID,
            f"object store '{shown}' cannot be opened: {summary(error)}. Check the URL and the variables "
            "of that store in the environment",
        ) from None
    return shown.rstrip("/"), store


def _client_options(scheme: str, settings: StoreSettings, environment: Mapping[str, str]) -> dict[str, Any]:
    prefix = _PREFIXES[scheme]
    options: dict[str, Any] = {
        name: value for name in _CLIENT_OPTIONS if (value := environment.get(prefix + name.upper()))
    }
    options["timeout"] = timedelta(seconds=settings.timeout_seconds)
    options["allow_http"] = settings.allow_http or _is_true(environment.get(f"{prefix}ALLOW_HTTP"))
    return options


def _is_true(text: str | None) -> bool:
    return (text or "").strip().lower() in ("1", "true", "yes", "on", "y")


def _s3_config(bucket: str, settings: StoreSettings, environment: Mapping[str, str]) -> dict[str, Any]:
    profile = chosen_profile(settings.profile, environment)
    config: dict[str, Any] = read_profile(profile, environment) if profile else {}
    given = (environment.get(_STRONGEST_ENDPOINT), settings.endpoint, *map(environment.get, _ENDPOINTS))
    endpoint = next(filter(None, given), config.get("endpoint"))
    if settings.region:
        config["region"] = settings.region
    elif region := environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION"):
        config["region"] = region
    if not settings.path_style:
        config["virtual_hosted_style_request"] = True
    if endpoint:
        config["endpoint"] = endpoint if settings.path_style else _with_bucket(endpoint, bucket)
    # Not every store that speaks S3 knows the bulk form, and we delete one object at a time.
    config["disable_bulk_delete"] = True
    return config


def _with_bucket(endpoint: str, bucket: str) -> str:
    parts = urlsplit(endpoint)
    return parts._replace(netloc=f"{bucket}.{parts.netloc}").geturl()


def _require_allowed(shown: str, endpoint: str | None, *, allow_http: bool) -> None:
    if endpoint is None:
        return
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise AmpError(
            ErrorCode.CONFIG_INVALID, f"object store '{shown}': its endpoint must be a URL like https://s3.example.com"
        )
    if "@" in parts.netloc:
        raise AmpError(
            ErrorCode.CONFIG_INVALID,
            f"object store '{shown}': keys do not belong into its endpoint. Give them through the environment",
        )
    if parts.scheme == "http" and not allow_http:
        raise AmpError(
            ErrorCode.CONFIG_INVALID,
            f"object store '{shown}': its endpoint {parts.scheme}://{parts.netloc} is not encrypted. Use https://, or "
            "allow it with object_store.allow_http = true (AWS_ALLOW_HTTP=true)",
        )
