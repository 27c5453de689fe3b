"""One request to an endpoint, which may be anybody's."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import httpx

from ampd.errors import AmpError, ErrorCode
from ampd.webhooks.addresses import AddressRules
from ampd.webhooks.guarded import AddressRefusedError, GuardedHttp, Resolve, TooSlowError, UnreachableError

# Of an answer, this much is read, and for so long once its status is there: it decides nothing more.
HEAD_BYTES: Final = 1024
_HEAD_SECONDS: Final = 2.0


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
    """Sends messages, through the guard of :class:`ampd.webhooks.guarded.GuardedHttp`; the arguments are its."""

    def __init__(
        self,
        rules: AddressRules,
        *,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
        connect_seconds: float = 5.0,
        total_seconds: float = 15.0,
    ) -> None:
        self._total_seconds = total_seconds
        self._http = GuardedHttp(
            rules, user_agent="ampd-webhooks", resolve=resolve, tls=tls, connect_seconds=connect_seconds
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    async def send(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """Post ``body`` to ``url`` and return the answer, whatever its status.

        :raises AmpError: WEBHOOK_ADDRESS_REFUSED, WEBHOOK_UNREACHABLE, WEBHOOK_TIMED_OUT; all but the first may pass.
        """
        all_headers = {**headers, "Content-Type": "application/json"}
        try:
            return await self._http.exchange("POST", url, all_headers, body, _answer, seconds=self._total_seconds)
        except AddressRefusedError as error:
            raise AmpError(
                ErrorCode.WEBHOOK_ADDRESS_REFUSED,
                f"{error.reason}; webhooks reach the public internet, and what webhooks.allowed_networks names",
            ) from None
        except TooSlowError as error:
            raise AmpError(ErrorCode.WEBHOOK_TIMED_OUT, error.reason, recoverable=True) from None
        except UnreachableError as error:
            raise AmpError(ErrorCode.WEBHOOK_UNREACHABLE, error.reason, recoverable=True) from None


async def _answer(response: httpx.Response) -> Answer:
    return Answer(response.status_code, await _head_of(response), response.headers.get("Retry-After"))


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
