"""The calls of one Firehose server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from ampd.firehose_wire import BLOCK_METHOD, BLOCKS_METHOD, ETHEREUM_BLOCK, INFO_METHOD
from ampd.firehose_wire import firehose_pb2 as pb
from ampd.sources.firehose.endpoint import Endpoint
from ampd.sources.firehose.faults import FirehoseFault, fault_of, malformed, silent
from ampd.telemetry.node_metrics import meter_of_firehose

_BLOCK_TYPE: Final = ETHEREUM_BLOCK.rpartition("/")[2]


class Step(Enum):
    """What a message says of its block: that it is the newest now, or was and is not of the chain any more."""

    NEW = "new"
    UNDO = "undo"


@dataclass(frozen=True)
class Received:
    """A block as it came. ``cursor`` is the place right behind it ("" when the server has none); ``final_block`` the
    last one that cannot be undone; ``payload`` the bytes of the block, of one that is undone perhaps none.
    """

    step: Step
    number: int
    hash: str
    cursor: str
    final_block: int
    payload: bytes


class FirehoseClient:
    """One server. ``streams`` counts those that are open; ``network`` is the name of its chain, for metrics."""

    def __init__(self, endpoint: Endpoint, *, network: str = "") -> None:
        self.endpoint = endpoint
        self.meter = meter_of_firehose(endpoint.shown_url, network)
        self.streams = 0
        self.slow_downs = 0
        self._rests_until = 0.0
        self._channel: Any = None
        self._lacks_fetch = False

    async def close(self) -> None:
        """Let go of the connection."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close(None)

    @property
    def rest_seconds(self) -> float:
        """For how long the server is still to be left alone."""
        return max(0.0, self._rests_until - time.monotonic())

    def rest(self, seconds: float) -> None:
        """Leave the server alone for ``seconds`` from now; a rest that ends later stays."""
        self._rests_until = max(self._rests_until, time.monotonic() + seconds)

    async def blocks(self, request: pb.BlocksRequest, *, again: bool = False) -> AsyncGenerator[Received, None]:
        """Give what the server sends, to the end of its stream; ``again``: it goes on where one has broken.

        :raises FirehoseFault: when it breaks, falls silent, or sends something else.
        """
        call = self._call("unary_stream", BLOCKS_METHOD, pb.BlocksResponse)(request, metadata=self.endpoint.metadata)
        self.streams += 1
        self.meter.stream_began(again=again)
        began_at = time.monotonic()
        try:
            while (response := await self._next(call)) is not None:
                yield self._received(response)
        finally:
            self.streams -= 1
            self.meter.stream_ended(time.monotonic() - began_at)
            call.cancel()

    async def _next(self, call: Any) -> pb.BlocksResponse | None:
        seconds = self.endpoint.timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                response = await call.read()
        except TimeoutError:
            raise silent(self.endpoint.shown_url, "Blocks", seconds) from None
        except grpc.RpcError as error:
            raise fault_of(error, self.endpoint.shown_url, "Blocks") from None
        except DecodeError:
            raise malformed(self.endpoint.shown_url, "what is no message of sf.firehose.v2") from None
        return None if response is grpc.aio.EOF else response

    def _received(self, response: pb.BlocksResponse) -> Received:
        if response.step not in (pb.STEP_NEW, pb.STEP_UNDO, pb.STEP_FINAL):
            raise malformed(self.endpoint.shown_url, f"a block with the step {response.step}, which is unknown")
        kind = response.block.type_url.rpartition("/")[2]
        if kind != _BLOCK_TYPE:
            raise malformed(self.endpoint.shown_url, f"a block of type {kind!r}, not {_BLOCK_TYPE!r}")
        if not response.metadata.id:
            raise malformed(self.endpoint.shown_url, "a block without metadata: servers before Firehose 2.0 have none")
        if response.step == pb.STEP_UNDO:
            self.meter.undone()
        else:
            self.meter.received(len(response.block.value))
        return Received(
            step=Step.UNDO if response.step == pb.STEP_UNDO else Step.NEW,
            number=response.metadata.num,
            hash=response.metadata.id.removeprefix("0x").lower(),
            cursor=response.cursor,
            final_block=response.metadata.lib_num,
            payload=response.block.value,
        )

    async def block_hash(self, number: int) -> bytes | None:
        """Return the hash of the block of this number, None when there is none.

        :raises FirehoseFault: when the server does not answer.
        """
        if not self._lacks_fetch:
            try:
                return await self._fetched_hash(number)
            except FirehoseFault as fault:
                if not fault.lacks_method:
                    raise
                self._lacks_fetch = True
        request = pb.BlocksRequest(start_block_num=number, stop_block_num=number)
        stream = self.blocks(request)
        try:
            async for received in stream:
                return self._hash(received.hash)
        finally:
            await stream.aclose()
        return None

    async def _fetched_hash(self, number: int) -> bytes | None:
        request = pb.BlockRequest(block_number=pb.BlockRequest.Number(num=number))
        try:
            answer = await self._ask("Block", BLOCK_METHOD, request, pb.BlockResponse)
        except FirehoseFault as fault:
            if fault.not_found:
                return None
            raise
        if answer.metadata.num != number:
            raise malformed(self.endpoint.shown_url, f"block {answer.metadata.num} in place of block {number}")
        return self._hash(answer.metadata.id)

    def _hash(self, text: str) -> bytes:
        try:
            return bytes.fromhex(text.removeprefix("0x"))
        except ValueError:
            raise malformed(self.endpoint.shown_url, f"a block whose id {text[:80]!r} is no hash") from None

    async def chain_names(self) -> list[str]:
        """Return the names that the server has for its chain; none when it does not tell.

        :raises FirehoseFault: when the server does not answer.
        """
        try:
            info = await self._ask("Info", INFO_METHOD, pb.InfoRequest(), pb.InfoResponse)
        except FirehoseFault as fault:
            if fault.lacks_method:
                return []
            raise
        return [name for name in (info.chain_name, *info.chain_name_aliases) if name]

    async def _ask(self, name: str, method: str, request: Any, answer: Any) -> Any:
        seconds = self.endpoint.timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._call("unary_unary", method, answer)(request, metadata=self.endpoint.metadata)
        except TimeoutError:
            raise silent(self.endpoint.shown_url, name, seconds) from None
        except grpc.RpcError as error:
            raise fault_of(error, self.endpoint.shown_url, name) from None

    def _call(self, kind: str, method: str, answer: Any) -> Any:
        if self._channel is None:
            self._channel = self.endpoint.open_channel()
        return getattr(self._channel, kind)(
            method,
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=answer.FromString,
        )
