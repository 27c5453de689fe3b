"""Where one request may go and what it may cost: rebinding names, redirects, slow and endless answers, certificates."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from aiohttp import web

from ampd.errors import AmpError, ErrorCode
from ampd.webhook_signature import signature_headers
from ampd.webhooks import AddressRules, Answer, Sender
from support.receivers import Receiver, receiver
from support.tls import certificate_in
from support.webhook_scene import LOCAL, OWN_SECRET

KEY = OWN_SECRET.encode()
BODY = b'{"event":"job.completed"}'
PUBLIC = "93.184.216.34"


def headers() -> dict[str, str]:
    return signature_headers([KEY], "msg_1", int(time.time()), BODY)


class Names:
    """Answers each lookup with the next of its lists of addresses, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, _port: int) -> Sequence[str]:
        self.asked.append(host)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts that sockets are opened to; those that are not of this machine are refused by a wire cutter."""
    found: list[str] = []
    connect = anyio.connect_tcp

    async def wire(remote_host: str, remote_port: int, **options: Any) -> Any:
        found.append(remote_host)
        if not remote_host.startswith("127."):
            raise ConnectionRefusedError
        return await connect(remote_host, remote_port, **options)

    monkeypatch.setattr(anyio, "connect_tcp", wire)
    return found


async def fails(sender: Sender, url: str) -> AmpError:
    with pytest.raises(AmpError) as error:
        await sender.send(url, headers(), BODY)
    return error.value


# --- where to


async def test_a_name_that_is_public_when_judged_and_local_when_dialled_gains_nothing(
    there: Receiver, dialled: list[str]
) -> None:
    names = Names([PUBLIC], ["127.0.0.1"])
    url = f"https://rebinding.example:{there.port}/"
    async with Sender(AddressRules(), resolve=names) as sender:
        assert (await fails(sender, url)).code is ErrorCode.WEBHOOK_UNREACHABLE
        assert dialled == [PUBLIC]  # the address that was judged, not the name
        assert len(names.asked) == 1
        refused = await fails(sender, url)
    assert refused.code is ErrorCode.WEBHOOK_ADDRESS_REFUSED
    assert "127.0.0.1" not in refused.message
    assert dialled == [PUBLIC]
    assert there.received == there.refused == []


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        [PUBLIC, "127.0.0.1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["169.254.169.254"],
        ["fd00:ec2::254"],
        ["100.100.100.200"],
    ],
)
async def test_one_bad_address_of_a_name_is_enough(addresses: list[str], dialled: list[str]) -> None:
    async with Sender(AddressRules(), resolve=Names(addresses)) as sender:
        assert (await fails(sender, "https://example.com/")).code is ErrorCode.WEBHOOK_ADDRESS_REFUSED
    assert dialled == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "2130706433", "0x7f.1", "[::ffff:7f00:1]", "169.254.169.254"])
async def test_an_address_in_the_url_is_judged_without_a_lookup(host: str, dialled: list[str]) -> None:
    async with Sender(AddressRules(), resolve=Names([PUBLIC])) as sender:
        assert (await fails(sender, f"https://{host}/")).code is ErrorCode.WEBHOOK_ADDRESS_REFUSED
    assert dialled == []


async def test_plain_http_goes_to_allowed_networks_alone(dialled: list[str]) -> None:
    async with Sender(LOCAL, resolve=Names([PUBLIC])) as sender:
        assert (await fails(sender, "http://example.com/")).code is ErrorCode.WEBHOOK_ADDRESS_REFUSED
    assert dialled == []


async def test_the_next_address_is_tried_when_one_does_not_answer(there: Receiver, dialled: list[str]) -> None:
    rules = AddressRules.of(["127.0.0.0/8", "10.0.0.0/8"])
    async with Sender(rules, resolve=Names(["10.0.0.1", "127.0.0.1"])) as sender:
        answer = await sender.send(f"http://hooks.internal:{there.port}/x", headers(), BODY)
    assert answer.taken
    assert dialled == ["10.0.0.1", "127.0.0.1"]
    assert there.received[0].headers["Host"] == f"hooks.internal:{there.port}"


async def test_names_are_looked_up_as_the_system_does_it(there: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    known = socket.getaddrinfo

    def look_up(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        if host == "no-such-name.invalid":  # nobody else needs to be asked
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known(host, port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    async with Sender(AddressRules.of(["127.0.0.0/8", "::1/128"])) as sender:
        assert (await sender.send(f"http://localhost:{there.port}/", headers(), BODY)).taken
        nobody = await fails(sender, "http://no-such-name.invalid/")
    assert (nobody.code, nobody.message) == (ErrorCode.WEBHOOK_UNREACHABLE, "its name is not known")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_to_the_metadata_of_a_cloud_is_not_followed(
    there: Receiver, dialled: list[str], status: int
) -> None:
    async def redirect(_request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "http://169.254.169.254/latest/meta-data/"})

    there.answers = [redirect]
    async with Sender(LOCAL) as sender:
        answer = await sender.send(there.url, headers(), BODY)
    assert (answer.status, answer.taken) == (status, False)
    assert dialled == ["127.0.0.1"]


async def test_proxies_of_the_environment_are_not_used(there: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with Sender(LOCAL) as sender:
        assert (await sender.send(there.url, headers(), BODY)).taken


async def test_what_one_receiver_sets_as_a_cookie_no_other_gets(there: Receiver) -> None:
    async def bake(_request: web.Request) -> web.Response:
        return web.Response(status=204, headers={"Set-Cookie": "session=1; Path=/"})

    there.answers = [bake]
    async with Sender(LOCAL) as sender:
        for _ in range(2):
            await sender.send(there.url, headers(), BODY)
    assert [each.headers.get("Cookie") for each in there.received] == [None, None]


# --- what it costs


async def test_of_a_large_answer_only_the_head_is_read(there: Receiver) -> None:
    sent = 0
    ended = asyncio.Event()

    async def large(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(status=200)
        await response.prepare(request)
        try:
            for _ in range(640):  # 10 MB, and more than the buffers of both sides hold
                await response.write(b"x" * 16384)
                sent += 16384
        finally:
            ended.set()
        return response

    there.answers = [large]
    async with Sender(LOCAL) as sender:
        answer = await sender.send(there.url, headers(), BODY)
    assert answer == Answer(200, "x" * 1024, None)
    await asyncio.wait_for(ended.wait(), 20)
    assert sent < 10_000_000


async def test_an_answer_that_unpacks_to_much_is_not_unpacked(there: Receiver) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)

    async def answer_bomb(_request: web.Request) -> web.Response:
        return web.Response(status=200, body=bomb, headers={"Content-Encoding": "gzip"})

    there.answers = [answer_bomb]
    async with Sender(LOCAL) as sender:
        answer = await sender.send(there.url, headers(), BODY)
    assert answer.taken
    assert len(answer.head) <= 1024
    assert there.received[0].headers["Accept-Encoding"] == "identity"


async def test_a_body_that_drips_holds_nothing_up_and_the_status_counts(
    there: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ampd.webhooks.sender._HEAD_SECONDS", 0.05)
    go_on = asyncio.Event()

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=200)
        await response.prepare(request)
        await response.write(b"a")
        await go_on.wait()
        return response

    there.answers = [drip]
    async with Sender(LOCAL) as sender:
        assert await sender.send(there.url, headers(), BODY) == Answer(200, "a", None)
    go_on.set()


async def test_an_answer_that_does_not_come_ends_with_the_time_that_it_has(there: Receiver) -> None:
    go_on = asyncio.Event()

    async def silent(_request: web.Request) -> web.Response:
        await go_on.wait()
        return web.Response()

    there.answers = [silent]
    async with Sender(LOCAL, total_seconds=0.2) as sender:
        error = await fails(sender, there.url)
    go_on.set()
    assert (error.code, error.recoverable) == (ErrorCode.WEBHOOK_TIMED_OUT, True)


async def test_headers_that_drip_end_with_it_too_though_each_byte_comes_in_time() -> None:
    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server, Sender(LOCAL, total_seconds=0.3) as sender:
        error = await fails(sender, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert error.code is ErrorCode.WEBHOOK_TIMED_OUT


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "no HTTP"),
        (b"", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", "no HTTP"),
    ],
)
async def test_what_is_no_http_is_a_failure_that_may_pass(said: bytes, message: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(BODY)
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, Sender(LOCAL) as sender:
        error = await fails(sender, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert (error.code, error.recoverable) == (ErrorCode.WEBHOOK_UNREACHABLE, True)
    assert message in error.message


# --- TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The side of a server at hooks.example, and that of a client who trusts its authority."""
    certificate, key = certificate_in(tmp_path_factory.mktemp("tls"), "hooks.example")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    return server, ssl.create_default_context(cafile=certificate)


async def test_a_certificate_is_verified_for_the_name_and_never_for_the_address(
    authority: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, trusting = authority
    async with receiver(KEY, ssl=server) as there:
        resolve = Names(["127.0.0.1"])
        async with Sender(LOCAL, resolve=resolve, tls=trusting) as sender:
            assert (await sender.send(f"https://hooks.example:{there.port}/", headers(), BODY)).taken
            # The connection before was for another name at the same address: it serves no second one.
            other = await fails(sender, f"https://other.example:{there.port}/")
            literal = await fails(sender, f"https://127.0.0.1:{there.port}/")
        async with Sender(LOCAL, resolve=resolve) as sender:
            unknown = await fails(sender, f"https://hooks.example:{there.port}/")
        async with Sender(LOCAL, resolve=resolve, tls=trusting) as sender:
            plain = await fails(sender, f"http://hooks.example:{there.port}/")
        assert len(there.received) == 1
    for error in (other, literal, unknown):
        assert error.code is ErrorCode.WEBHOOK_UNREACHABLE
        assert error.message.startswith("its certificate does not verify")
    assert plain.code is ErrorCode.WEBHOOK_UNREACHABLE
