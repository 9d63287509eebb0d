"""Endpoints that are slow or busy: who is asked instead, and how much is asked of them afterwards."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web

from openpay.chain.errors import NoEndpointAnswered, Throttled
from openpay.chain.rpc import Endpoint
from openpay.chain.standing import THROTTLES_IN_A_ROW, Place
from tests.chain.fake_node import FakeNode
from tests.chain.manual_clock import ManualClock
from tests.chain.pools import NUMBER, node, places, pool_of

# --- slow ----------------------------------------------------------------------------------------------------------


async def test_second_endpoint_is_asked_when_the_first_is_slow_and_that_is_no_fault_of_the_first() -> None:
    first, second = node("0x1"), node("0x2")
    async with pool_of(first, second, timeout_s=30) as pool:
        assert await pool.call(NUMBER) == "0x1"
        first.hang = True
        assert await pool.call(NUMBER) == "0x2"
        assert places(pool) == [Place.IN_SERVICE] * 2
        assert [state.faults for state in pool.states()] == [{}, {}]


async def test_endpoint_that_was_given_up_for_another_is_known_to_be_slow() -> None:
    first, second = node("0x1"), node("0x2")
    async with pool_of(first, second, timeout_s=30, clock=time.monotonic) as pool:
        await pool.call(NUMBER)
        usual_s = pool.states()[0].latency_s
        first.hang = True
        await pool.call(NUMBER)
        slow_s = pool.states()[0].latency_s
        assert usual_s is not None
        assert slow_s is not None
        assert slow_s > usual_s


async def test_slow_first_endpoint_still_wins_when_the_second_fails() -> None:
    released = asyncio.Event()

    class Slow(FakeNode):
        async def handle(self, request: web.Request) -> web.Response:
            if self.hang:
                await released.wait()
                self.hang = False
            return await super().handle(request)

    def fail(question: Any) -> web.Response:
        released.set()
        return web.Response(status=500)

    first, second = Slow(eth_blockNumber="0x1"), node()
    second.respond = fail
    async with pool_of(first, second, timeout_s=30) as pool:
        await pool.call(NUMBER)
        first.hang = True
        assert await pool.call(NUMBER) == "0x1"
        assert second.requests == 1


async def test_question_that_is_slow_by_itself_is_not_put_to_a_second_endpoint() -> None:
    """It waits for its turn to be proven, say: that is no slowness of the node."""
    first, second = node("0x1"), node("0x2")

    async def ponder(endpoint: Endpoint) -> str:
        answer = await endpoint.call(NUMBER)
        await asyncio.sleep(0.3)
        return answer

    async with pool_of(first, second) as pool:
        await pool.call(NUMBER)
        assert pool.members[0].standing.patience_s < 0.3
        assert await pool.ask(ponder) == "0x1"
        assert second.requests == 0


async def test_single_endpoint_is_simply_waited_for() -> None:
    only = node()
    async with pool_of(only, timeout_s=0.3) as pool:
        await pool.call(NUMBER)
        only.hang = True
        with pytest.raises(NoEndpointAnswered):
            await pool.call(NUMBER)
        assert only.asked.count("eth_blockNumber") == 2


async def test_slow_endpoint_is_not_backed_up_by_one_that_is_aside() -> None:
    first, second = node("0x1"), node(5)
    async with pool_of(first, second, timeout_s=0.3) as pool:
        await pool.ask_hosts(lambda endpoint: endpoint.call(NUMBER))
        left = pool._hedges._left
        first.hang = True
        with pytest.raises(NoEndpointAnswered):
            await pool.call(NUMBER)
        assert pool._hedges._left >= left


async def test_no_more_than_a_share_of_questions_is_asked_twice() -> None:
    first, second = node("0x1"), node("0x2")
    clock = ManualClock()
    async with pool_of(first, second, timeout_s=30, clock=clock) as pool:
        await pool.call(NUMBER)
        first.hang = True
        hedged = 0
        while pool._hedges.take():
            hedged += 1
        assert 1 <= hedged <= 5
        asking = asyncio.create_task(pool.call(NUMBER))
        await asyncio.sleep(0.3)
        assert second.requests == 0
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_endpoint_that_keeps_being_slow_falls_behind_the_faster_one() -> None:
    clock = ManualClock()
    first, second = node("0x1"), node("0x2")
    async with pool_of(first, second, clock=clock) as pool:
        pool.members[0].standing = pool.members[0].standing.measured(0.9, 0.0)
        assert await pool.call(NUMBER) == "0x2"
        clock.now = 61  # long enough to try it again
        assert await pool.call(NUMBER) == "0x1"


async def test_head_that_one_endpoint_invents_does_not_buy_it_the_first_place_however_slow_it_is() -> None:
    first, second = node("0x1"), node("0x2")
    async with pool_of(first, second) as pool:
        inventor, honest = pool.members
        pool.note_heights({inventor.host: 2**50, honest.host: 100})
        assert await pool.call(NUMBER) == "0x1"
        inventor.standing = inventor.standing.measured(9.0, inventor.standing.measured_at)
        inventor.standing = inventor.standing.measured(9.0, inventor.standing.measured_at)
        assert await pool.call(NUMBER) == "0x2"


# --- busy ----------------------------------------------------------------------------------------------------------


def too_many(**headers: str) -> Any:
    return lambda question: web.Response(status=429, headers=headers)


async def test_throttled_endpoint_is_slowed_down_and_stays_in_service() -> None:
    busy, other = node("0x1"), node("0x2")
    async with pool_of(busy, other) as pool:
        busy.respond = too_many()
        assert await pool.call(NUMBER) == "0x2"
        state, unlimited = pool.states()
        assert state.place is Place.IN_SERVICE
        assert state.calls_per_s is not None
        assert unlimited.calls_per_s is None
        assert state.faults == {"Throttled": 1}


async def test_each_refusal_after_an_answer_slows_down_further_and_those_without_one_do_not() -> None:
    clock, only = ManualClock(), node("0x1")
    async with pool_of(only, clock=clock) as pool:

        async def rate_after(response: Any) -> float:
            clock.now += 3
            only.respond = response
            with suppress(Throttled):
                await pool.members[0].ask(lambda endpoint: endpoint.batch([NUMBER] * 100))
            rate = pool.states()[0].calls_per_s
            assert rate is not None
            return rate

        first = await rate_after(too_many())
        assert await rate_after(too_many()) > first
        answered = await rate_after(None)
        assert await rate_after(too_many()) < answered


async def test_limit_that_comes_as_a_json_rpc_error_slows_down_as_well() -> None:
    busy, other = node(ValueError({"code": -32005, "message": "limit exceeded"})), node("0x2")
    async with pool_of(busy, other) as pool:
        assert await pool.call(NUMBER) == "0x2"
        assert pool.states()[0].calls_per_s is not None


async def test_single_throttled_endpoint_is_asked_again_after_a_pause() -> None:
    only = node("0x1")

    def once(question: Any) -> web.Response:
        only.respond = None
        return web.Response(status=429)

    async with pool_of(only) as pool:
        await pool.call(NUMBER)
        only.respond = once
        assert await pool.call(NUMBER) == "0x1"


async def test_single_endpoint_that_wishes_to_be_left_alone_is_not_asked_at_all() -> None:
    clock, only = ManualClock(), node("0x1")
    async with pool_of(only, clock=clock) as pool:
        only.respond = too_many(**{"Retry-After": "60"})
        with pytest.raises(NoEndpointAnswered):
            await pool.call(NUMBER)
        only.respond, requests = None, only.requests
        clock.now = 50
        with pytest.raises(NoEndpointAnswered) as caught:
            await pool.call(NUMBER)
        (fault,) = caught.value.faults.values()
        assert isinstance(fault, Throttled)
        assert fault.retry_after_s == pytest.approx(10)
        assert only.requests == requests
        clock.now = 61
        assert await pool.call(NUMBER) == "0x1"


async def test_endpoint_that_does_nothing_but_refuse_is_put_aside() -> None:
    clock, busy, other = ManualClock(), node("0x1"), node("0x2")
    busy.respond = too_many()
    async with pool_of(busy, other, clock=clock) as pool:
        for _ in range(THROTTLES_IN_A_ROW):
            clock.now += 6
            with pytest.raises(Throttled):
                await pool.members[0].ask(lambda endpoint: endpoint.call(NUMBER))
        assert places(pool) == [Place.ASIDE, Place.IN_SERVICE]
