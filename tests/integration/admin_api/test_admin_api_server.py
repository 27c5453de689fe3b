from __future__ import annotations

import asyncio
import signal
import socket

import httpx
import pytest
from fastapi import FastAPI

from ampd.admin_api import serve_admin_api
from ampd.errors import AmpError, ErrorCode


@pytest.fixture
def app() -> FastAPI:
    """An application with one slow and one quick answer."""
    app = FastAPI()

    @app.get("/quick")
    async def quick() -> str:
        return "quick"

    return app


async def _refused(app: FastAPI, host: str, port: int, *, insecure: bool = False) -> AmpError:
    with pytest.raises(AmpError) as refused:
        await serve_admin_api(
            app, host=host, port=port, started=lambda *_: None, stop=asyncio.Event(), insecure=insecure
        )
    return refused.value


async def test_it_serves_from_the_moment_it_says_so_until_it_is_told_to_stop(app: FastAPI) -> None:
    stop = asyncio.Event()
    address: asyncio.Future[tuple[str, int]] = asyncio.get_running_loop().create_future()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    serving = asyncio.create_task(
        serve_admin_api(
            app, host="127.0.0.1", port=0, started=lambda host, port: address.set_result((host, port)), stop=stop
        )
    )
    host, port = await asyncio.wait_for(address, 10)
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://{host}:{port}/quick")
        assert answer.json() == "quick"
        assert "server" not in answer.headers
    assert {number: signal.getsignal(number) for number in handlers} == handlers
    stop.set()
    await asyncio.wait_for(serving, 10)
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://{host}:{port}/quick")


async def test_a_taken_address_is_named_with_the_config_key(app: FastAPI) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        error = await _refused(app, "127.0.0.1", port)
    assert error.code is ErrorCode.ADDRESS_IN_USE
    assert f"127.0.0.1:{port}" in error.message
    assert "admin_api_addr" in error.message


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_an_address_that_others_reach_is_refused_without_tokens(app: FastAPI, host: str) -> None:
    error = await _refused(app, host, 0)
    assert error.code is ErrorCode.CONFIG_INVALID
    assert "--insecure" in error.message
    assert "admin_api_addr" in error.message


async def test_an_address_that_others_reach_is_served_when_that_is_wanted(app: FastAPI) -> None:
    stop = asyncio.Event()
    heard: list[str] = []

    def started(host: str, _port: int) -> None:
        heard.append(host)
        stop.set()

    await serve_admin_api(app, host="0.0.0.0", port=0, started=started, stop=stop, insecure=True)
    assert heard == ["0.0.0.0"]


@pytest.mark.parametrize(("host", "port"), [("no.such.host.invalid", 1610), ("127.0.0.1", 70000), ("192.0.2.1", 0)])
async def test_an_address_that_is_not_ours_is_named_with_the_config_key(app: FastAPI, host: str, port: int) -> None:
    error = await _refused(app, host, port, insecure=True)
    assert error.code is ErrorCode.CONFIG_INVALID
    assert host in error.message
    assert "admin_api_addr" in error.message


async def test_a_cancelled_server_lets_its_address_go(app: FastAPI) -> None:
    address: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve_admin_api(
            app,
            host="127.0.0.1",
            port=0,
            started=lambda _host, port: address.set_result(port),
            stop=asyncio.Event(),
        )
    )
    port = await asyncio.wait_for(address, 10)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))
