"""One request to an endpoint, which may be anybody's: to addresses that were judged, and bounded in all it costs."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Final, Self

import httpx

from ampd.errors import AmpError, ErrorCode
from ampd.webhooks.addresses import Address, AddressRules, literal_address

# Of an answer, this much is read, and for so long once its status is there: it decides nothing more.
HEAD_BYTES: Final = 1024
_HEAD_SECONDS: Final = 2.0
_MOST_ADDRESSES: Final = 4
_LOOKUPS_AT_ONCE: Final = 32

# Gives the addresses of a name, as texts.
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


@dataclass(frozen=True)
class Answer:
    """What a receiver said: ``head`` is the beginning of its body, ``retry_after`` that header as it came."""

    status: int
    head: str
    retry_after: str | None

    @property
    def taken(self) -> bool:
        """Whether the message counts as delivered."""
        return 200 <= self.status < 300


class Sender:
    """Sends messages. It looks names up itself and connects to the very addresses that ``rules`` let pass, so that a
    name which answers differently the next time gains nothing. Nothing of the environment (proxies) is used, redirects
    are not followed, certificates are verified for the name.

    ``resolve`` replaces the lookup of names, ``tls`` what certificates are trusted.
    """

    def __init__(
        self,
        rules: AddressRules,
        *,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
        connect_seconds: float = 5.0,
        total_seconds: float = 15.0,
    ) -> None:
        self._rules = rules
        self._threads = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="webhook-dns")
        self._resolve = resolve or self._look_up
        self._total_seconds = total_seconds
        self._http = httpx.AsyncClient(
            verify=tls or httpx.create_ssl_context(),
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(total_seconds, connect=connect_seconds),
            # No connection serves twice: its certificate was looked at for one name, and the pool knows it by address.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            # Receivers at one address are no relations: what one sets no other gets.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"User-Agent": "ampd-webhooks", "Accept": "*/*", "Accept-Encoding": "identity"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def send(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """Post ``body`` to ``url`` and return the answer, whatever its status.

        :raises AmpError: WEBHOOK_ADDRESS_REFUSED, WEBHOOK_UNREACHABLE, WEBHOOK_TIMED_OUT; all but the first may pass.
        """
        try:
            async with asyncio.timeout(self._total_seconds):
                return await self._send(httpx.URL(url), headers, body)
        except (TimeoutError, httpx.TimeoutException) as error:
            what = "no connection" if isinstance(error, httpx.ConnectTimeout) else "no answer"
            raise _passing(ErrorCode.WEBHOOK_TIMED_OUT, f"{what} in the time that it has") from None
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as error:
            raise _passing(ErrorCode.WEBHOOK_UNREACHABLE, _reason(error)) from None

    async def _send(self, url: httpx.URL, headers: dict[str, str], body: bytes) -> Answer:
        addresses = await self._addresses(url)
        for number, address in enumerate(addresses, 1):
            try:
                return await self._send_to(address, url, headers, body)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if number == len(addresses):
                    raise
        raise AssertionError("a name has one address at least")

    async def _addresses(self, url: httpx.URL) -> list[Address]:
        """Return what ``url`` may be reached at: every address that its name has must pass."""
        port = url.port or (443 if url.scheme == "https" else 80)
        literal = literal_address(url.host)
        found = [literal] if literal else [ip_address(text) for text in await self._resolve(url.host, port)]
        if not found:
            raise _passing(ErrorCode.WEBHOOK_UNREACHABLE, "its name has no address")
        for address in found:
            reason = self._rules.refusal(address)
            if reason is None and url.scheme == "http" and not self._rules.allows(address):
                reason = "not one that plain http goes to"
            if reason is not None:
                raise AmpError(
                    ErrorCode.WEBHOOK_ADDRESS_REFUSED,
                    f"its address is {reason}; webhooks reach the public internet, "
                    "and what webhooks.allowed_networks names",
                )
        return found[:_MOST_ADDRESSES]

    async def _send_to(self, address: Address, url: httpx.URL, headers: dict[str, str], body: bytes) -> Answer:
        there = url.copy_with(host=str(address))
        extensions: dict[str, Any] = {}
        if literal_address(url.host) is None:
            extensions["sni_hostname"] = url.raw_host.decode("ascii").rstrip(".")  # the name of the certificate, too
        request = self._http.build_request(
            "POST",
            there,
            content=body,
            headers={**headers, "Host": url.netloc.decode("ascii"), "Content-Type": "application/json"},
            extensions=extensions,
        )
        response = await self._http.send(request, stream=True)
        try:
            return Answer(response.status_code, await _head_of(response), response.headers.get("Retry-After"))
        finally:
            await response.aclose()

    async def _look_up(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(
                self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            )
        except (OSError, UnicodeError):
            raise _passing(ErrorCode.WEBHOOK_UNREACHABLE, "its name is not known") from None
        return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def _head_of(response: httpx.Response) -> str:
    """Return the beginning of the body, as it comes over the wire: nothing is unpacked."""
    head = bytearray()
    try:
        async with asyncio.timeout(_HEAD_SECONDS):
            async for chunk in response.aiter_raw():
                head += chunk
                if len(head) >= HEAD_BYTES:
                    break
    except (TimeoutError, httpx.HTTPError):
        pass  # the status is what counts, and it is there
    return bytes(head[:HEAD_BYTES]).decode("utf-8", "replace").replace("\x00", "\ufffd")


def _passing(code: ErrorCode, message: str) -> AmpError:
    return AmpError(code, message, recoverable=True)


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
