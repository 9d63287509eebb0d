"""An open page's stream has its connection to itself: nothing of the request is kept for it."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import ServerDisconnectedError, web
from aiohttp.test_utils import TestClient
from structlog.testing import capture_logs

from checkout_web.content.reader import Loaded
from checkout_web.live.hub import Viewer
from checkout_web.live.streams import Heart
from openpay.domain.payment import Payment
from tests.checkout_web.scenes import WHOLE, Shop

Client = TestClient[web.Request, web.Application]
Connect = Callable[[web.Application], Awaitable[Client]]
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

NEVER_S = 3_600.0
PATIENCE_S = 60


@asynccontextmanager
async def open_stream(client: Client, payment: Payment, version: str = "HTTP/1.1") -> AsyncIterator[Connection]:
    """A connection of the test's own, whose first event was read."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(f"GET /checkout/{payment.id}/events {version}\r\nHost: {client.host}:{client.port}\r\n\r\n".encode())
    try:
        assert b"event: state" in await heard(reader, b'"now": ')
        yield reader, writer
    finally:
        writer.close()


async def heard(reader: asyncio.StreamReader, words: bytes) -> bytes:
    async with asyncio.timeout(PATIENCE_S):
        return await reader.readuntil(words)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.01)


async def place_is_free(client: Client, url: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (answer := await client.get(url)).status == 429:
            await asyncio.sleep(0.01)
    assert answer.status == 200
    answer.close()


def alive(kind: type) -> int:
    gc.collect()
    return sum(type(thing) is kind for thing in gc.get_objects())


async def test_nothing_of_the_request_is_kept_for_an_open_page(shop: Shop, aiohttp_client: Connect) -> None:
    client = await aiohttp_client(shop.application(tick_s=NEVER_S))
    async with AsyncExitStack() as pages:
        for _ in range(5):
            await pages.enter_async_context(open_stream(client, await shop.create()))
        server = client.server.runner.server  # type: ignore[union-attr]
        assert server is not None
        await until(lambda: not server.connections)
        await until(lambda: alive(web.Request) == alive(web.StreamResponse) == 0)
        assert alive(Loaded) == 0, "payments are held packed"


async def test_reader_that_leaves_before_the_first_word_is_nobodys_error(
    shop: Shop, aiohttp_client: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    prepare = web.StreamResponse.prepare
    left = asyncio.Event()

    async def prepare_too_late(response: web.StreamResponse, request: web.BaseRequest) -> object:
        if response.headers["Content-Type"] == "text/event-stream" and request.transport is not None:
            request.transport.close()
            left.set()
        return await prepare(response, request)

    monkeypatch.setattr(web.StreamResponse, "prepare", prepare_too_late)
    client = await aiohttp_client(shop.application())
    payment = await shop.create()
    with capture_logs() as logs, pytest.raises(ServerDisconnectedError):
        await client.get(f"/checkout/{payment.id}/events")
    assert left.is_set()
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == []
    assert caplog.records == []


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
async def test_stream_hears_of_changes_and_of_the_end(shop: Shop, aiohttp_client: Connect, version: str) -> None:
    client = await aiohttp_client(shop.application(tick_s=NEVER_S))
    payment = await shop.create()
    async with open_stream(client, payment, version) as (reader, _):
        await shop.pay(payment)
        await heard(reader, b'data-part=\\"confirming')
        await client.server.close()
        async with asyncio.timeout(PATIENCE_S):
            rest = await reader.read()
    assert rest.endswith(b"\r\n0\r\n\r\n" if version == "HTTP/1.1" else b"\n\n")


async def test_reader_that_leaves_frees_its_place(shop: Shop, aiohttp_client: Connect) -> None:
    client = await aiohttp_client(shop.application(tick_s=NEVER_S, max_viewers=1))
    payment = await shop.create()
    url = f"/checkout/{payment.id}/events"
    async with open_stream(client, payment):
        assert (await client.get(url)).status == 429
    await place_is_free(client, url)


async def test_what_a_reader_says_on_its_stream_is_not_listened_to(shop: Shop, aiohttp_client: Connect) -> None:
    client = await aiohttp_client(shop.application(tick_s=NEVER_S))
    payment = await shop.create()
    async with open_stream(client, payment) as (reader, writer):
        for _ in range(20):
            writer.write(b"GET /checkout/x HTTP/1.1\r\n\r\n" * 1_000)
            await writer.drain()
        await shop.pay(payment)
        said = await heard(reader, b'data-part=\\"confirming')
    assert b"HTTP/1.1" not in said


@pytest.mark.parametrize(
    ("header", "more"),
    [("", b"GET /checkout/x HTTP/1.1\r\nHost: x\r\n\r\n" * 500), ("Content-Length: 10000000\r\n", b"x" * 2_000_000)],
    ids=["requests", "body"],
)
async def test_reader_that_said_too_much_frees_its_place_when_it_leaves(
    shop: Shop, aiohttp_client: Connect, monkeypatch: pytest.MonkeyPatch, header: str, more: bytes
) -> None:
    # What is held back unread hides that the reader has left: only a heartbeat that cannot be sent would show it.
    monkeypatch.setattr(Heart, "tick", lambda *_: None)
    client = await aiohttp_client(shop.application(tick_s=NEVER_S, max_viewers=1))
    url = f"/checkout/{(await shop.create()).id}/events"
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(f"GET {url} HTTP/1.1\r\nHost: x\r\n{header}\r\n".encode() + more)
    await heard(reader, b'"now": ')
    assert (await client.get(url)).status == 429
    writer.transport.abort()
    await place_is_free(client, url)


async def test_reader_that_hangs_up_without_reading_keeps_no_connection(shop: Shop, aiohttp_client: Connect) -> None:
    client = await aiohttp_client(shop.application(tick_s=NEVER_S))
    payment = await shop.create()
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, (client.host, client.port))
    url = f"/checkout/{payment.id}/events"
    await loop.sock_sendall(connection, f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    streams = _streams_to(connection.getsockname()[1])
    await until(lambda: bool(streams()))
    (transport,) = streams()
    for _ in range(100):  # until no more is taken
        if transport.get_write_buffer_size():
            break
        await shop.pay(payment, WHOLE // 1_000)
        await asyncio.sleep(0.1)
    assert transport.get_write_buffer_size()
    connection.shutdown(socket.SHUT_WR)
    # Left to be written to the end, it would hold its connection until the system gives up.
    await until(lambda: transport.get_extra_info("socket").fileno() == -1)
    connection.close()


def _streams_to(port: int) -> Callable[[], list[asyncio.Transport]]:
    def found() -> list[asyncio.Transport]:
        viewers = (thing for thing in gc.get_objects() if type(thing) is Viewer and not thing.has_ended)
        transports = (viewer._transport for viewer in viewers)
        return [
            transport
            for transport in transports
            if isinstance(transport, asyncio.Transport) and transport.get_extra_info("peername")[1] == port
        ]

    return found
