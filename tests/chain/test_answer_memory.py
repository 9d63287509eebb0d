"""What nodes' answers may take of memory, all together: they wait for one another, and none leaves anything behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from openpay.chain.errors import BadAnswer, Crowded, EndpointFault, NoEndpointAnswered, TimedOut, Unreachable
from openpay.chain.http import BUFFERED_BYTES, open_session
from openpay.chain.pool import Pool
from openpay.chain.room import AnswerRoom
from openpay.chain.rpc import Call, Endpoint

MIB = 2**20
CALL = Call(str, "eth_call")


class LargeNode:
    """Answers every question with `size` bytes: half at once, the rest when it may go on."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.may_go_on = asyncio.Event()
        self.end: Exception | None = None
        self.asked = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        question = await request.json()
        self.asked += 1
        if question["method"] == "eth_chainId":
            return web.json_response({"jsonrpc": "2.0", "id": question["id"], "result": "0x1"})
        head = json.dumps({"jsonrpc": "2.0", "id": question["id"], "result": ""})[:-2].encode()
        body = head + b"x" * (self.size - len(head) - 2) + b'"}'
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(body[: self.size // 2])
        await self.may_go_on.wait()
        if self.end is not None:
            assert request.transport is not None
            request.transport.abort()
            return response
        await response.write(body[self.size // 2 :])
        return response


@asynccontextmanager
async def serving(*nodes: LargeNode, room: AnswerRoom, **options: Any) -> AsyncIterator[list[Endpoint]]:
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(open_session())
        endpoints = []
        for node in nodes:
            app = web.Application()
            app.router.add_post("/", node.handle)
            server = TestServer(app)
            await server.start_server(shutdown_timeout=0.1)
            stack.push_async_callback(server.close)
            stack.callback(node.may_go_on.set)
            endpoints.append(Endpoint(str(server.make_url("/")), session, room=room, **options))
        yield endpoints


async def holds(room: AnswerRoom, least: int) -> None:
    async with asyncio.timeout(10):
        while room.taken < least:
            await asyncio.sleep(0.01)


async def test_hosts_that_send_all_they_may_take_no_more_than_the_room_together() -> None:
    room, nodes = AnswerRoom(8 * MIB), [LargeNode(4 * MIB) for _ in range(3)]
    async with serving(*nodes, room=room, timeout_s=30) as endpoints:
        most = 0

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, room.taken)
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        asking = [asyncio.create_task(endpoint.call(CALL)) for endpoint in endpoints for _ in range(6)]
        await holds(room, 6 * MIB)
        for node in nodes:
            node.may_go_on.set()
        answers = await asyncio.gather(*asking)
        watching.cancel()
    assert [len(answer) > 4 * MIB - 100 for answer in answers] == [True] * 18
    assert most <= 8 * MIB + 4 * MIB + BUFFERED_BYTES
    assert room.taken == 0


async def test_answer_that_is_alone_is_read_however_small_the_room() -> None:
    room, node = AnswerRoom(1), LargeNode(3 * MIB)
    node.may_go_on.set()
    async with serving(node, room=room, timeout_s=10) as (endpoint,):
        assert len(await endpoint.call(CALL)) > 2 * MIB
    assert room.taken == 0


async def test_answer_for_which_there_is_no_room_in_time_is_a_fault_that_names_host_and_room() -> None:
    room, node = AnswerRoom(2 * MIB), LargeNode(2 * MIB)
    with room.place("greedy:1") as greedy, room.place("other:1") as other:
        greedy.try_to_take(MIB)
        other.try_to_take(64 * MIB)
        async with serving(node, room=room, timeout_s=0.5) as (endpoint,):
            with pytest.raises(Crowded, match=rf"{endpoint.name}: no room .* of {2 * MIB} .* by greedy:1"):
                await endpoint.call(CALL)
    assert room.taken == 0


async def test_host_that_takes_the_room_itself_is_late_like_any_other() -> None:
    room, node = AnswerRoom(4 * MIB), LargeNode(3 * MIB)
    async with serving(node, room=room, timeout_s=0.5) as (endpoint,):
        faults = await asyncio.gather(*(endpoint.call(CALL) for _ in range(6)), return_exceptions=True)
    assert {type(fault) for fault in faults[:2]} == {TimedOut}
    assert room.taken == 0


async def test_without_room_nobody_is_asked_and_that_is_no_fault_of_the_endpoint() -> None:
    room, node = AnswerRoom(1), LargeNode(MIB)
    with room.place("other:1") as other:
        other.try_to_take(2)
        async with serving(node, room=room, timeout_s=0.2) as endpoints:
            pool = Pool(endpoints, chain_id=1)
            with pytest.raises(NoEndpointAnswered, match="no room") as caught:
                await pool.call(CALL)
            assert caught.value.is_outage
            assert [(state.place.name, dict(state.faults)) for state in pool.states()] == [("IN_SERVICE", {})]
            assert node.asked == 0


async def test_room_is_given_back_whatever_becomes_of_an_answer() -> None:
    async def too_large(node: LargeNode) -> type[EndpointFault]:
        node.may_go_on.set()
        return BadAnswer

    async def too_late(node: LargeNode) -> type[EndpointFault]:
        return TimedOut

    async def broken_off(node: LargeNode) -> type[EndpointFault]:
        node.end = ConnectionError()
        node.may_go_on.set()
        return Unreachable

    for fate, options in (
        (too_large, {"max_answer_bytes": 2 * MIB}),
        (too_late, {"timeout_s": 0.3}),
        (broken_off, {}),
    ):
        room, node = AnswerRoom(32 * MIB), LargeNode(3 * MIB)
        async with serving(node, room=room, **options) as (endpoint,):
            expected = await fate(node)
            with pytest.raises(expected):
                await endpoint.call(CALL)
            assert room.taken == 0, fate


async def test_question_that_is_canceled_gives_back_its_room() -> None:
    room, node = AnswerRoom(32 * MIB), LargeNode(3 * MIB)
    async with serving(node, room=room) as (endpoint,):
        asking = asyncio.create_task(endpoint.call(CALL))
        await holds(room, MIB)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert room.taken == 0


async def test_loser_of_a_hedged_read_gives_back_its_room() -> None:
    room, slow, fast = AnswerRoom(32 * MIB), LargeNode(3 * MIB), LargeNode(2 * MIB)
    fast.may_go_on.set()
    async with serving(slow, fast, room=room) as endpoints:
        pool = Pool(endpoints, chain_id=1)
        assert len(await pool.call(CALL)) < 2 * MIB
        assert slow.asked == 2  # its chain, and the question
        assert room.taken == 0


async def test_body_takes_its_room_until_its_reader_has_done_with_it() -> None:
    room, node = AnswerRoom(32 * MIB), LargeNode(3 * MIB)
    node.may_go_on.set()
    async with serving(node, room=room) as (endpoint,):
        body_ends = asyncio.Event()

        async def read() -> None:
            async with endpoint._exchange([CALL], as_batch=False):
                await body_ends.wait()

        reading = asyncio.create_task(read())
        await holds(room, 3 * MIB)
        body_ends.set()
        await reading
        assert room.taken == 0
