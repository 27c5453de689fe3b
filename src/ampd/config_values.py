"""Values of settings that need more than a type."""

from __future__ import annotations

import json
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import NoDecode


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


def split_address(address: str) -> tuple[str, int]:
    """Split ``host:port`` (``[::1]:1610`` for IPv6) into its parts; port 0 means any free port.

    :raises ValueError: with what is expected.
    """
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.%\w]+\]|[^\s:\[\]/@]+):(\d{1,5})", address)
    if match is None or int(match[2]) > 65535:
        raise ValueError("must be host:port, for example 127.0.0.1:1610 or [::1]:1610")
    return match[1].strip("[]"), int(match[2])


def checked_address(text: str) -> str:
    """Return the value when it is an address.

    :raises ValueError: with what is expected.
    """
    split_address(text)
    return text


def checked_absolute_path(text: str) -> str:
    """Return a path that means the same wherever the process runs.

    :raises ValueError: with what is expected.
    """
    path = Path(text).expanduser()
    if not path.is_absolute():
        raise ValueError("must be an absolute path, for example /etc/ampd/tls.pem")
    return str(path)


def checked_origins(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the origins of web pages, each named whole.

    :raises ValueError: with what is expected.
    """
    for text in texts:
        parts = urlsplit(text)
        is_origin = parts.scheme in {"http", "https"} and parts.netloc and text == f"{parts.scheme}://{parts.netloc}"
        if not is_origin or set("@*") & set(text):
            raise ValueError("must be origins of web pages such as https://ops.example.com, by name: no *, no path")
    return texts


def checked_database_url(text: str) -> str:
    """Check as much of the URL as shows common mistakes; libpq has the last word. Says nothing of the value."""
    parts = urlsplit(text)
    if parts.scheme not in {"postgresql", "postgres"}:
        raise ValueError("must start with postgresql://")
    if "@" in parts.path or "@" in parts.fragment:
        raise ValueError("must have special characters in the password percent-encoded (for example %2F for /)")
    return text


def _plain_url(text: str, *, wanted: str, keys: str) -> SplitResult:
    """Return the parts of a URL that holds no secret.

    :raises ValueError: what is ``wanted``, or that ``keys`` have another place.
    """
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"must be {wanted}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"must hold no keys and no parameters; {keys}")
    return parts


def checked_endpoint(text: str) -> str:
    """Return the value when it is what its name says.

    :raises ValueError: with what is expected.
    """
    _plain_url(text, wanted="a URL like https://s3.example.com", keys="keys come from the environment or a profile")
    return text.rstrip("/")


def no_boolean(value: Any) -> Any:
    """Return the value when it is what its name says.

    :raises ValueError: with what is expected.
    """
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def checked_directory(text: str) -> str:
    """Return a directory as an absolute path; the URL of an object store stays as it is.

    :raises ValueError: with what is expected.
    """
    if not text.strip():
        raise ValueError("must be a path or the URL of an object store, not empty")
    return text if "://" in text else str(Path(text).expanduser().absolute())


def checked_trace_url(text: str) -> str:
    """Return the URL of a collector; without a path it gets that of the standard.

    :raises ValueError: with what is expected.
    """
    wanted = "the URL of an OTLP/HTTP collector such as http://127.0.0.1:4318/v1/traces"
    parts = _plain_url(text, wanted=wanted, keys="headers come from OTEL_EXPORTER_OTLP_HEADERS")
    return f"{text.rstrip('/')}/v1/traces" if parts.path in {"", "/"} else text


AbsolutePath = Annotated[str, AfterValidator(checked_absolute_path)]
Seconds = Annotated[float, BeforeValidator(no_boolean), Field(gt=0, allow_inf_nan=False)]
Days = Annotated[float, BeforeValidator(no_boolean), Field(ge=0, le=36_500, allow_inf_nan=False)]
Count = Annotated[int, BeforeValidator(no_boolean), Field(gt=0)]
Networks = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_texts), AfterValidator(checked_networks)]
Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_texts), AfterValidator(checked_origins)]


class Section(BaseModel):
    """A table of the config file."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)
