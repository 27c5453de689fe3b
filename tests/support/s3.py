"""Real servers that speak S3, as processes, and a line to them that can be disturbed."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import boto3
import pytest
from aiohttp import web
from botocore.config import Config as BotoConfig
from botocore.exceptions import BotoCoreError, ClientError
from yarl import URL

from ampd.object_store import ObjectStore, StoreSettings
from support.daemons import Process, free_port, wait_for

KEY, SECRET = "AKIATEST", "s3cr3t"
BUCKET = "lake"
MEGABYTE = 1024 * 1024


class S3Server:
    """A server with the bucket ``lake``; ``environment`` leads ampd to it."""

    def __init__(self, arguments: list[str], port: int, directory: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._arguments = arguments
        self._directory = directory
        self._process: Process | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}

    def start(self) -> None:
        self._process = Process(self._arguments, log=self._directory / "server.log")
        wait_for(f"a bucket at {self.url}", self._has_bucket, 40)

    def kill(self) -> None:
        """End it as a crash does."""
        assert self._process is not None
        self._process.popen.kill()
        self._process.wait()

    def client(self) -> Any:
        """A second opinion: the client of AWS, which shares no code with ours."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
            config=BotoConfig(retries={"total_max_attempts": 1}, read_timeout=10),
        )

    def _has_bucket(self) -> bool:
        assert self._process is not None
        assert self._process.popen.poll() is None, self._process.text()
        client = self.client()
        try:
            if not any(bucket["Name"] == BUCKET for bucket in client.list_buckets()["Buckets"]):
                client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="started", Body=b"1")
            client.delete_object(Bucket=BUCKET, Key="started")
        except (BotoCoreError, ClientError):
            return False
        return True


def _program(name: str) -> str:
    return str(Path(sys.executable).parent / name)


@contextmanager
def moto() -> Iterator[S3Server]:
    """Moto's server: quick to start, keeps everything in memory, checks no signature."""
    port = free_port()
    with _running([_program("moto_server"), "-H", "127.0.0.1", "-p", str(port)], port) as server:
        yield server


@contextmanager
def seaweedfs() -> Iterator[S3Server]:
    """SeaweedFS: a real store on disk, which checks signatures and survives a crash."""
    if not Path(_program("weed")).exists():
        pytest.skip("there is no SeaweedFS for this platform")
    with _folder() as directory:
        identity = f'{{"name": "t", "credentials": [{{"accessKey": "{KEY}", "secretKey": "{SECRET}"}}], '
        rights = '"actions": ["Admin", "Read", "List", "Tagging", "Write"]}'
        (directory / "s3.json").write_text(f'{{"identities": [{identity}{rights}]}}', encoding="utf-8")
        (directory / "data").mkdir()
        port = free_port()
        # Without the two intervals a restarted master waits for more than ten seconds for others to elect it.
        arguments = [
            *(_program("weed"), "-logtostderr=true", "server", f"-dir={directory / 'data'}"),
            *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"),
            *("-master.electionTimeout=1s", "-master.heartbeatInterval=100ms", "-master.volumeSizeLimitMB=128"),
            *("-volume.max=30", "-filer", "-s3", f"-s3.port={port}", f"-s3.config={directory / 's3.json'}"),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false"),
            *(f"-{part}.port={free_port()}" for part in ("master", "volume", "filer")),
            *(f"-{part}.port.grpc={free_port()}" for part in ("master", "volume", "filer", "s3")),
        ]
        with _running(arguments, port) as server:
            yield server


@contextmanager
def _running(arguments: list[str], port: int) -> Iterator[S3Server]:
    with _folder() as directory:
        server = S3Server(arguments, port, directory)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextmanager
def _folder() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="ampd-test-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def open_bucket(server_url: str, prefix: str, **settings: Any) -> ObjectStore:
    """Open a place in the bucket, with the credentials that :func:`use_credentials` has set."""
    given = {"timeout_seconds": 20.0, "retry_seconds": 20.0, **settings}
    return ObjectStore.open(
        f"s3://{BUCKET}/{prefix}", StoreSettings(endpoint=server_url, region="us-east-1", allow_http=True, **given)
    )


def use_credentials(monkeypatch: pytest.MonkeyPatch, key: str = KEY, secret: str = SECRET) -> None:
    """Give the credentials of the test servers through the environment, and nothing else of AWS."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)


@dataclass
class Fault:
    """What happens to the next ``times`` requests that ``hits`` chooses (all of them unless it is given).

    ``status``: answered with it instead of the store; ``cut``: the connection is reset, ``before`` the store hears of
    the request, ``after`` it has done what was asked, or in the ``middle`` of its answer; ``stall``: no answer comes,
    and the store hears nothing; ``stall_after``: none comes, and the store has done it.
    """

    kind: str
    times: int = 1
    status: int = 0
    code: str = "InternalError"
    hits: Callable[[web.Request], bool] = field(default=lambda request: True)


class Line:
    """An HTTP proxy before a store. It passes everything on, but for its faults."""

    def __init__(self, upstream: str) -> None:
        self.url = ""
        self.faults: list[Fault] = []
        self.dropped_headers: set[str] = set()
        self.requests: list[tuple[str, str]] = []
        self._upstream = upstream

    def disturb(self, kind: str, **given: Any) -> None:
        self.faults.append(Fault(kind, **given))

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Line]:
        application = web.Application(client_max_size=256 * MEGABYTE)
        application.router.add_route("*", "/{path:.*}", self._serve)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        # Nothing is decoded on the way.
        async with aiohttp.ClientSession(auto_decompress=False) as self._session:
            try:
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
                yield self
            finally:
                await runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request.method, request.path_qs))
        fault = next((fault for fault in self.faults if fault.times and fault.hits(request)), None)
        if fault is None:
            return await self._pass_on(request, body)
        fault.times -= 1
        if fault.kind == "status":
            text = f"<Error><Code>{fault.code}</Code><Message>{SECRET}</Message></Error>"
            return web.Response(status=fault.status, text=text, content_type="application/xml")
        if fault.kind in ("after", "stall_after", "middle"):
            answer = await self._pass_on(request, body)
            if fault.kind == "middle":
                await self._send_half(request, answer)
        if fault.kind in ("stall", "stall_after"):
            return await _nothing(request)
        assert request.transport is not None
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        request.transport.abort()
        return web.Response()

    async def _pass_on(self, request: web.Request, body: bytes) -> web.Response:
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in {*self.dropped_headers, "content-length"}
        }
        # The signature covers the host that was asked.
        async with self._session.request(
            request.method,
            URL(f"{self._upstream}{request.raw_path}", encoded=True),
            data=io.BytesIO(body),
            headers=headers,
        ) as answer:
            kept = {
                name: value
                for name, value in answer.headers.items()
                if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server")
            }
            content = await answer.read()
            if request.method == "HEAD" and "Content-Length" in answer.headers:
                kept["Content-Length"] = answer.headers["Content-Length"]
            return web.Response(status=answer.status, headers=kept, body=content)

    async def _send_half(self, request: web.Request, answer: web.Response) -> None:
        body = answer.body
        assert isinstance(body, bytes)
        half = web.StreamResponse(status=answer.status, headers=answer.headers)
        half.content_length = len(body)
        await half.prepare(request)
        await half.write(body[: len(body) // 2])


async def _nothing(request: web.Request) -> web.Response:
    """Answer nothing until the client has gone."""
    while request.transport is not None and not request.transport.is_closing():
        await asyncio.sleep(0.05)
    return web.Response()
