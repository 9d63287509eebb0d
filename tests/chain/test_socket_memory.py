"""What messages on WebSockets may take of memory, complete or not, asked for or not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from openpay.chain.errors import BadAnswer, Crowded, TimedOut, Unreachable
from openpay.chain.room import AnswerRoom
from openpay.chain.rpc import Call, Endpoint
from openpay.chain.websocket import WebSocketTransport, _Line
from tests.chain.socket_node import SocketNode, serve_sockets

MIB = 2**20
NUMBER = Call(str, "eth_blockNumber")
LARGE = Call(str, "eth_call")
SIZE = 3 * MIB


def node() -> SocketNode:
    return SocketNode(eth_blockNumber="0x10", eth_call="x" * SIZE)


@asynccontextmanager
async def endpoint_of(served: SocketNode, room: AnswerRoom, **options: Any) -> AsyncIterator[Endpoint]:
    async with serve_sockets(served) as (url,), aiohttp.ClientSession() as session:
        endpoint = Endpoint(url, session, room=room, **options)
        yield endpoint
        await endpoint.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


def line_of(endpoint: Endpoint) -> _Line:
    assert isinstance(endpoint._transport, WebSocketTransport)
    assert endpoint._transport._line is not None
    return endpoint._transport._line


def send_half_a_message(socket: web.WebSocketResponse) -> None:
    """RFC 6455, section 5.2: a frame that announces `SIZE` bytes, of which half come."""
    assert socket._req is not None
    assert socket._req.transport is not None
    socket._req.transport.write(b"\x81\x7f" + SIZE.to_bytes(8, "big") + b" " * (SIZE // 2))


async def half(socket: web.WebSocketResponse, question: Any) -> None:
    send_half_a_message(socket)


async def test_message_takes_room_as_it_arrives_and_until_its_reader_has_done_with_it() -> None:
    room, served = AnswerRoom(32 * MIB), node()
    async with endpoint_of(served, room) as endpoint:
        async with endpoint.fetch([LARGE]) as body:
            assert room.taken >= len(body) > SIZE
        assert room.taken == 0
        served.script = half
        asking = asyncio.create_task(endpoint.call(LARGE))
        await until(lambda: room.taken >= SIZE // 2)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    assert room.taken == 0


async def test_many_answers_at_once_share_the_room() -> None:
    room, served = AnswerRoom(64 * MIB), node()
    async with endpoint_of(served, room) as endpoint:
        answers = await asyncio.gather(*(endpoint.call(LARGE) for _ in range(5)))
        assert [len(answer) for answer in answers] == [SIZE] * 5
        assert room.taken == 0
        assert served.accepted == 1


async def test_message_that_is_alone_is_read_however_small_the_room() -> None:
    room = AnswerRoom(1)
    async with endpoint_of(node(), room) as endpoint:
        assert len(await endpoint.call(LARGE)) == SIZE
    assert room.taken == 0


async def test_connection_breaks_where_there_is_no_room_and_is_made_again_when_there_is() -> None:
    room, served = AnswerRoom(2 * MIB), node()
    async with endpoint_of(served, room) as endpoint:
        with room.place("other:1") as other:
            other.try_to_take(64 * MIB)
            assert await endpoint.call(NUMBER) == "0x10"
            line = line_of(endpoint)
            with pytest.raises(Crowded, match=f"{endpoint.name}: no room for its answer"):
                await endpoint.call(LARGE)
            assert line._transport.is_closing()  # its goodbye is not waited for: it could send the rest meanwhile
            await until(lambda: room.taken == other.size)
            assert await endpoint.call(NUMBER) == "0x10"
        assert len(await endpoint.call(LARGE)) == SIZE
        assert endpoint.connections == 2
    assert room.taken == 0


async def test_message_that_was_complete_in_time_breaks_no_connection_later() -> None:
    room = AnswerRoom(32 * MIB)
    async with endpoint_of(node(), room, timeout_s=1) as endpoint:
        await endpoint.call(LARGE)
        assert line_of(endpoint)._overdue is None


async def test_message_that_nobody_asked_for_and_that_never_ends_is_not_kept() -> None:
    room, served = AnswerRoom(32 * MIB), node()
    async with endpoint_of(served, room, timeout_s=0.3) as endpoint:
        assert await endpoint.call(NUMBER) == "0x10"
        send_half_a_message(served.sockets[0])
        await until(lambda: room.taken >= SIZE // 2)
        await until(lambda: room.taken == 0)
        await until(lambda: not served.sockets)
        assert await endpoint.call(NUMBER) == "0x10"
        assert endpoint.connections == 2


async def test_whoever_waits_behind_half_a_message_is_told_in_time() -> None:
    room, served = AnswerRoom(32 * MIB), node()
    served.script = half
    async with endpoint_of(served, room, timeout_s=0.3) as endpoint:
        with pytest.raises(TimedOut):
            await endpoint.call(NUMBER)
        await until(lambda: room.taken == 0)


async def test_messages_that_nobody_asked_for_leave_nothing_behind() -> None:
    room, served = AnswerRoom(32 * MIB), node()

    async def chatty(socket: web.WebSocketResponse, question: Any) -> None:
        await served.say({"subscription": "0xabc", "result": "x" * SIZE})
        await socket.send_str('{"jsonrpc": "2.0", "id": 123456789, "result": "' + "x" * SIZE + '"}')
        await socket.send_str(json.dumps(served.answer(question)))

    served.script = chatty
    async with endpoint_of(served, room) as endpoint:
        assert await endpoint.call(NUMBER) == "0x10"
        assert room.taken == 0
        line = line_of(endpoint)
        await served.say({"subscription": "0xabc", "result": "x" * SIZE})
        await until(lambda: line.heard == 4)
        assert room.taken == 0
        assert endpoint.connections == 1


async def test_room_is_given_back_when_the_connection_ends_in_the_middle_of_a_message() -> None:
    room, served = AnswerRoom(32 * MIB), node()
    served.script = half
    async with endpoint_of(served, room) as endpoint:
        asking = asyncio.create_task(endpoint.call(LARGE))
        await until(lambda: room.taken >= SIZE // 2)
        await served.hang_up()
        with pytest.raises(Unreachable):
            await asking
        await until(lambda: room.taken == 0)


async def test_room_is_given_back_by_a_message_that_is_too_large() -> None:
    room = AnswerRoom(32 * MIB)
    async with endpoint_of(node(), room, max_answer_bytes=2 * MIB) as endpoint:
        with pytest.raises(BadAnswer):
            await endpoint.call(LARGE)
        await until(lambda: room.taken == 0)
