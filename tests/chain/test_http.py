"""Whatever goes over the wire, however broken, large or slow, an exchange ends: in an answer or a fault."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from openpay.chain.errors import BadAnswer, EndpointFault, TimedOut, Unreachable
from openpay.chain.http import open_session
from openpay.chain.rpc import Call, Endpoint

NUMBER = Call(str, "eth_blockNumber")
ANSWER = json.dumps({"jsonrpc": "2.0", "id": 1, "result": "0x10"}).encode()
JSON = {"Content-Type": "application/json"}
GZIP = JSON | {"Content-Encoding": "gzip"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def endpoint_of(handler: Handler, **options: Any) -> AsyncIterator[Endpoint]:
    app = web.Application()
    app.router.add_post("/", handler)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0.1)
    try:
        async with open_session() as session:
            yield Endpoint(str(server.make_url("/")), session, **options)
    finally:
        await server.close()


async def stream(request: web.Request, headers: dict[str, str], *chunks: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    for chunk in chunks:
        await response.write(chunk)
    return response


def hang_up(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()


async def slow_drip(request: web.Request) -> web.StreamResponse:
    """A byte now and then: each comes in good time, the answer never."""
    response = await stream(request, JSON)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.01)


async def headers_and_no_more(request: web.Request) -> web.StreamResponse:
    response = await stream(request, JSON)
    await asyncio.sleep(30)
    return response


async def shorter_than_promised(request: web.Request) -> web.StreamResponse:
    response = await stream(request, JSON | {"Content-Length": "1000"}, ANSWER)
    hang_up(request)
    return response


async def broken_off_between_chunks(request: web.Request) -> web.StreamResponse:
    response = await stream(request, JSON, ANSWER[:20])
    await asyncio.sleep(0.01)
    hang_up(request)
    return response


async def cut_json(request: web.Request) -> web.StreamResponse:
    return web.Response(body=ANSWER[:-5], headers=JSON)


async def not_gzip(request: web.Request) -> web.StreamResponse:
    return await stream(request, GZIP, ANSWER)


async def cut_gzip(request: web.Request) -> web.StreamResponse:
    return await stream(request, GZIP, gzip.compress(ANSWER)[:25])


async def damaged_gzip(request: web.Request) -> web.StreamResponse:
    damaged = bytearray(gzip.compress(ANSWER * 100))
    for position in range(20, 40):
        damaged[position] ^= 0xFF
    return await stream(request, GZIP, bytes(damaged))


async def endless(request: web.Request) -> web.StreamResponse:
    response = await stream(request, JSON)
    while True:
        await response.write(b" " * 2**16)


async def long_header(request: web.Request) -> web.StreamResponse:
    return web.Response(body=ANSWER, headers=JSON | {"X-Long": "x" * 100_000})


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (slow_drip, TimedOut),
        (headers_and_no_more, TimedOut),
        (shorter_than_promised, Unreachable),
        (broken_off_between_chunks, Unreachable),
        (cut_json, BadAnswer),
        (not_gzip, EndpointFault),
        (cut_gzip, EndpointFault),
        (damaged_gzip, EndpointFault),
        (endless, BadAnswer),
        (long_header, EndpointFault),
    ],
)
async def test_broken_answer_is_a_fault(handler: Handler, expected: type[EndpointFault]) -> None:
    async with endpoint_of(handler, timeout_s=0.5, max_answer_bytes=2**20) as endpoint:
        with pytest.raises(expected):
            await endpoint.call(NUMBER)


async def test_compressed_answer_is_read() -> None:
    async def compressed(request: web.Request) -> web.StreamResponse:
        return await stream(request, GZIP, gzip.compress(ANSWER))

    async with endpoint_of(compressed) as endpoint:
        assert await endpoint.call(NUMBER) == "0x10"


async def test_answer_that_unpacks_to_a_thousand_times_its_size_is_stopped_at_the_limit() -> None:
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(256)) + packer.flush()

    async def unpacking(request: web.Request) -> web.StreamResponse:
        return await stream(request, GZIP, bomb)

    async with endpoint_of(unpacking, max_answer_bytes=2**20) as endpoint:
        tracemalloc.start()
        try:
            with pytest.raises(BadAnswer, match="larger"):
                await endpoint.call(NUMBER)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 2**26


async def test_port_that_takes_connections_and_says_nothing_is_timed_out() -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, aiohttp.ClientSession() as session:
        with pytest.raises(TimedOut):
            await Endpoint(f"http://127.0.0.1:{port}", session, timeout_s=0.2).call(NUMBER)


@pytest.mark.parametrize("spoken", [b"nonsense\r\n\r\n", b"HTTP/1.1 two hundred\r\n\r\n", b"\x00" * 100, b""])
async def test_port_that_does_not_speak_http_is_a_fault(spoken: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n")
        writer.write(spoken)
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, aiohttp.ClientSession() as session:
        with pytest.raises(EndpointFault):
            await Endpoint(f"http://127.0.0.1:{port}", session, timeout_s=2).call(NUMBER)


@asynccontextmanager
async def node_that_hangs_up(*, answers: int) -> AsyncIterator[tuple[str, list[int]]]:
    """Its URL, and how many requests came on each connection. Each takes one more than it answers."""
    requests: list[int] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(0)
        place = len(requests) - 1
        for at in range(answers + 1):
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            question = json.loads(await reader.readexactly(size))
            requests[place] += 1
            if at < answers:
                body = json.dumps({"jsonrpc": "2.0", "id": question["id"], "result": "0x10"}).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests


async def test_kept_connection_that_the_node_closes_as_it_is_used_is_no_fault() -> None:
    async with node_that_hangs_up(answers=1) as (url, requests), open_session() as session:
        endpoint = Endpoint(url, session)
        assert [await endpoint.call(NUMBER) for _ in range(3)] == ["0x10"] * 3
    assert requests == [2, 2, 1]


async def test_node_that_closes_new_connections_without_an_answer_is_unreachable() -> None:
    async with node_that_hangs_up(answers=0) as (url, requests), open_session() as session:
        with pytest.raises(Unreachable):
            await Endpoint(url, session).call(NUMBER)
    assert requests == [1]


async def test_connections_are_counted_when_they_are_made_and_not_when_they_are_used_again() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        question = await request.json()
        response = web.json_response({"jsonrpc": "2.0", "id": question["id"], "result": "0x10"})
        if question["method"] == "close":
            response.force_close()
        return response

    async with endpoint_of(answer) as endpoint:
        for method, connections in (("a", 1), ("b", 1), ("close", 1), ("c", 2), ("d", 2)):
            await endpoint.call(Call(str, method))
            assert endpoint.connections == connections
