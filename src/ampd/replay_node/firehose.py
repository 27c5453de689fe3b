"""A Firehose server over recorded blocks: real gRPC, the steps of a chain that reorganises, and faults on demand."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import grpc

from ampd.errors import AmpError, ErrorCode
from ampd.firehose_wire import BLOCK_METHOD, BLOCKS_METHOD, ETHEREUM_BLOCK, INFO_METHOD
from ampd.firehose_wire import firehose_pb2 as pb
from ampd.replay_node.dbin import FirehoseBlock, read_firehose_blocks
from ampd.replay_node.firehose_chain import FirehoseChain, recorded_chain, repeated_chain
from ampd.replay_node.until_signal import serve_until_signal

_MESSAGE_BYTES = 100 * 1024 * 1024
_BLOCKS_UNTIL_FINAL = 64


@dataclass(frozen=True)
class FirehoseCall:
    """A call as it came in. ``sequence`` counts the server's calls from 0."""

    method: str
    sequence: int
    start_block: int = 0
    stop_block: int = 0
    cursor: str = ""


@dataclass(frozen=True)
class StreamFault:
    """What goes wrong with a call: after ``after`` messages it ends with the status ``code`` (a name of
    ``grpc.StatusCode``; ``OK`` ends it as if there were no more, None goes on), or falls silent (``hangs``). ``text``
    and ``trailers`` go with the status. ``change`` makes another message of each that is sent, and None of one that is
    kept back.
    """

    after: int = 0
    code: str | None = None
    text: str = "a fault on demand"
    trailers: tuple[tuple[str, str | bytes], ...] = ()
    hangs: bool = False
    change: Callable[[pb.BlocksResponse], pb.BlocksResponse | None] | None = None


FirehoseFaultChooser = Callable[[FirehoseCall], StreamFault | None]


class ReplayFirehose:
    """Serves a chain on ``host``, a block every ``latency_seconds`` of each stream. ``head`` is the newest block that
    is there; :meth:`follow` changes the chain, and those who read hear of it. The last ``blocks_until_final`` blocks
    can be undone.

    ``token`` is what calls must carry; with ``certificate`` and ``key`` (PEM files) it speaks TLS.
    """

    def __init__(
        self,
        chain: FirehoseChain,
        *,
        chain_name: str = "mainnet",
        token: str | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
        gzip: bool = True,
        blocks_until_final: int = _BLOCKS_UNTIL_FINAL,
        faults: FirehoseFaultChooser | None = None,
        latency_seconds: float = 0.0,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.chain = chain
        self.head = chain.last_block
        self.faults = faults
        self.calls: list[FirehoseCall] = []
        self.has_fetch = True
        self.last_sent = -1
        self._known = {identity.hash: identity for identity in chain.identities}
        self._chain_name = chain_name
        self._token = token
        self._certificate, self._key = certificate, key
        self._gzip = gzip
        self._blocks_until_final = blocks_until_final
        self._latency_seconds = latency_seconds
        self._changed = asyncio.Event()
        self._server: Any = None
        self._host = host
        self._wanted_port = port
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'http' if self._certificate is None else 'https'}://{self._host}:{self.port}"

    @property
    def final_block(self) -> int:
        """The last block that cannot be undone."""
        return max(self.chain.first_block, self.head - self._blocks_until_final)

    async def __aenter__(self) -> Self:
        options = [("grpc.max_send_message_length", _MESSAGE_BYTES), ("grpc.so_reuseport", 0)]
        compression = grpc.Compression.Gzip if self._gzip else grpc.Compression.NoCompression
        self._server = grpc.aio.server(options=options, compression=compression)
        self._server.add_generic_rpc_handlers((_Handlers(self),))
        try:
            self.port = self._listen(f"{self._host}:{self.port or self._wanted_port}")
        except RuntimeError as error:
            raise AmpError(
                ErrorCode.ADDRESS_IN_USE,
                f"The replay Firehose cannot listen on {self._host}:{self._wanted_port}: {error}; give another port "
                "(0 takes any free one).",
            ) from None
        await self._server.start()
        return self

    def _listen(self, address: str) -> int:
        if self._certificate is None or self._key is None:
            return int(self._server.add_insecure_port(address))
        pair = (self._key.read_bytes(), self._certificate.read_bytes())
        return int(self._server.add_secure_port(address, grpc.ssl_server_credentials([pair])))

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(None)

    def follow(self, chain: FirehoseChain, *, head: int | None = None) -> None:
        """Serve ``chain`` from now on, up to block ``head`` (its last one unless given)."""
        self._known |= {identity.hash: identity for identity in chain.identities}
        self.chain = chain
        self.grow_to(chain.last_block if head is None else head)

    def grow_to(self, head: int) -> None:
        """Have the blocks up to ``head``."""
        self.head = head
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    # --- the services

    async def blocks(self, request: pb.BlocksRequest, context: Any) -> AsyncIterator[pb.BlocksResponse]:
        """``sf.firehose.v2.Stream/Blocks``."""
        fault = await self._begin("Blocks", context, request)
        sent = 0
        async for response in self._steps(request, context):
            if fault is not None and sent >= fault.after:
                if fault.hangs:
                    await asyncio.Event().wait()
                if fault.code == "OK":
                    return
                if fault.code is not None:
                    await context.abort(grpc.StatusCode[fault.code], fault.text, fault.trailers)
            changed = response if fault is None or fault.change is None else fault.change(response)
            if changed is not None:
                yield changed
                self.last_sent = changed.metadata.num
            sent += 1

    async def block(self, request: pb.BlockRequest, context: Any) -> pb.BlockResponse:
        """``sf.firehose.v2.Fetch/Block``."""
        await self._begin("Block", context, None)
        if not self.has_fetch:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "unknown service sf.firehose.v2.Fetch")
        number = request.block_number.num
        if number not in self.chain or number > self.head:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"block {number} not found")
        full = self._response(self.chain.block(number), pb.STEP_NEW)
        return pb.BlockResponse(block=full.block, metadata=full.metadata)

    async def info(self, _request: pb.InfoRequest, context: Any) -> pb.InfoResponse:
        """``sf.firehose.v2.EndpointInfo/Info``."""
        await self._begin("Info", context, None)
        first = self.chain.identity(self.chain.first_block)
        return pb.InfoResponse(
            chain_name=self._chain_name,
            first_streamable_block_num=first.number,
            first_streamable_block_id=first.hash[2:],
        )

    async def _begin(self, method: str, context: Any, request: pb.BlocksRequest | None) -> StreamFault | None:
        metadata = dict(context.invocation_metadata())
        if self._token is not None and metadata.get("authorization") != f"bearer {self._token}":
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is missing or wrong")
        place = (0, 0, "") if request is None else (request.start_block_num, request.stop_block_num, request.cursor)
        call = FirehoseCall(method, len(self.calls), *place)
        self.calls.append(call)
        fault = None if self.faults is None else self.faults(call)
        if fault is not None and request is None and fault.code is not None:
            await context.abort(grpc.StatusCode[fault.code], fault.text, fault.trailers)
        return fault

    # --- the steps of a stream

    async def _steps(self, request: pb.BlocksRequest, context: Any) -> AsyncIterator[pb.BlocksResponse]:
        """Give the steps from the request's place on: what is new, and what is undone when the chain has changed."""
        only_final = request.final_blocks_only
        at = await self._resume(request.cursor, context) if request.cursor else None
        following = self._first_number(request.start_block_num) if at is None else at[0] + 1
        while True:
            changed = self._changed
            while at is not None and not self._is_of_chain(at):
                undone = self._known["0x" + at[1]]
                yield self._response(self._block_of(at), pb.STEP_UNDO)
                at = (undone.number - 1, undone.parent_hash[2:])
                following = undone.number
            last = self.final_block if only_final else self.head
            if following <= last and following in self.chain:
                if self._latency_seconds:
                    await asyncio.sleep(self._latency_seconds)
                block = self.chain.block(following)
                at, following = (block.number, block.hash), following + 1
                yield self._response(block, pb.STEP_FINAL if only_final else pb.STEP_NEW)
                if request.stop_block_num and following > request.stop_block_num:
                    return
            else:
                await changed.wait()

    def _first_number(self, wanted: int) -> int:
        return wanted if wanted >= 0 else max(self.chain.first_block, self.head + wanted)

    def _is_of_chain(self, at: tuple[int, str]) -> bool:
        number, block_hash = at
        if number < self.chain.first_block:
            return True
        return number <= self.head and number in self.chain and self.chain.identity(number).hash == "0x" + block_hash

    def _block_of(self, at: tuple[int, str]) -> FirehoseBlock:
        """Return a block that is not of the chain any more: what is known of it."""
        identity = self._known["0x" + at[1]]
        return FirehoseBlock(identity.number, at[1], identity.parent_hash[2:], identity.timestamp, b"")

    async def _resume(self, cursor: str, context: Any) -> tuple[int, str]:
        try:
            number, block_hash = json.loads(base64.urlsafe_b64decode(cursor))
            if "0x" + block_hash not in self._known:
                raise ValueError(block_hash)
        except ValueError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "invalid cursor")
            raise
        return int(number), str(block_hash)

    def _response(self, block: FirehoseBlock, step: pb.Step) -> pb.BlocksResponse:
        back = step == pb.STEP_UNDO
        place = (block.number - 1, block.parent_hash) if back else (block.number, block.hash)
        response = pb.BlocksResponse(step=step, cursor=cursor_of(*place))
        response.block.type_url, response.block.value = ETHEREUM_BLOCK, block.payload
        response.metadata.num, response.metadata.id = block.number, block.hash
        response.metadata.parent_num, response.metadata.parent_id = block.number - 1, block.parent_hash
        response.metadata.lib_num = self.final_block
        response.metadata.time.seconds = block.timestamp
        return response


def cursor_of(number: int, block_hash: str) -> str:
    """Return the cursor behind a block; clients do not look into it."""
    return base64.urlsafe_b64encode(json.dumps([number, block_hash]).encode()).decode()


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc is not typed
    """Which method is which."""

    def __init__(self, server: ReplayFirehose) -> None:
        self._methods = {
            BLOCKS_METHOD: grpc.unary_stream_rpc_method_handler(
                server.blocks, pb.BlocksRequest.FromString, pb.BlocksResponse.SerializeToString
            ),
            BLOCK_METHOD: grpc.unary_unary_rpc_method_handler(
                server.block, pb.BlockRequest.FromString, pb.BlockResponse.SerializeToString
            ),
            INFO_METHOD: grpc.unary_unary_rpc_method_handler(
                server.info, pb.InfoRequest.FromString, pb.InfoResponse.SerializeToString
            ),
        }

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler of a call."""
        return self._methods.get(handler_call_details.method)


def calls_of(server: ReplayFirehose, method: str) -> Sequence[FirehoseCall]:
    """Return the calls of a method so far."""
    return [call for call in server.calls if call.method == method]


def run_replay_firehose(
    *, blocks: Path, host: str, port: int, length: int | None, gzip: bool, latency_seconds: float = 0.0
) -> None:
    """Serve a directory of recorded Firehose blocks until SIGINT or SIGTERM: the body of ``ampd replay-firehose``.

    Prints one line with the URL on stdout when it answers. Options as of :func:`repeated_chain` and
    :class:`ReplayFirehose`. Raises :class:`AmpError` (``RECORDED_BLOCKS_INVALID``, ``ADDRESS_IN_USE``).
    """
    recorded = read_firehose_blocks(blocks)
    chain = recorded_chain(recorded) if length is None else repeated_chain(recorded, length=length)
    server = ReplayFirehose(chain, host=host, port=port, gzip=gzip, latency_seconds=latency_seconds)

    def listening() -> str:
        return f"replay firehose listening on {server.url} (blocks {chain.first_block} to {chain.last_block})"

    asyncio.run(serve_until_signal(server, listening))
