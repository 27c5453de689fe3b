"""The server of the Admin API: slow clients, too many of them, and TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from ampd.admin_api import ConnectionLimits, Listening, Tls, serve_admin_api
from ampd.admin_api.errors import install_error_handlers
from ampd.admin_api.gate.middleware import RequestGuard
from ampd.errors import AmpError, ErrorCode
from support.tls import certificate_in

SECONDS = 20.0
QUICK = b"GET /quick HTTP/1.1\r\nHost: a\r\n"


def application(body_seconds: float = 30.0) -> FastAPI:
    app = FastAPI()
    install_error_handlers(app)
    app.add_middleware(RequestGuard, body_seconds=body_seconds)

    @app.get("/quick")
    async def quick() -> str:
        return "quick"

    @app.get("/long")
    async def long() -> Response:
        return Response(b"x" * 50_000_000)

    @app.post("/body")
    async def body(request: Request) -> int:
        return len(await request.body())

    return app


@asynccontextmanager
async def serving(app: FastAPI, listening: Listening) -> AsyncIterator[tuple[str, int]]:
    stop = asyncio.Event()
    address: asyncio.Future[tuple[str, int]] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        serve_admin_api(
            app,
            host="127.0.0.1",
            port=0,
            started=lambda host, port: address.set_result((host, port)),
            stop=stop,
            listening=listening,
        )
    )
    try:
        async with asyncio.timeout(SECONDS):
            await asyncio.wait({address, task}, return_when=asyncio.FIRST_COMPLETED)
        yield address.result()
    finally:
        stop.set()
        await task


async def read_to_end(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the server closes the connection: it does."""
    async with asyncio.timeout(SECONDS):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def trickle(writer: asyncio.StreamWriter) -> None:
    """Send one more byte of a head again and again, for as long as anybody takes it."""
    try:
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)
    except ConnectionError:
        return


@pytest.mark.parametrize(
    "beginning", [b"", b"GET /quick HT", QUICK + b"X-Long: ", QUICK + b"\r\n" + QUICK + b"X-Long: "]
)
async def test_a_client_that_never_ends_its_head_loses_its_connection(beginning: bytes) -> None:
    async with serving(application(), Listening(limits=ConnectionLimits(head_seconds=0.3))) as (host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(beginning)
        trickling = asyncio.create_task(trickle(writer)) if beginning else None
        assert (await read_to_end(reader)).count(b"quick") == (1 if b"\r\n\r\n" in beginning else 0)
        if trickling is not None:
            trickling.cancel()
        writer.close()


async def test_a_hundred_slow_clients_hold_nobody_up() -> None:
    async with serving(application(), Listening()) as (host, port):
        slow = [await asyncio.open_connection(host, port) for _ in range(100)]
        for _, writer in slow:
            writer.write(b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx")
        async with httpx.AsyncClient() as client:
            for _ in range(10):
                assert (await client.get(f"http://{host}:{port}/quick")).json() == "quick"
        for _, writer in slow:
            writer.close()


async def test_a_body_that_does_not_arrive_is_given_up() -> None:
    async with serving(application(body_seconds=0.3), Listening()) as (host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx")
        answer = await read_to_end(reader)
        assert b" 408 " in answer
        assert b"REQUEST_TIMEOUT" in answer
        writer.close()


async def test_a_client_that_does_not_read_its_answer_loses_its_connection() -> None:
    async with serving(application(), Listening(limits=ConnectionLimits(answer_seconds=0.3))) as (host, port):
        reader, writer = await asyncio.open_connection(host, port, limit=1000)
        writer.write(b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(SECONDS):
            await reader.readuntil(b"\r\n")
            # Nothing is read from here on: the reader is at its limit, and its transport paused.
            while not reader.at_eof() and reader.exception() is None:
                try:
                    writer.write(b"x")
                    await writer.drain()
                except ConnectionError:
                    break
                await asyncio.sleep(0.02)
        writer.close()


async def test_connections_above_the_limit_are_closed_at_once() -> None:
    async with serving(application(), Listening(limits=ConnectionLimits(max_connections=2))) as (host, port):
        held = [await asyncio.open_connection(host, port) for _ in range(2)]
        for reader, writer in held:
            writer.write(QUICK + b"\r\n")
            assert b"200" in await reader.readline()
        reader, writer = await asyncio.open_connection(host, port)
        assert await read_to_end(reader) == b""
        for _, each in [*held, (reader, writer)]:
            each.close()


async def test_it_speaks_tls_with_the_certificate_that_is_configured(tmp_path: Path) -> None:
    certificate, key = certificate_in(tmp_path)
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with serving(application(), Listening(tls=Tls(certificate, key))) as (host, port):
        async with httpx.AsyncClient(verify=trusting) as client:
            assert (await client.get(f"https://{host}:{port}/quick")).json() == "quick"
        async with httpx.AsyncClient() as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(f"https://{host}:{port}/quick")
            with pytest.raises(httpx.HTTPError):
                await client.get(f"http://{host}:{port}/quick")


@pytest.mark.parametrize("broken", ["certificate", "key", "missing", "other"])
async def test_a_certificate_that_cannot_be_used_is_named_before_anything_is_served(
    tmp_path: Path, broken: str
) -> None:
    certificate, key = certificate_in(tmp_path)
    if broken == "other":
        (tmp_path / "b").mkdir()
        _, key = certificate_in(tmp_path / "b")
    elif broken == "missing":
        key = tmp_path / "nowhere.pem"
    else:
        {"certificate": certificate, "key": key}[broken].write_text("nothing")
    with pytest.raises(AmpError) as refused:
        async with serving(application(), Listening(tls=Tls(certificate, key))):
            pass
    assert refused.value.code is ErrorCode.CONFIG_INVALID
    assert "admin_api.tls_key_file" in refused.value.message


async def test_an_address_that_others_reach_is_served_when_there_are_tokens() -> None:
    stop = asyncio.Event()
    stop.set()
    heard: list[str] = []
    await serve_admin_api(
        application(),
        host="0.0.0.0",
        port=0,
        started=lambda host, _port: heard.append(host),
        stop=stop,
        listening=Listening(guarded=True),
    )
    assert heard == ["0.0.0.0"]
