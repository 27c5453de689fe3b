"""The input of jobs of kind ``http``."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Self

import httpx
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, model_validator

from ampd.handlers.environment import PLACEHOLDER, check_placeholders
from ampd.handlers.kinds import InputKind
from ampd.handlers.secrets import PartlySecretStr, Path, hide_by_names
from ampd.telemetry.logs import HIDDEN, redact

MOST_URL_CHARACTERS: Final = 4096
MOST_HEADERS: Final = 64
MOST_HEADER_CHARACTERS: Final = 8192
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD"})
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, section 5.1
# They say how the message goes over the wire, which is not for the input to say.
_OF_THE_WIRE: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "keep-alive", "expect"}
)
# What is not known to be harmless counts as a secret.
_HARMLESS: Final = frozenset(
    {
        "accept",
        "accept-language",
        "content-type",
        "idempotency-key",
        "if-match",
        "if-none-match",
        "prefer",
        "user-agent",
    }
)
_SCHEME_WORD: Final = re.compile(r"(?i)\s*(bearer|basic|token)?\s*")
_RANGE: Final = re.compile(r"([1-5])xx|([1-5]\d\d)-([1-5]\d\d)")


class SecretUrl(PartlySecretStr):
    """A URL. Its parameters, and long parts of its path, are taken for keys."""

    def shown(self) -> str:
        """Return the URL without what may be a key."""
        place, mark, parameters = self.get_secret_value().partition("?")
        plain = PLACEHOLDER.sub("x", place)
        values = [pair.partition("=")[2] for pair in parameters.split("&")]
        return (
            (place if redact(plain) == plain else redact(place))
            + mark
            + (parameters if all(_is_placeholder(value) for value in values) else mark and HIDDEN)
        )


class HeaderValue(PartlySecretStr):
    """The value of a header: a secret, unless it has nothing but placeholders, or its name is known to be harmless."""

    is_harmless = False

    def shown(self) -> str:
        """Return the value when it is no secret."""
        text = self.get_secret_value()
        return text if self.is_harmless or _is_placeholder(text) else HIDDEN


def _is_placeholder(text: str) -> bool:
    """Tell whether a text has nothing but placeholders, behind a word such as Bearer perhaps."""
    rest = PLACEHOLDER.sub("", text)
    return rest != text and _SCHEME_WORD.fullmatch(rest) is not None


def _url(url: SecretUrl) -> SecretUrl:
    text = check_placeholders(url.get_secret_value())
    if len(text) > MOST_URL_CHARACTERS:
        raise ValueError(f"more than {MOST_URL_CHARACTERS} characters")
    if not PLACEHOLDER.search(text):
        check_url(text)
    return url


def check_url(text: str) -> None:
    """Check a URL without placeholders; messages never repeat it.

    :raises ValueError: with what is wrong.
    """
    if re.search(r"[\s\x00-\x1f\x7f\\\ud800-\udfff]", text):
        raise ValueError("it has spaces, control characters or backslashes in it")
    try:
        url = httpx.URL(text)
        host = url.raw_host
    except (httpx.InvalidURL, ValueError):
        raise ValueError("want a URL such as https://api.example.com/reports") from None
    if url.scheme not in {"http", "https"} or not host:
        raise ValueError("want a URL such as https://api.example.com/reports")
    if url.userinfo or "@" in text.partition("://")[2].partition("/")[0]:
        raise ValueError("it must hold no user name and no password: give a header 'Authorization'")
    if "#" in text:
        raise ValueError("it must have no part behind a '#': that is never sent")
    if url.port is not None and not 0 < url.port <= 65535:
        raise ValueError("its port is none")


def check_header_value(text: str) -> None:
    """Check the value of a header, which is not repeated.

    :raises ValueError: with what is wrong.
    """
    if len(text) > MOST_HEADER_CHARACTERS:
        raise ValueError(f"more than {MOST_HEADER_CHARACTERS} characters")
    if not text.isascii() or not re.fullmatch(r"[\t\x20-\x7e]*", text):
        raise ValueError("want printable ASCII characters")


def _headers(headers: dict[str, HeaderValue]) -> dict[str, HeaderValue]:
    if len(headers) > MOST_HEADERS:
        raise ValueError(f"more than {MOST_HEADERS} headers")
    seen: set[str] = set()
    for name, value in headers.items():
        lower = name.lower()
        if not _HEADER_NAME.fullmatch(name) or len(name) > MOST_HEADER_CHARACTERS:
            raise ValueError("want the names of HTTP headers, such as X-Api-Key")
        if lower in _OF_THE_WIRE:
            raise ValueError(f"'{name}' is not for a job to set")
        if lower in seen:
            raise ValueError(f"'{name}' is given twice")
        seen.add(lower)
        value.is_harmless = lower in _HARMLESS
        try:
            check_header_value(check_placeholders(value.get_secret_value()))
        except ValueError as error:
            raise ValueError(f"'{name}': {error}") from None
    return headers


def _method(text: str) -> str:
    if text.upper() not in _METHODS:
        raise ValueError(f"want one of {', '.join(_METHODS)}")
    return text.upper()


def _check_texts(content: Any) -> Any:
    if isinstance(content, str):
        check_placeholders(content)
    elif isinstance(content, dict | list):
        for item in content.values() if isinstance(content, dict) else content:
            _check_texts(item)
    return content


def _statuses(given: list[int | str]) -> list[int | str]:
    for each in given:
        status_range(each)
    return given


def status_range(given: int | str) -> range:
    """Return the statuses that an entry of a list stands for: ``404``, ``"5xx"``, ``"500-504"``.

    :raises ValueError: when it stands for none.
    """
    if isinstance(given, int):
        if 100 <= given <= 599:
            return range(given, given + 1)
    elif found := _RANGE.fullmatch(given):
        first = int(found[1]) * 100 if found[1] else int(found[2])
        last = first + 99 if found[1] else int(found[3])
        if first <= last:
            return range(first, last + 1)
    raise ValueError('want statuses such as 404, "5xx" or "500-504"')


Statuses = Annotated[list[StrictInt | StrictStr], Field(max_length=100), AfterValidator(_statuses)]


class HttpInput(BaseModel):
    """Whom to call with what. An answer with one of ``expected_statuses`` completes the job, one of
    ``retryable_statuses`` is tried again, as the job's retries allow; any other fails the job.

    ``body`` is sent as JSON, a text as it is. ``timeout_secs`` bounds the whole call. ``keep_body`` False: the
    result has no body.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: Annotated[SecretUrl, AfterValidator(_url)]
    method: Annotated[StrictStr, AfterValidator(_method)] = "GET"
    headers: Annotated[dict[str, HeaderValue], AfterValidator(_headers)] = {}
    body: Annotated[Any, AfterValidator(_check_texts)] = None
    timeout_secs: float = Field(default=30.0, gt=0, le=3600, allow_inf_nan=False)
    expected_statuses: Statuses = ["2xx"]
    retryable_statuses: Statuses = [408, 425, 429, "5xx"]
    keep_body: StrictBool = True

    @model_validator(mode="after")
    def _check_body(self) -> Self:
        if self.body is not None and self.method in _WITHOUT_BODY:
            raise ValueError(f"a {self.method} has no body: give a method such as POST, or no body")
        return self

    def expects(self, status: int) -> bool:
        """Tell whether an answer with ``status`` completes the job."""
        return any(status in status_range(each) for each in self.expected_statuses)

    def retries(self, status: int) -> bool:
        """Tell whether an answer with ``status`` is tried again."""
        return any(status in status_range(each) for each in self.retryable_statuses)


def hide_in_body(body: Any) -> tuple[Any, list[tuple[Path, str]]]:
    """Return a body as it may be shown, and the texts in it that stand under names of secrets, but for placeholders."""
    return hide_by_names(body, is_harmless=_is_placeholder)


HTTP: Final = InputKind("http", HttpInput, hide={"body": hide_in_body})
