"""Requests to whatever somebody named: to addresses that were judged, and bounded in all they cost.

Webhooks are sent with it, and what jobs of kind ``http`` call is called with it: there is one guard, and this is it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx

from ampd.webhooks.addresses import Address, AddressRules, literal_address

_MOST_ADDRESSES: Final = 4
_LOOKUPS_AT_ONCE: Final = 32

# Gives the addresses of a name, as texts.
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
Read = TypeVar("Read")


class CallError(Exception):
    """A request that got no answer. ``reason`` says why, without what was sent or where to."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class AddressRefusedError(CallError):
    """The rules do not let the address pass; another try will not help."""


class TooSlowError(CallError):
    """There was no connection, or no answer, in the time that the request had."""


class UnreachableError(CallError):
    """The name is not known, or the connection could not be made, or broke off."""


class GuardedHttp:
    """Sends requests. It looks names up itself and connects to the very addresses that ``rules`` let pass, so that a
    name which answers differently the next time gains nothing. Nothing of the environment (proxies) is used, redirects
    are not followed, certificates are verified for the name. Plain HTTP goes only to networks that ``rules`` allow.

    ``resolve`` replaces the lookup of names, ``tls`` what certificates are trusted.
    """

    def __init__(
        self,
        rules: AddressRules,
        *,
        user_agent: str,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
        connect_seconds: float = 5.0,
    ) -> None:
        self._rules = rules
        self._threads = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="guarded-dns")
        self._resolve = resolve or self._look_up
        self._connect_seconds = connect_seconds
        self._http = httpx.AsyncClient(
            verify=tls or httpx.create_ssl_context(),
            trust_env=False,
            follow_redirects=False,
            # No connection serves twice: its certificate was looked at for one name, and the pool knows it by address.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            # Receivers at one address are no relations: what one sets no other gets.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"User-Agent": user_agent, "Accept": "*/*", "Accept-Encoding": "identity"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of connections and threads."""
        await self._http.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        read: Callable[[httpx.Response], Awaitable[Read]],
        *,
        seconds: float,
    ) -> Read:
        """Send a request and return what ``read`` makes of the answer, whose body it may read or leave; all of it
        within ``seconds``.

        :raises CallError: AddressRefusedError, TooSlowError, UnreachableError.
        """
        timeout = httpx.Timeout(seconds, connect=min(seconds, self._connect_seconds))
        try:
            async with asyncio.timeout(seconds):
                target = httpx.URL(url)
                addresses = await self._addresses(target)
                for number, address in enumerate(addresses, 1):
                    request = self._request(method, target, address, headers, content=body, timeout=timeout)
                    try:
                        response = await self._http.send(request, stream=True)
                    except (httpx.ConnectError, httpx.ConnectTimeout):
                        if number == len(addresses):
                            raise
                        continue
                    try:
                        return await read(response)
                    finally:
                        await response.aclose()
        except (TimeoutError, httpx.TimeoutException) as error:
            what = "no connection" if isinstance(error, httpx.ConnectTimeout) else "no answer"
            raise TooSlowError(f"{what} in the time that it has") from None
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as error:
            raise UnreachableError(_reason(error)) from None
        raise AssertionError("a name has one address at least")

    async def _addresses(self, url: httpx.URL) -> list[Address]:
        """Return what ``url`` may be reached at: every address that its name has must pass."""
        port = url.port or (443 if url.scheme == "https" else 80)
        literal = literal_address(url.host)
        found = [literal] if literal else [ip_address(text) for text in await self._resolve(url.host, port)]
        if not found:
            raise UnreachableError("its name has no address")
        for address in found:
            reason = self._rules.refusal(address)
            if reason is None and url.scheme == "http" and not self._rules.allows(address):
                reason = "not one that plain http goes to"
            if reason is not None:
                raise AddressRefusedError(f"its address is {reason}")
        return found[:_MOST_ADDRESSES]

    def _request(
        self,
        method: str,
        url: httpx.URL,
        address: Address,
        headers: Mapping[str, str],
        *,
        content: bytes,
        timeout: httpx.Timeout,
    ) -> httpx.Request:
        extensions: dict[str, Any] = {"timeout": timeout.as_dict()}
        if literal_address(url.host) is None:
            extensions["sni_hostname"] = url.raw_host.decode("ascii").rstrip(".")  # the name of the certificate, too
        return self._http.build_request(
            method,
            url.copy_with(host=str(address)),
            content=content or None,
            headers={**headers, "Host": url.netloc.decode("ascii")},
            extensions=extensions,
        )

    async def _look_up(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(
                self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            )
        except (OSError, UnicodeError):
            raise UnreachableError("its name is not known") from None
        return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _reason(error: BaseException) -> str:
    """Say what went wrong without what was sent or where to: libraries put URLs and headers into their texts."""
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, ssl.SSLCertVerificationError):
            return f"its certificate does not verify: {current.verify_message}"
        if isinstance(current, ssl.SSLError):
            return f"no TLS connection: {current.reason or 'refused'}"
        if isinstance(current, ConnectionRefusedError):
            return "the connection was refused"
        current = current.__cause__ or current.__context__
    if isinstance(error, httpx.ConnectError):
        return "no connection"
    if isinstance(error, httpx.RemoteProtocolError):
        return "the connection ended, or what came is no HTTP"
    return f"the connection broke off ({type(error).__name__})"
