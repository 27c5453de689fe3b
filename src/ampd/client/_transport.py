"""Requests as values, and the two ways to send them."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote

import httpx

from ampd.client._errors import ApiError
from ampd.errors import ErrorCode

DEFAULT_ADMIN_URL = "http://localhost:1610"
DEFAULT_TIMEOUT_SECONDS = 30.0
# A proxy of the environment never stands between us and our own machine.
_DIRECT_HOSTS = ("all://localhost", "all://127.0.0.1", "all://[::1]")

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request and how to read its answer. One that ``takes_long`` is waited for without an end."""

    method: str
    path: str
    parse: Callable[[httpx.Response], T]
    params: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    takes_long: bool = False

    def request(self) -> dict[str, Any]:
        """Return the arguments of httpx for it."""
        waiting = {"timeout": None} if self.takes_long else {}
        return {"method": self.method, "url": self.path, "params": dict(self.params), "json": self.body, **waiting}


@dataclass(frozen=True)
class StreamCall:
    """A request whose answer goes on. ``silence_seconds``: after so long without a word the connection is dead."""

    path: str
    params: Mapping[str, Any]
    headers: Mapping[str, str]
    silence_seconds: float

    def request(self) -> dict[str, Any]:
        """Return the arguments of httpx for it."""
        timeout = httpx.Timeout(DEFAULT_TIMEOUT_SECONDS, read=self.silence_seconds)
        headers = {"Accept": "text/event-stream", **self.headers}
        return {"method": "GET", "url": self.path, "params": dict(self.params), "headers": headers, "timeout": timeout}


class Send(Protocol):
    """Send a call and return what it answers."""

    def __call__(self, call: Call[T], /) -> T: ...


class SendAsync(Protocol):
    """Send a call and return what it answers."""

    async def __call__(self, call: Call[T], /) -> T: ...


def path(*segments: str | int) -> str:
    """Return a path of quoted segments."""
    return "".join(f"/{quote(str(segment), safe='')}" for segment in segments)


def shown_url(url: str) -> str:
    """Return ``url`` without user name and password: fit for messages."""
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def client_settings(admin_url: str, auth_token: str | None, timeout: float) -> dict[str, Any]:
    """Return the arguments that both httpx clients take.

    :raises ApiError: ADMIN_API_UNREACHABLE for an address that is none.
    :raises ValueError: for a token that no header can carry.
    """
    if not _is_address(admin_url):
        message = f"{shown_url(admin_url)!r} is no address: want http://host:port in --admin-url or AMP_ADMIN_URL"
        raise ApiError(ErrorCode.ADMIN_API_UNREACHABLE, message)
    settings: dict[str, Any] = {"base_url": admin_url, "timeout": timeout, "verify": trusted()}
    if auth_token is not None:
        if not auth_token.isascii() or not auth_token.isprintable():
            raise ValueError("the auth token holds characters that no token has (want printable ASCII)")
        settings["auth"] = _Bearer(auth_token)
    return settings


def trusted() -> ssl.SSLContext:
    """Return whose certificates are believed: made once, since reading them takes longer than most commands."""
    return _trusted(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache(maxsize=4)
def _trusted(_file: str | None, _directory: str | None) -> ssl.SSLContext:
    return httpx.create_ssl_context()  # it reads these two itself


class _Bearer(httpx.Auth):
    """Sends the token; it wins over a user name in the URL."""

    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the header to ``request``."""
        request.headers["Authorization"] = self._header
        yield request


def _is_address(url: str) -> bool:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return parsed.scheme in {"http", "https"} and bool(parsed.host)


def unreachable(admin_url: str, error: Exception) -> ApiError:
    """Return the error that says that nothing answered, and what to look at."""
    reason = _reason(error)
    return ApiError(
        ErrorCode.ADMIN_API_UNREACHABLE,
        f"cannot reach the Admin API at {shown_url(admin_url)}: {reason}. "
        "Is the controller (or ampd solo) running? Its address comes from --admin-url or AMP_ADMIN_URL",
    )


def _reason(error: BaseException) -> str:
    """Return what the system said, which lies below the words of the HTTP library."""
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, OSError) and current.errno:
            return os.strerror(current.errno)
        current = current.__cause__ or current.__context__
    return str(error) or type(error).__name__


def read_answer(call: Call[T], response: httpx.Response) -> T:
    """Return what ``call`` wants of ``response``.

    :raises ApiError: what the server said; UNEXPECTED_ANSWER when it is not an Admin API, or not one of this version.
    """
    if not response.is_success:
        raise _error_of(response)
    try:
        return call.parse(response)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unexpected(response, f"{type(error).__name__}: {error}") from error


def check_stream(response: httpx.Response) -> None:
    """Make sure that what answers is a stream of events.

    :raises ApiError: what the server said; UNEXPECTED_ANSWER.
    """
    if not response.is_success:
        raise _error_of(response)
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        raise _unexpected(response, "no stream of events")


def _error_of(response: httpx.Response) -> ApiError:
    try:
        body = response.json()
        return ApiError(body["error_code"], body["error_message"], response.status_code)
    except (ValueError, KeyError, TypeError):
        return _unexpected(response, f"HTTP {response.status_code} {response.reason_phrase}")


def _unexpected(response: httpx.Response, what: str) -> ApiError:
    return ApiError(
        ErrorCode.UNEXPECTED_ANSWER,
        f"what answers at {shown_url(str(response.url))} is no Admin API of this version ({what}); "
        "check --admin-url or AMP_ADMIN_URL",
        response.status_code,
    )


class SyncTransport:
    """Sends calls and waits for the answers."""

    def __init__(
        self, admin_url: str, auth_token: str | None, timeout: float, transport: httpx.BaseTransport | None
    ) -> None:
        self._url = admin_url
        mounts = None if transport else dict.fromkeys(_DIRECT_HOSTS, httpx.HTTPTransport(verify=trusted()))
        self._http = httpx.Client(**client_settings(admin_url, auth_token, timeout), transport=transport, mounts=mounts)

    def send(self, call: Call[T]) -> T:
        """Send ``call``.

        :raises ApiError: what the server said, ADMIN_API_UNREACHABLE, UNEXPECTED_ANSWER.
        """
        try:
            response = self._http.request(**call.request())
        except httpx.HTTPError as error:
            raise unreachable(self._url, error) from error
        return read_answer(call, response)

    @contextmanager
    def lines(self, call: StreamCall) -> Iterator[Iterator[str]]:
        """Give the lines of an answer that goes on, as they come; they end where the connection does.

        :raises ApiError: as :meth:`send`.
        """
        try:
            with self._http.stream(**call.request()) as response:
                if not response.is_success:
                    response.read()
                check_stream(response)
                yield response.iter_lines()
        except httpx.HTTPError as error:
            raise unreachable(self._url, error) from error

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class AsyncTransport:
    """Sends calls and awaits the answers."""

    def __init__(
        self, admin_url: str, auth_token: str | None, timeout: float, transport: httpx.AsyncBaseTransport | None
    ) -> None:
        self._url = admin_url
        mounts = None if transport else dict.fromkeys(_DIRECT_HOSTS, httpx.AsyncHTTPTransport(verify=trusted()))
        self._http = httpx.AsyncClient(
            **client_settings(admin_url, auth_token, timeout), transport=transport, mounts=mounts
        )

    async def send(self, call: Call[T]) -> T:
        """Send ``call``.

        :raises ApiError: what the server said, ADMIN_API_UNREACHABLE, UNEXPECTED_ANSWER.
        """
        try:
            response = await self._http.request(**call.request())
        except httpx.HTTPError as error:
            raise unreachable(self._url, error) from error
        return read_answer(call, response)

    @asynccontextmanager
    async def lines(self, call: StreamCall) -> AsyncIterator[AsyncIterator[str]]:
        """Give the lines of an answer that goes on, as they come; they end where the connection does.

        :raises ApiError: as :meth:`send`.
        """
        try:
            async with self._http.stream(**call.request()) as response:
                if not response.is_success:
                    await response.aread()
                check_stream(response)
                yield response.aiter_lines()
        except httpx.HTTPError as error:
            raise unreachable(self._url, error) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
