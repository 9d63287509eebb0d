"""A node behind a WebSocket is asked, and fails, as one behind HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from openpay.chain.errors import BadAnswer, EndpointFault, JsonRpcError, Missing, Throttled, TimedOut, Unreachable
from openpay.chain.rpc import Call, Endpoint
from openpay.chain.transport import TransportKind
from openpay.chain.websocket import WebSocketTransport
from tests.chain.socket_node import SocketNode, serve_sockets
from tests.support.process import free_port

NUMBER = Call(str, "eth_blockNumber")
GAS_PRICE = Call(str, "eth_gasPrice")


@asynccontextmanager
async def endpoint_of(node: SocketNode, **options: Any) -> AsyncIterator[Endpoint]:
    async with serve_sockets(node) as (url,), aiohttp.ClientSession() as session:
        endpoint = Endpoint(url, session, **options)
        yield endpoint
        await endpoint.close()


def node(**results: Any) -> SocketNode:
    return SocketNode(**{"eth_blockNumber": "0x10", "eth_gasPrice": "0x5"} | results)


async def test_answers_come_over_one_connection_that_is_made_when_first_needed() -> None:
    served = node()
    async with endpoint_of(served) as endpoint:
        assert (endpoint.transport, endpoint.connections) == (TransportKind.WEBSOCKET, 0)
        assert await endpoint.call(NUMBER) == "0x10"
        assert await endpoint.batch([NUMBER, GAS_PRICE]) == ["0x10", "0x5"]
        assert (served.accepted, endpoint.connections) == (1, 1)


async def test_many_questions_at_once_share_the_connection_and_each_gets_its_own_answer() -> None:
    """The node answers in the opposite order, when it has heard them all."""
    served, heard = node(), []

    async def backwards(socket: web.WebSocketResponse, question: Any) -> None:
        heard.append(question)
        if len(heard) == 20:
            for each in reversed(heard):
                await socket.send_str(json.dumps({"jsonrpc": "2.0", "id": each["id"], "result": each["params"][0]}))

    served.script = backwards
    async with endpoint_of(served) as endpoint:
        calls = [Call(str, "eth_call", (f"0x{n}",)) for n in range(20)]
        assert await asyncio.gather(*map(endpoint.call, calls)) == [f"0x{n}" for n in range(20)]
        assert served.accepted == 1


async def test_batch_whose_answers_are_in_another_order_is_put_in_order() -> None:
    served = node()

    async def backwards(socket: web.WebSocketResponse, question: Any) -> None:
        await socket.send_str(json.dumps([served.answer(each) for each in reversed(question)]))

    served.script = backwards
    async with endpoint_of(served) as endpoint:
        assert await endpoint.batch([NUMBER, GAS_PRICE]) == ["0x10", "0x5"]


async def test_broken_connection_fails_those_who_wait_and_is_made_again_for_the_next() -> None:
    served = node()
    async with endpoint_of(served) as endpoint:
        served.hang = True
        waiting = [asyncio.create_task(endpoint.call(NUMBER)) for _ in range(2)]
        while served.requests < 2:
            await asyncio.sleep(0)
        await served.hang_up()
        for task in waiting:
            with pytest.raises(Unreachable):
                await task
        served.hang = False
        assert await endpoint.call(NUMBER) == "0x10"
        assert endpoint.connections == 2


async def test_connection_that_broke_while_nobody_waited_is_no_fault() -> None:
    served = node()
    async with endpoint_of(served) as endpoint:
        await endpoint.call(NUMBER)
        await served.sockets[0].close()
        while served.sockets:
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)  # our side learns of it
        assert await endpoint.call(NUMBER) == "0x10"


async def test_node_that_answers_no_ping_is_unreachable_long_before_the_timeout() -> None:
    served = node()
    served.answers_pings = False
    served.hang = True
    async with serve_sockets(served) as (url,), aiohttp.ClientSession() as session:
        endpoint = Endpoint(url, session, timeout_s=30)
        transport = endpoint._transport
        assert isinstance(transport, WebSocketTransport)
        transport._heartbeat_s = 0.1
        with pytest.raises(Unreachable):
            await endpoint.call(NUMBER)
        await endpoint.close()


async def test_connection_on_which_nothing_comes_is_not_asked_on_again() -> None:
    served = node()
    async with endpoint_of(served, timeout_s=0.2) as endpoint:
        served.hang = True
        with pytest.raises(TimedOut):
            await endpoint.call(NUMBER)
        served.hang = False
        assert await endpoint.call(NUMBER) == "0x10"
        assert endpoint.connections == 2


async def test_answer_that_comes_too_late_is_nobodys_answer() -> None:
    served, late = node(), asyncio.Event()

    async def slowly(socket: web.WebSocketResponse, question: Any) -> None:
        if question["method"] == "eth_blockNumber":
            await served.announce(1)  # so that the connection is seen to live
            await late.wait()
        await socket.send_str(json.dumps(served.answer(question)))

    served.script = slowly
    async with endpoint_of(served, timeout_s=0.2) as endpoint:
        with pytest.raises(TimedOut):
            await endpoint.call(NUMBER)
        late.set()
        assert await endpoint.call(GAS_PRICE) == "0x5"
        assert endpoint.connections == 1


async def test_announcements_and_answers_to_unknown_requests_are_passed_over() -> None:
    served = node()

    async def chatty(socket: web.WebSocketResponse, question: Any) -> None:
        await served.announce(1, 2)
        await socket.send_str('{"jsonrpc": "2.0", "id": 123456789, "result": "0x99"}')
        await socket.send_str(json.dumps(served.answer(question)))

    served.script = chatty
    async with endpoint_of(served) as endpoint:
        assert await endpoint.call(NUMBER) == "0x10"


async def test_answer_beyond_the_size_limit_is_a_bad_answer() -> None:
    async with endpoint_of(node(eth_blockNumber="0x" + "1" * 5000), max_answer_bytes=4096) as endpoint:
        with pytest.raises(BadAnswer):
            await endpoint.call(NUMBER)
        assert await endpoint.call(GAS_PRICE) == "0x5"


@pytest.mark.parametrize(
    "answer",
    [
        "nonsense",
        "",
        "[]",
        '{"jsonrpc": "2.0", "id": null, "error": {"code": -32700, "message": "parse error"}}',
        '{"jsonrpc":"2.0","id":1,"resu',
        '{"jsonrpc": "2.0", "id": 1, "result": {"not": "text"}}',
    ],
)
async def test_answer_that_is_none_is_a_bad_answer_at_once(answer: str) -> None:
    served = node()

    async def badly(socket: web.WebSocketResponse, question: Any) -> None:
        await socket.send_str(answer)

    served.script = badly
    async with endpoint_of(served) as endpoint:
        with pytest.raises(BadAnswer):
            await endpoint.call(NUMBER)


async def test_null_errors_and_limits_are_told_apart_as_over_http() -> None:
    limit, refusal = ValueError({"code": -32005, "message": "limit"}), ValueError({"code": -32000, "message": "no"})
    for result, expected in ((None, Missing), (limit, Throttled), (refusal, JsonRpcError)):
        async with endpoint_of(node(eth_blockNumber=result)) as endpoint:
            with pytest.raises(expected):
                await endpoint.call(NUMBER)


async def test_refused_handshake_is_a_fault_and_tells_a_limit_apart() -> None:
    served = node()
    async with endpoint_of(served) as endpoint:
        served.refuse_with = 503
        with pytest.raises(Unreachable, match="503"):
            await endpoint.call(NUMBER)
        served.refuse_with, served.headers = 429, {"Retry-After": "7"}
        with pytest.raises(Throttled) as caught:
            await endpoint.call(NUMBER)
        assert caught.value.retry_after_s == 7
        served.refuse_with = None
        assert await endpoint.call(NUMBER) == "0x10"


async def test_closed_port_is_unreachable_and_no_error_shows_the_key_in_the_url() -> None:
    async with aiohttp.ClientSession() as session:
        endpoint = Endpoint(f"ws://127.0.0.1:{free_port()}/secret-key", session)
        with pytest.raises(EndpointFault) as caught:
            await endpoint.call(NUMBER)
    assert isinstance(caught.value, Unreachable)
    assert "secret-key" not in str(caught.value)
