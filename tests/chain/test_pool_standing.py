"""Endpoints that lie or give no answer: who is asked last, who is told, and what is seen of it from outside."""

from __future__ import annotations

import asyncio

import pytest

from openpay.chain.errors import BadAnswer, JsonRpcError, NoEndpointAnswered, ProofFailed
from openpay.chain.pool import UNREADABLE_AFTER_S, Pool, connect
from openpay.chain.probing import probe
from openpay.chain.rpc import Endpoint
from openpay.chain.standing import PROOFS_FOR_TRUST, Place
from openpay.chain.transport import TransportKind
from openpay.domain.alerts import AlertKind
from tests.chain.manual_clock import ManualClock
from tests.chain.pools import CHAIN_ID, NUMBER, name_of, node, places, pool_of
from tests.chain.real_blocks import Chain
from tests.chain.socket_node import SocketNode, serve_sockets
from tests.support.alarms import Heard

LIED, UNREADABLE = AlertKind.ENDPOINT_LIED, AlertKind.CHAIN_UNREADABLE


async def honestly(endpoint: Endpoint) -> str:
    """A question whose answer 0xbad fails its proof."""
    answer = await endpoint.call(NUMBER)
    if answer == "0xbad":
        raise ProofFailed("receipts root", expected="a", got="b", block="1", endpoint=endpoint.name)
    return answer


# --- lies ----------------------------------------------------------------------------------------------------------


async def test_endpoint_caught_lying_is_reported_by_name_and_asked_last_from_then_on() -> None:
    alarms, clock = Heard(CHAIN_ID), ManualClock()
    liar, honest = node("0xbad"), node("0x2")
    async with pool_of(liar, honest, alarm=alarms, clock=clock) as pool:
        assert await pool.ask(honestly) == "0x2"
        assert places(pool) == [Place.LOW_TRUST, Place.IN_SERVICE]
        assert list(alarms.standing) == [(LIED, name_of(liar))]
        assert "receipts root" in alarms.standing[LIED, name_of(liar)]
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
    alarms = Heard(CHAIN_ID)
    liar = node("0xbad")
    async with pool_of(liar, alarm=alarms) as pool:
        with pytest.raises(NoEndpointAnswered):
            await pool.ask(honestly, proven=True)
        liar.results["eth_blockNumber"] = "0x1"
        for _ in range(PROOFS_FOR_TRUST - 1):
            await pool.ask(honestly, proven=True)
            await pool.call(NUMBER)
        assert places(pool) == [Place.LOW_TRUST]
        assert alarms.standing
        await pool.ask(honestly, proven=True)
        assert places(pool) == [Place.IN_SERVICE]
        assert not alarms.standing


async def test_liar_that_nobody_asks_earns_its_trust_back_by_whole_proven_blocks(chain: Chain) -> None:
    alarms, clock, block = Heard(CHAIN_ID), ManualClock(), chain.all_types
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
        assert not alarms.standing
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
    alarms = Heard(CHAIN_ID)
    async with pool_of(node("0xbad"), node("0xbad"), alarm=alarms) as pool:
        with pytest.raises(NoEndpointAnswered):
            await pool.ask(honestly)
        await pool.ask_hosts(honestly)
        assert Place.LOW_TRUST not in places(pool)
        assert not alarms.standing


async def test_lie_as_a_witness_is_caught_too() -> None:
    alarms = Heard(CHAIN_ID)
    liar = node("0xbad")
    async with pool_of(node("0x1"), liar, alarm=alarms) as pool:
        await pool.ask_hosts(honestly)
        assert places(pool) == [Place.IN_SERVICE, Place.LOW_TRUST]
        assert list(alarms.standing) == [(LIED, name_of(liar))]


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
    alarms, clock, only = Heard(CHAIN_ID), ManualClock(), node(5)
    async with pool_of(only, alarm=alarms, clock=clock) as pool:
        await ask_in_vain(pool)
        clock.now = UNREADABLE_AFTER_S - 1
        await ask_in_vain(pool)
        assert not alarms.standing
        clock.now = UNREADABLE_AFTER_S
        await ask_in_vain(pool)
        assert list(alarms.standing) == [(UNREADABLE, "")]
        assert name_of(only) in alarms.standing[UNREADABLE, ""]
        only.results["eth_blockNumber"] = "0x1"
        await pool.call(NUMBER)
        assert not alarms.standing
        only.results["eth_blockNumber"] = 5
        await ask_in_vain(pool)
        assert not alarms.standing, "the time starts anew"


async def test_null_and_refusals_are_answers() -> None:
    alarms, clock = Heard(CHAIN_ID), ManualClock()
    for result in (None, ValueError({"code": -32000, "message": "no"})):
        async with pool_of(node(result), alarm=alarms, clock=clock) as pool:
            for _ in range(3):
                clock.now += UNREADABLE_AFTER_S
                with pytest.raises((NoEndpointAnswered, JsonRpcError)):
                    await pool.call(NUMBER)
    assert not alarms.standing


# --- seen from outside -----------------------------------------------------------------------------------------------


async def test_states_say_how_each_endpoint_does() -> None:
    busy, gone = node(), SocketNode(eth_blockNumber="0x2")
    async with serve_sockets(gone) as (url,), pool_of(busy) as http, connect([url], chain_id=CHAIN_ID) as pool:
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
        async with connect([ws_url, other.url], chain_id=CHAIN_ID) as pool:
            assert pool.hosts == {name_of(other)}
            assert list(await pool.ask_hosts(lambda endpoint: endpoint.call(NUMBER))) == [name_of(other)]
        async with connect([ws_url, ws_url.replace("ws", "http", 1)], chain_id=CHAIN_ID) as pool:
            assert len(pool.hosts) == 1
