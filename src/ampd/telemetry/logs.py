"""Logs: one renderer for our own events and those of libraries, on stderr, without secrets.

``AMP_LOG`` chooses how much is said: ``off``, ``error``, ``warn``, ``info`` (default), ``debug``, ``trace``.
Libraries are kept one step quieter than ampd; ``trace`` shows everything of both.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, TextIO

import structlog
from structlog.typing import Processor

from ampd.errors import AmpError, ErrorCode

HIDDEN = "***"
NOTHING = logging.CRITICAL + 10
# Level word -> (level of ampd, level of libraries).
LEVELS: Mapping[str, tuple[int, int]] = {
    "off": (NOTHING, NOTHING),
    "error": (logging.ERROR, logging.ERROR),
    "warn": (logging.WARNING, logging.WARNING),
    "info": (logging.INFO, logging.WARNING),
    "debug": (logging.DEBUG, logging.INFO),
    "trace": (logging.DEBUG, logging.DEBUG),
}
# uvicorn brings handlers of its own. Run its servers with log_config=None, or it installs them again.
LOGGERS_WITH_OWN_HANDLERS = ("uvicorn", "uvicorn.error", "uvicorn.access")

# Who knows more of where a line comes from: traces, when they are on.
SURROUNDINGS: list[Callable[[], Mapping[str, str]]] = []

_SECRET_KEY = re.compile(
    r"token|passw|pwd|secret|authorization|cookie|credential|api_?key|access_?key|private_?key", re.IGNORECASE
)
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s\"]+", re.IGNORECASE)
_ASSIGNED_SECRET = re.compile(
    r"""(?P<name>\b(?:password|passwd|pwd|token|secret|api[_-]?key|authorization)["']?\s*[=:]\s*["']?)"""
    r"""(?P<value>(?:(?:bearer|basic)\s+)?[^\s"',;&)}\]]+)""",
    re.IGNORECASE,
)
# Tokens and sessions of the Admin API (ampd.access), wherever they stand.
_OWN_TOKEN = re.compile(r"(amp_[0-9a-f]{12}|ampsession)_[A-Za-z0-9_-]{43}")
_ODD_PORT = re.compile(r":(?!\d*$)[^\]]*$")
# Node providers and chat services put their keys into the path: a long segment there is taken for one.
_KEY_IN_PATH = re.compile(r"(?<=/)[^/]{16,}")
_SCHEMES_WITH_KEYS_IN_PATH = frozenset({"http", "https", "ws", "wss", "grpc", "grpcs"})
# These, after a URL, belong to the sentence.
_AFTER_URL = ".,;:)]}>'`"


def names_a_secret(key: str) -> bool:
    """Tell whether what stands under ``key`` is taken for a secret."""
    return _SECRET_KEY.search(key) is not None


def redact(url: str) -> str:
    """Return ``url`` fit for logs and messages: no account, no parameters, no keys in its path."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    account = ""
    # A password with a bare "/" or "?" makes its first part look like a host with an odd port.
    if "@" in authority or (_ODD_PORT.search(authority) and "@" in rest):
        rest, account = rest.rpartition("@")[2], f"{HIDDEN}@"
    place, _, parameters = re.sub(r"[?#]", "\0", rest, count=1).partition("\0")
    if scheme.lower() in _SCHEMES_WITH_KEYS_IN_PATH:
        place = _KEY_IN_PATH.sub(HIDDEN, place)
    return f"{scheme}://{account}{place}{f'?{HIDDEN}' if parameters else ''}"


def redact_text(text: str) -> str:
    """Return ``text`` with its URLs redacted, and values of ``password=…`` and the like and our own tokens hidden."""
    without_urls = _URL.sub(_redact_match, text)
    return _OWN_TOKEN.sub(rf"\1_{HIDDEN}", _ASSIGNED_SECRET.sub(rf"\g<name>{HIDDEN}", without_urls))


def _redact_match(match: re.Match[str]) -> str:
    found = match.group()
    url = found.rstrip(_AFTER_URL)
    return redact(url) + found[len(url) :]


def configure_logging(*, component: str, stream: TextIO | None = None) -> None:
    """Send all logs of this process to stderr: for people on a terminal, as one JSON object per line
    otherwise.

    :param component: what this process is (``worker``, ``controller``, …); every line carries it.
    :param stream: where the lines go instead of stderr.
    :raises AmpError: CONFIG_INVALID when AMP_LOG is no level.
    """
    ours, libraries = _levels()
    stream = stream or sys.stderr
    shared = _shared_processors(component)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                hide_secrets,
                _renderer(stream),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(libraries)
    logging.getLogger("ampd").setLevel(ours)
    for name in LOGGERS_WITH_OWN_HANDLERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.captureWarnings(True)


def _levels() -> tuple[int, int]:
    word = os.environ.get("AMP_LOG", "").strip().lower() or "info"
    levels = LEVELS.get(word)
    if levels is None:
        raise AmpError(
            ErrorCode.CONFIG_INVALID,
            f"environment variable AMP_LOG: {word!r} is no log level. Use one of: {', '.join(LEVELS)}",
        )
    return levels


def _shared_processors(component: str) -> list[Processor]:
    def add_component(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["component"] = component
        return event

    return [
        structlog.contextvars.merge_contextvars,
        add_surroundings,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.add_log_level,
        add_component,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        shorten_expected_errors,
    ]


def add_surroundings(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add what :data:`SURROUNDINGS` tell."""
    for told in SURROUNDINGS:
        event.update(told())
    return event


def _renderer(stream: TextIO) -> Processor:
    if stream.isatty():
        return structlog.dev.ConsoleRenderer(
            colors="NO_COLOR" not in os.environ, exception_formatter=structlog.dev.plain_traceback
        )
    return structlog.processors.JSONRenderer()


def shorten_expected_errors(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Say an AmpError by code and message: its stack trace helps no operator (kept at ``debug``)."""
    error = event.get("exc_info")
    if error is True:
        error = sys.exc_info()
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, AmpError):
        event.setdefault("error_code", str(error.code))
        event.setdefault("error_message", error.message)
        if not logging.getLogger("ampd").isEnabledFor(logging.DEBUG):
            del event["exc_info"]
    return event


def hide_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide the values of keys that are named like secrets, and the secrets inside URLs, however deep."""
    for key, value in event.items():
        event[key] = _without_secrets(key, value)
    return event


def _without_secrets(key: str, value: Any) -> Any:
    if _SECRET_KEY.search(key) and value is not None and not isinstance(value, (bool, int, float)):
        return HIDDEN
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return {inner: _without_secrets(str(inner), item) for inner, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_without_secrets(key, item) for item in value]
    if isinstance(value, BaseException):
        return redact_text(str(value) or type(value).__name__)
    return value
