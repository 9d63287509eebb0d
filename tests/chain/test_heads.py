"""Announcements of blocks are listened to for as long as they come, and again after they stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest

from openpay.chain.errors import NoEndpointAnswered
from openpay.chain.heads import HeadHints, HeadListener
from openpay.chain.pool import connect
from openpay.chain.rpc import Endpoint
from tests.chain.fake_node import FakeNode, serve
from tests.chain.manual_clock import ManualClock
from tests.chain.socket_node import SocketNode, serve_sockets


class Height:
    """The newest height, as polling finds it; unknown when None."""

    def __init__(self) -> None:
        self.known: int | None = 0
        self.asked = 0

    async def __call__(self) -> int:
        self.asked += 1
        if self.known is None:
            raise NoEndpointAnswered({})
        return self.known


@asynccontextmanager
async def listening(
    node: SocketNode, height: Height | None = None, *, silence_s: float = 30.0, heartbeat_s: float = 10.0
) -> AsyncIterator[HeadHints]:
    hints = HeadHints(block_interval_s=1.0, clock=ManualClock())
    hints.silence_s = silence_s
    async with serve_sockets(node) as (url,), aiohttp.ClientSession() as session:
        listener = HeadListener(
            Endpoint(url, session).url, session, hints, name="node", newest=height or Height(), heartbeat_s=heartbeat_s
        )
        listener._pause_s = 0.01
        task = asyncio.create_task(listener.run())
        try:
            yield hints
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def hinted(hints: HeadHints) -> None:
    async with asyncio.timeout(20):
        await hints.wait()
    hints.take()


async def nothing_more(hints: HeadHints, after: Callable[[], Awaitable[None]]) -> bool:
    await after()
    with suppress(TimeoutError):
        async with asyncio.timeout(0.1):
            await hints.wait()
            return False
    return True


async def test_each_announced_block_is_a_hint() -> None:
    node = SocketNode()
    async with listening(node) as hints:
        await hinted(hints)  # of the subscription itself: there may have been blocks before it
        assert node.asked == ["eth_subscribe"]
        for number in (5, 6, 6, 9, 7, 0):  # doubled, skipped, out of order: each is worth a look
            await node.announce(number)
            await hinted(hints)


async def test_many_hints_before_a_look_are_one() -> None:
    node = SocketNode()
    async with listening(node) as hints:
        await hinted(hints)
        await node.announce(1, 2, 3)
        await asyncio.sleep(0.05)
        await hinted(hints)
        assert await nothing_more(hints, after=lambda: asyncio.sleep(0))


async def test_broken_connection_is_made_again() -> None:
    node = SocketNode()
    async with listening(node) as hints:
        await hinted(hints)
        await node.hang_up()
        await hinted(hints)
        await node.announce(5)
        await hinted(hints)
        assert node.accepted == 2


async def test_connection_without_pong_is_made_again() -> None:
    node = SocketNode()
    node.answers_pings = False
    async with listening(node, heartbeat_s=0.1):
        await until(lambda: node.accepted >= 2)


async def test_node_that_is_silent_while_there_are_blocks_is_connected_to_again() -> None:
    node, height = SocketNode(), Height()
    async with listening(node, height, silence_s=0.05) as hints:
        await hinted(hints)
        await node.announce(5)
        height.known = 6
        await until(lambda: node.accepted >= 2)


async def test_node_that_never_announced_anything_is_connected_to_again_as_well() -> None:
    node, height = SocketNode(), Height()
    height.known = 5
    async with listening(node, height, silence_s=0.05):
        await until(lambda: height.asked >= 2)
        assert node.accepted == 1, "the chain stood still"
        height.known = 6
        await until(lambda: node.accepted >= 2)


async def test_silence_is_right_while_the_chain_stands_still_or_nobody_knows() -> None:
    node, height = SocketNode(), Height()
    async with listening(node, height, silence_s=0.02) as hints:
        await hinted(hints)
        await node.announce(5)
        await hinted(hints)
        height.known = 5
        await until(lambda: height.asked >= 3)
        height.known = None
        await until(lambda: height.asked >= 6)
        assert node.accepted == 1


@pytest.mark.parametrize(
    "params",
    [{"result": {"number": 5}}, {"result": {"number": "0x" + "f" * 100}}, {"result": None}, {}, 5],
)
async def test_announcement_that_is_none_ends_the_connection_and_nothing_else(params: object) -> None:
    node = SocketNode()
    async with listening(node) as hints:
        await hinted(hints)
        await node.say(params)
        await until(lambda: node.accepted >= 2)
        await hinted(hints)


async def test_node_that_does_not_announce_blocks_is_left_in_peace() -> None:
    node = SocketNode()
    node.results["eth_subscribe"] = ValueError({"code": -32601, "message": "method not found"})
    async with listening(node) as hints:
        await until(lambda: node.asked == ["eth_subscribe"])
        assert await nothing_more(hints, after=lambda: asyncio.sleep(0.1))
        assert node.accepted == 1


async def test_hints_are_expected_for_a_few_blocks_after_the_newest() -> None:
    clock = ManualClock()
    hints = HeadHints(block_interval_s=0.45, clock=clock)
    assert not hints.are_coming
    hints.give()
    clock.now = 3.5
    assert hints.are_coming
    clock.now = 3.6
    assert not hints.are_coming


async def test_pool_listens_where_it_can_and_only_while_it_is_wanted() -> None:
    socket_node, http_node = SocketNode(), FakeNode()
    async with (
        serve_sockets(socket_node) as (ws_url,),
        serve(http_node) as (http_url,),
        connect([http_url, ws_url], chain_id=56) as pool,
    ):
        assert socket_node.accepted == 0
        async with pool.heads(block_interval_s=0.45) as hints:
            await hinted(hints)
            await socket_node.announce(5)
            await hinted(hints)
            assert hints.are_coming
        await until(lambda: not socket_node.sockets)


async def test_pool_without_announcing_nodes_gives_no_hints_and_no_error() -> None:
    async with (
        serve(FakeNode()) as (url,),
        connect([url], chain_id=56) as pool,
        pool.heads(block_interval_s=0.45) as hints,
    ):
        assert await nothing_more(hints, after=lambda: asyncio.sleep(0))
        assert not hints.are_coming
