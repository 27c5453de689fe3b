"""A Firehose server is left alone when it wants that, by all workers; and what it gave and did wrong is counted."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from ampd.datasets import EndpointCooldowns, Provider
from ampd.errors import AmpError, ErrorCode
from ampd.extraction.sources import open_source
from ampd.firehose_wire import ERROR_DETAILS, RETRY_INFO
from ampd.firehose_wire import firehose_pb2 as pb
from ampd.metadata_db import MetadataDb
from ampd.replay_node.firehose import FirehoseCall, ReplayFirehose, StreamFault, calls_of
from ampd.replay_node.firehose_chain import FirehoseChain, forked_chain
from ampd.sources.firehose import FirehoseSource
from ampd.sources.firehose.faults import fault_of
from ampd.telemetry.metrics import exposition
from support.firehose_blocks import small_chain
from support.firehose_source import END, LENGTH, START, assert_whole, batches_of, source_of
from support.telemetry import ACCEPT, Scrape


@pytest.fixture(scope="module")
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture(scope="module")
def chain() -> FirehoseChain:
    return small_chain(LENGTH)


def retry_info(seconds: float) -> bytes:
    """Return the details of an error as servers of Google's conventions send them."""
    status = pb.ErrorStatus(code=8, message="slow down")
    delay = Duration(seconds=int(seconds), nanos=round(seconds % 1 * 1e9))
    status.details.add(type_url="type.googleapis.com/google.rpc.Help", value=b"")
    status.details.add(type_url=RETRY_INFO, value=pb.RetryInfo(retry_delay=delay).SerializeToString())
    return status.SerializeToString()


def limited(code: str = "RESOURCE_EXHAUSTED", *, seconds: float, after: int = 0) -> StreamFault:
    return StreamFault(after=after, code=code, trailers=((ERROR_DETAILS, retry_info(seconds)),))


class Limit:
    """Refuses the calls that it is asked about, with the fault of the moment."""

    def __init__(self, *faults: StreamFault | None) -> None:
        self.faults = list(faults)
        self.asked_at: list[float] = []

    def __call__(self, call: FirehoseCall) -> StreamFault | None:
        self.asked_at.append(time.monotonic())
        if len(self.faults) > 1:
            return self.faults.pop(0)
        return self.faults[0]


def rest_of(source: FirehoseSource) -> float:
    (state,) = source.states()
    return state.rest_seconds


# --- for how long


@pytest.mark.parametrize(
    "fault",
    [
        limited(seconds=600),
        limited("UNAVAILABLE", seconds=600),
        limited("ABORTED", seconds=600),
        StreamFault(code="RESOURCE_EXHAUSTED", trailers=(("retry-after", "600"),)),
        StreamFault(code="RESOURCE_EXHAUSTED", text="too many streams, try again in 600s"),
        StreamFault(code="UNAVAILABLE", text="received http2 header with status: 429; retry after 10m"),
    ],
    ids=["retry info", "unavailable", "aborted", "header", "text", "a proxy's 429"],
)
async def test_a_server_is_left_alone_for_as_long_as_it_says(
    executor: ThreadPoolExecutor, chain: FirehoseChain, fault: StreamFault
) -> None:
    limit = Limit(fault)
    async with ReplayFirehose(chain, faults=limit) as server, source_of(server, executor=executor) as source:
        with pytest.raises(AmpError, match="wants no requests for another") as caught:
            await batches_of(source)
        assert (caught.value.code, caught.value.recoverable) == (ErrorCode.NODE_RATE_LIMITED, True)
        assert len(limit.asked_at) == 1
        assert 590 < rest_of(source) <= 600


async def test_a_short_rest_is_waited_for_and_the_stream_goes_on(
    executor: ThreadPoolExecutor, chain: FirehoseChain
) -> None:
    limit = Limit(limited(seconds=0.4, after=7), None)
    async with ReplayFirehose(chain, faults=limit) as server, source_of(server, executor=executor) as source:
        assert_whole(await batches_of(source), chain)
        first, second = calls_of(server, "Blocks")
        assert second.start_block == START + 7 and second.cursor
        assert limit.asked_at[1] - limit.asked_at[0] >= 0.4
        assert first.start_block == START


async def test_another_server_stands_in_for_one_that_rests_and_the_resting_one_is_not_asked(
    executor: ThreadPoolExecutor, chain: FirehoseChain
) -> None:
    limit = Limit(limited(seconds=600))
    async with (
        ReplayFirehose(chain, faults=limit) as tired,
        ReplayFirehose(chain) as fresh,
        source_of(tired, fresh, executor=executor) as source,
    ):
        for _ in range(3):
            assert_whole(await batches_of(source), chain)
            assert await source.block_hash(END) == bytes.fromhex(chain.identity(END).hash[2:])
        assert len(limit.asked_at) == 1


@pytest.mark.parametrize("code", ["UNAVAILABLE", "INTERNAL", "OK"])
async def test_a_server_that_only_fails_is_not_left_alone(
    executor: ThreadPoolExecutor, chain: FirehoseChain, code: str
) -> None:
    limit = Limit(StreamFault(code=code, trailers=((ERROR_DETAILS, b"\xff no message"),)), None)
    async with ReplayFirehose(chain, faults=limit) as server, source_of(server, executor=executor) as source:
        assert_whole(await batches_of(source), chain)
        assert rest_of(source) == 0.0


def test_a_message_that_is_too_large_for_us_is_no_rate_limit() -> None:
    text = "CLIENT: Received message larger than max (199 vs. 104)"
    nothing = grpc.aio.Metadata()
    error = grpc.aio.AioRpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, nothing, nothing, details=text)
    fault = fault_of(error, "http://node.example", "Blocks")
    assert (fault.code, fault.wants_rest) == (ErrorCode.NODE_ANSWERED_ERROR, False)


# --- by all workers


async def test_the_rate_limit_of_one_worker_keeps_the_others_from_asking(
    executor: ThreadPoolExecutor, chain: FirehoseChain, metadata_db: MetadataDb
) -> None:
    limit, cooldowns = Limit(limited(seconds=600)), EndpointCooldowns(metadata_db)
    async with ReplayFirehose(chain, faults=limit) as server:
        async with source_of(server, executor=executor, cooldowns=cooldowns, token="s3cr3t") as one:
            with pytest.raises(AmpError, match="wants no requests"):
                await batches_of(one)
            async with asyncio.timeout(10):
                while await cooldowns.count() == 0:
                    await asyncio.sleep(0)
        limit.asked_at.clear()
        limit.faults = [None]
        async with source_of(server, executor=executor, cooldowns=cooldowns, token="s3cr3t") as other:
            with pytest.raises(AmpError, match="wants no requests for another") as refused:
                await other.chain_id()
            with pytest.raises(AmpError, match="wants no requests for another"):
                await batches_of(other)
            with pytest.raises(AmpError, match="wants no requests for another"):
                await other.latest_block(finalized=False)
        opened = open_source([provider_of(server, token="s3cr3t")], "mainnet", executor, cooldowns=cooldowns)
        with pytest.raises(AmpError, match="wants no requests for another"):
            await opened.chain_id()
        await opened.close()
        assert limit.asked_at == []
        # Another account of the same provider is another matter.
        async with source_of(server, executor=executor, cooldowns=cooldowns, token="another") as third:
            assert await third.chain_id() == 1
            assert_whole(await batches_of(third), chain)
    assert refused.value.code is ErrorCode.NODE_RATE_LIMITED
    stored = json.dumps(await metadata_db.fetch_all("SELECT * FROM endpoint_cooldowns"), default=str)
    assert "s3cr3t" not in stored


def provider_of(server: ReplayFirehose, token: str) -> Provider:
    config = {"kind": "firehose", "network": "mainnet", "url": server.url, "token": token}
    return Provider("mine", "firehose", "mainnet", config)


async def test_a_worker_that_is_at_work_hears_of_the_rate_limit_of_another_before_its_next_stream(
    executor: ThreadPoolExecutor, chain: FirehoseChain, metadata_db: MetadataDb
) -> None:
    cooldowns = EndpointCooldowns(metadata_db)
    async with (
        ReplayFirehose(chain) as server,
        source_of(server, executor=executor, cooldowns=cooldowns) as source,
    ):
        assert_whole(await batches_of(source), chain)
        (client,) = source._servers.clients
        await cooldowns.begin(client.endpoint.key, 600.0, "told by another worker")
        with pytest.raises(AmpError, match="wants no requests"):
            async with asyncio.timeout(10):
                while True:
                    await batches_of(source)
        assert rest_of(source) > 590


async def test_blocks_come_while_the_database_is_away(executor: ThreadPoolExecutor, chain: FirehoseChain) -> None:
    class Away:
        async def begin(self, key: str, seconds: float, reason: str) -> None:
            raise AmpError(ErrorCode.METADATA_DB_UNREACHABLE, "away", recoverable=True)

        async def remaining(self, keys: object) -> dict[str, float]:
            raise AmpError(ErrorCode.METADATA_DB_UNREACHABLE, "away", recoverable=True)

    limit = Limit(limited(seconds=0.3), None)
    async with (
        ReplayFirehose(chain, faults=limit) as server,
        source_of(server, executor=executor, cooldowns=Away()) as source,
    ):
        assert_whole(await batches_of(source), chain)


# --- what is counted


def scraped() -> Scrape:
    return Scrape(exposition(ACCEPT)[0].decode())


async def test_what_a_server_sent_and_did_wrong_is_told_as_it_happened(
    executor: ThreadPoolExecutor, chain: FirehoseChain
) -> None:
    limit = Limit(StreamFault(after=7, code="INTERNAL"), limited(seconds=0.01), None)
    async with ReplayFirehose(chain, faults=limit) as server, source_of(server, executor=executor) as source:
        labels = {"endpoint": server.url, "network": "mainnet"}
        server.grow_to(START + 19)
        reading = source.read(START, END, most_blocks=100)
        first = asyncio.ensure_future(anext(reading))
        await until_counted(labels, "firehose_blocks_received_total", 20)
        assert scraped().value("firehose_streams_open", **labels) == 1
        sizes = sum(len(chain.block(number).payload) for number in range(START, START + 20))
        assert scraped().value("firehose_received_bytes_total", **labels) == sizes
        server.follow(forked_chain(chain, at=START + 17, length=LENGTH))
        await first
        assert await source.latest_block(finalized=False) == END
        told = scraped()
        await reading.aclose()
    streams = calls_of(server, "Blocks")
    assert told.value("firehose_streams_total", **labels) == len(streams) == 4
    assert told.value("firehose_reconnects_total", **labels) == 2
    assert told.value("firehose_undos_total", **labels) == 3  # blocks 17, 18 and 19
    errors = told.by("firehose_stream_errors_total", "error_code") if told.all("firehose_stream_errors_total") else {}
    assert {code: told.value("firehose_stream_errors_total", **labels, error_code=code) for code in errors} == {
        **dict.fromkeys(errors, 0.0),
        "NODE_ANSWERED_ERROR": 1,
        "NODE_RATE_LIMITED": 1,
    }
    assert told.value("ampd_endpoint_slow_downs_total", **labels) == 1
    assert told.value("firehose_blocks_received_total", **labels) == 20 + 13 + 2  # the fork, and the head
    assert told.value("firehose_head_block", **labels) == END
    assert told.value("firehose_stream_duration_milliseconds_count", **labels) == 3, "the head is still listened to"
    gone = scraped()
    assert (frozenset(labels.items())) not in gone.all("firehose_streams_open"), "nobody uses it any more"


async def until_counted(labels: dict[str, str], name: str, wanted: float) -> None:
    async with asyncio.timeout(10):
        while scraped().value(name, **labels) < wanted:
            await asyncio.sleep(0.005)


async def test_blocks_that_cannot_be_decoded_are_counted_as_the_servers_fault(
    executor: ThreadPoolExecutor, chain: FirehoseChain
) -> None:
    def cut_off(response: pb.BlocksResponse) -> pb.BlocksResponse:
        response.block.value = response.block.value[:-3]
        return response

    limit = Limit(StreamFault(change=cut_off), None)
    async with ReplayFirehose(chain, faults=limit) as server, source_of(server, executor=executor) as source:
        assert_whole(await batches_of(source), chain)
        labels = {"endpoint": server.url, "network": "mainnet", "error_code": "NODE_ANSWER_MALFORMED"}
        assert scraped().value("firehose_stream_errors_total", **labels) == 1
