"""Endpoints that are slow, busy, away or lie: who is asked instead, who is told, and how they come back."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from openpay.chain.errors import BadAnswer, JsonRpcError, NoEndpointAnswered, ProofFailed, Throttled, TimedOut
from openpay.chain.pool import UNREADABLE_AFTER_S, Pool, connect
from openpay.chain.probing import keep_probing, probe
from openpay.chain.rpc import Call, Endpoint
from openpay.chain.standing import PROOFS_FOR_TRUST, THROTTLES_IN_A_ROW, Place
from openpay.chain.transport import TransportKind
from openpay.domain.alerts import AlertKind
from tests.chain.fake_node import FakeNode, serve
from tests.chain.manual_clock import ManualClock
from tests.chain.pools import Alarms, pool_of
from tests.chain.real_blocks import Chain
from tests.chain.samples import header
from tests.chain.socket_node import SocketNode, serve_sockets

NUMBER = Call(str, "eth_blockNumber")
LIED, UNREADABLE = AlertKind.ENDPOINT_LIED, AlertKind.CHAIN_UNREADABLE


def node(number: Any = "0x1", **results: Any) -> FakeNode:
    return FakeNode(eth_blockNumber=number, **results)


def some_header(*_: Any) -> dict[str, Any]:
    return header(number=1, block_hash=bytes(32))


def places(pool: Pool) -> list[Place]:
    return [state.place for state in pool.states()]


def name_of(served: FakeNode) -> str:
    return served.url.removeprefix("http://").rstrip("/")


async def honestly(endpoint: Endpoint) -> str:
    """A question whose answer 0xbad fails its proof."""
    answer = await endpoint.call(NUMBER)
    if answer == "0xbad":
        raise ProofFailed("receipts root", expected="a", got="b", block="1", endpoint=endpoint.name)
    return answer


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
        async def handle(self, request: web.Request) -> web.StreamResponse:
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


# --- away ----------------------------------------------------------------------------------------------------------


async def test_endpoint_that_was_away_is_back_with_the_first_probe_it_answers() -> None:
    away, other = node("0x1", eth_getBlockByNumber=None), node("0x2")
    away.respond = lambda question: web.Response(status=503)
    async with pool_of(away, other) as pool:
        await pool.call(NUMBER)
        assert places(pool) == [Place.ASIDE, Place.IN_SERVICE]
        await probe(pool.members)
        assert places(pool)[0] is Place.ASIDE
        away.respond = None
        away.results["eth_getBlockByNumber"] = some_header
        await probe(pool.members)
        assert places(pool) == [Place.IN_SERVICE] * 2
        assert other.asked.count("eth_getBlockByNumber") == 0


async def test_host_that_hangs_is_waited_for_once_and_then_no_longer_than_it_usually_takes() -> None:
    hanging, other = node("0x1"), node("0x2")
    async with pool_of(hanging, other, timeout_s=60) as pool:
        await pool.ask_hosts(lambda endpoint: endpoint.call(NUMBER))
        hanging.hang = True
        pool.blame(TimedOut(name_of(hanging), "no answer"))
        async with asyncio.timeout(20):
            for _ in range(3):
                answers = await pool.ask_hosts(lambda endpoint: endpoint.call(NUMBER))
                assert isinstance(answers[name_of(hanging)], TimedOut)
                assert answers[name_of(other)] == "0x2"
        hanging.hang = False
        answers = await pool.ask_hosts(lambda endpoint: endpoint.call(NUMBER))
        assert set(answers.values()) == {"0x1", "0x2"}
        assert places(pool) == [Place.IN_SERVICE] * 2


async def test_host_that_hangs_does_not_hold_up_a_question_to_which_another_said_null() -> None:
    hanging, other = node("0x1"), node(None)
    async with pool_of(hanging, other, timeout_s=60) as pool:
        await pool.call(NUMBER)
        hanging.hang = True
        pool.blame(TimedOut(name_of(hanging), "no answer"))
        async with asyncio.timeout(20):
            assert await pool.find(NUMBER) is None


async def test_probe_does_not_bring_back_another_chain() -> None:
    away, other = node("0x1", eth_getBlockByNumber=some_header), node("0x2")
    alarms = Alarms()
    async with pool_of(away, other, alarm=alarms) as pool:
        await pool.call(NUMBER)
        away.respond = lambda question: web.Response(status=503)
        assert await pool.call(NUMBER) == "0x2"
        away.respond, away.results["eth_chainId"] = None, "0x61"
        await probe(pool.members)
        assert places(pool) == [Place.LOW_TRUST, Place.IN_SERVICE]
        assert list(alarms.raised) == [(LIED, name_of(away))]


async def test_probe_does_not_bring_back_another_chain_under_an_old_connection() -> None:
    """A balancer sends the same connection to another node meanwhile."""
    hung, other = node("0x1", eth_getBlockByNumber=some_header), node("0x2")
    async with pool_of(hung, other) as pool:
        await pool.call(NUMBER)
        pool.blame(TimedOut(name_of(hung), "no answer"))
        hung.results["eth_chainId"] = "0x61"
        await probe(pool.members)
        assert places(pool) == [Place.LOW_TRUST, Place.IN_SERVICE]


async def test_endpoint_that_answers_nonsense_is_not_brought_back_by_a_probe() -> None:
    odd, other = node(5, eth_getBlockByNumber=some_header), node("0x2")
    async with pool_of(odd, other) as pool:
        await pool.call(NUMBER)
        await probe(pool.members)
        assert places(pool) == [Place.ASIDE, Place.IN_SERVICE]


async def test_probing_goes_on_until_it_is_canceled() -> None:
    away, other = node("0x1", eth_getBlockByNumber=some_header), node("0x2")
    away.respond = lambda question: web.Response(status=503)
    async with pool_of(away, other) as pool:
        await pool.call(NUMBER)
        probing = asyncio.create_task(keep_probing(pool.members, every_s=0.01))
        await asyncio.sleep(0.05)
        away.respond = None
        async with asyncio.timeout(10):
            while places(pool)[0] is not Place.IN_SERVICE:
                await asyncio.sleep(0.01)
        probing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probing


async def test_fault_of_our_own_in_the_background_is_told_and_questions_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(members: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("openpay.chain.pool.keep_probing", broken)
    with capture_logs() as logs:
        async with serve(node("0x1")) as (url,), connect([url], chain_id=56) as pool:
            assert await pool.call(NUMBER) == "0x1"
    assert [log["log_level"] for log in logs] == ["error"]


async def test_connected_pool_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()
    served = SocketNode(eth_blockNumber="0x1")
    async with serve_sockets(served) as (url,):
        async with connect([url], chain_id=56) as pool, pool.heads(block_interval_s=1):
            await pool.call(NUMBER)
        async with asyncio.timeout(10):
            while served.sockets:
                await asyncio.sleep(0.01)
        ours = [task for task in asyncio.all_tasks() - before if "openpay" in str(task.get_coro())]
        assert ours == []


# --- another chain ---------------------------------------------------------------------------------------------------


async def test_node_that_comes_back_as_another_chain_gives_no_answer() -> None:
    """It restarts between two questions: nothing but the new connection tells."""
    served = node("0x1")

    def last_words(question: Any) -> web.Response:
        response = web.json_response(served.answer(question))
        response.force_close()
        return response

    alarms = Alarms()
    async with serve(served) as (url,), connect([url], chain_id=56, alarm=alarms) as pool:
        assert await pool.call(NUMBER) == "0x1"
        served.respond = last_words
        assert await pool.call(NUMBER) == "0x1"
        served.respond, served.results["eth_chainId"] = None, "0x61"
        with pytest.raises(NoEndpointAnswered, match="serves chain 97"):
            await pool.call(NUMBER)
        assert (LIED, name_of(served)) in alarms.raised


async def test_websocket_that_reconnects_to_another_chain_gives_no_answer() -> None:
    served = SocketNode(eth_blockNumber="0x1")
    async with serve_sockets(served) as (url,), connect([url], chain_id=56) as pool:
        assert await pool.call(NUMBER) == "0x1"
        await served.hang_up()
        await asyncio.sleep(0.05)
        served.results["eth_chainId"] = "0x61"
        with pytest.raises(NoEndpointAnswered, match="serves chain 97"):
            await pool.call(NUMBER)


async def test_chain_id_is_not_asked_for_with_every_request_where_connections_are_not_kept() -> None:
    served = node("0x1")

    def closing(question: Any) -> web.Response:
        response = web.json_response(served.answer(question))
        response.force_close()
        return response

    served.respond = closing
    async with serve(served) as (url,), connect([url], chain_id=56) as pool:
        for _ in range(10):
            await pool.call(NUMBER)
    assert served.asked.count("eth_chainId") <= 3


# --- lies ----------------------------------------------------------------------------------------------------------


async def test_endpoint_caught_lying_is_reported_by_name_and_asked_last_from_then_on() -> None:
    alarms, clock = Alarms(), ManualClock()
    liar, honest = node("0xbad"), node("0x2")
    async with pool_of(liar, honest, alarm=alarms, clock=clock) as pool:
        assert await pool.ask(honestly) == "0x2"
        assert places(pool) == [Place.LOW_TRUST, Place.IN_SERVICE]
        assert list(alarms.raised) == [(LIED, name_of(liar))]
        assert "receipts root" in alarms.raised[LIED, name_of(liar)]
        clock.now = 10_000
        honest.results["eth_blockNumber"] = 5  # put aside, and still asked before the liar
        liar.results["eth_blockNumber"] = "0x1"
        requests = honest.requests
        assert await pool.ask(honestly) == "0x1"
        assert honest.requests == requests + 1
        requests = liar.requests
        honest.results["eth_blockNumber"] = "0x2"
        assert await pool.ask(honestly) == "0x2"
        assert liar.requests == requests


async def test_trust_comes_back_with_proven_answers_and_so_the_alert_goes() -> None:
    alarms = Alarms()
    liar = node("0xbad")
    async with pool_of(liar, alarm=alarms) as pool:
        with pytest.raises(NoEndpointAnswered):
            await pool.ask(honestly, proven=True)
        liar.results["eth_blockNumber"] = "0x1"
        for _ in range(PROOFS_FOR_TRUST - 1):
            await pool.ask(honestly, proven=True)
            await pool.call(NUMBER)
        assert places(pool) == [Place.LOW_TRUST]
        assert alarms.raised
        await pool.ask(honestly, proven=True)
        assert places(pool) == [Place.IN_SERVICE]
        assert not alarms.raised


async def test_liar_that_nobody_asks_earns_its_trust_back_by_whole_proven_blocks(chain: Chain) -> None:
    alarms, clock, block = Alarms(), ManualClock(), chain.all_types
    serving = {
        "eth_getBlockByNumber": lambda *_: block.block | {"transactions": []},
        "eth_getBlockByHash": block.block,
        "eth_getBlockReceipts": block.receipts,
    }
    liar, honest = node("0xbad", **serving), node("0x2")
    async with pool_of(liar, honest, alarm=alarms, clock=clock) as pool:
        await pool.ask(honestly)
        await probe(pool.members)
        assert "eth_getBlockReceipts" not in liar.asked, "its time aside is not over"
        clock.now = 11
        for _ in range(PROOFS_FOR_TRUST - 1):
            await probe(pool.members)
        assert places(pool)[0] is Place.LOW_TRUST
        await probe(pool.members)
        assert places(pool) == [Place.IN_SERVICE] * 2
        assert not alarms.raised
        assert honest.asked == ["eth_chainId", "eth_blockNumber"]


async def test_liar_that_lies_to_the_probe_too_stays_out(chain: Chain) -> None:
    clock, block = ManualClock(), chain.all_types
    served = node(
        "0xbad",
        eth_getBlockByNumber=lambda *_: block.block | {"transactions": []},
        eth_getBlockByHash=block.block,
        eth_getBlockReceipts=[receipt | {"logs": []} for receipt in block.receipts[:-1]],
    )
    async with pool_of(served, node("0x2"), clock=clock) as pool:
        await pool.ask(honestly)
        clock.now = 11
        await probe(pool.members)
        assert pool.members[0].standing.lies == 2
        assert pool.members[0].standing.aside_until == 11 + 20


async def test_proof_that_fails_at_every_host_is_nobodys_lie() -> None:
    """The chain's format may have changed: nobody is to be asked less for that."""
    alarms = Alarms()
    async with pool_of(node("0xbad"), node("0xbad"), alarm=alarms) as pool:
        with pytest.raises(NoEndpointAnswered):
            await pool.ask(honestly)
        await pool.ask_hosts(honestly)
        assert Place.LOW_TRUST not in places(pool)
        assert not alarms.raised


async def test_lie_as_a_witness_is_caught_too() -> None:
    alarms = Alarms()
    liar = node("0xbad")
    async with pool_of(node("0x1"), liar, alarm=alarms) as pool:
        await pool.ask_hosts(honestly)
        assert places(pool) == [Place.IN_SERVICE, Place.LOW_TRUST]
        assert list(alarms.raised) == [(LIED, name_of(liar))]


async def test_fault_found_later_counts_against_the_endpoint_it_names() -> None:
    async with pool_of(node(), node()) as pool:
        blamed = pool.members[1].endpoint.name
        pool.blame(BadAnswer(blamed, "found out later"))
        assert places(pool) == [Place.IN_SERVICE, Place.ASIDE]


# --- nobody --------------------------------------------------------------------------------------------------------


async def ask_in_vain(pool: Pool) -> None:
    with pytest.raises(NoEndpointAnswered):
        await pool.call(NUMBER)


async def test_chain_that_gives_no_answer_for_a_while_is_an_alert_until_the_next_answer() -> None:
    alarms, clock, only = Alarms(), ManualClock(), node(5)
    async with pool_of(only, alarm=alarms, clock=clock) as pool:
        await ask_in_vain(pool)
        clock.now = UNREADABLE_AFTER_S - 1
        await ask_in_vain(pool)
        assert not alarms.raised
        clock.now = UNREADABLE_AFTER_S
        await ask_in_vain(pool)
        assert list(alarms.raised) == [(UNREADABLE, "")]
        assert name_of(only) in alarms.raised[UNREADABLE, ""]
        only.results["eth_blockNumber"] = "0x1"
        await pool.call(NUMBER)
        assert not alarms.raised
        only.results["eth_blockNumber"] = 5
        await ask_in_vain(pool)
        assert not alarms.raised, "the time starts anew"


async def test_null_and_refusals_are_answers() -> None:
    alarms, clock = Alarms(), ManualClock()
    for result in (None, ValueError({"code": -32000, "message": "no"})):
        async with pool_of(node(result), alarm=alarms, clock=clock) as pool:
            for _ in range(3):
                clock.now += UNREADABLE_AFTER_S
                with pytest.raises((NoEndpointAnswered, JsonRpcError)):
                    await pool.call(NUMBER)
    assert not alarms.raised


# --- seen from outside -----------------------------------------------------------------------------------------------


async def test_states_say_how_each_endpoint_does() -> None:
    busy, gone = node(), SocketNode(eth_blockNumber="0x2")
    async with serve_sockets(gone) as (url,), pool_of(busy) as http, connect([url], chain_id=56) as pool:
        await http.call(NUMBER)
        (state,) = http.states()
        assert (state.endpoint, state.transport, state.place) == (name_of(busy), TransportKind.HTTP, Place.IN_SERVICE)
        assert state.latency_s == 0
        await pool.call(NUMBER)
        await gone.hang_up()
        gone.refuse_with = 503
        await asyncio.sleep(0.05)
        await ask_in_vain(pool)
        (state,) = pool.states()
        assert (state.transport, state.place) == (TransportKind.WEBSOCKET, Place.ASIDE)
        assert state.faults == {"Unreachable": 1}
        assert state.latency_s is not None


async def test_http_and_websocket_of_one_host_are_one_witness() -> None:
    served, other = SocketNode(eth_blockNumber="0x1"), SocketNode(eth_blockNumber="0x1")
    async with serve_sockets(served, other) as (ws_url, _):
        async with connect([ws_url, other.url], chain_id=56) as pool:
            assert pool.hosts == {name_of(other)}
            assert list(await pool.ask_hosts(lambda endpoint: endpoint.call(NUMBER))) == [name_of(other)]
        async with connect([ws_url, ws_url.replace("ws", "http", 1)], chain_id=56) as pool:
            assert len(pool.hosts) == 1
