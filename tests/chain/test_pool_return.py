"""Endpoints that were away: how they come back, and that none comes back as another chain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from openpay.chain.errors import NoEndpointAnswered, TimedOut
from openpay.chain.pool import connect
from openpay.chain.probing import keep_probing, probe
from openpay.chain.standing import Place
from openpay.domain.alerts import AlertKind
from tests.chain.fake_node import FakeNode, serve
from tests.chain.pools import CHAIN_ID, NUMBER, name_of, node, places, pool_of
from tests.chain.samples import header
from tests.chain.socket_node import SocketNode, serve_sockets
from tests.support.alarms import Heard

LIED = AlertKind.ENDPOINT_LIED


def closing_after_each(served: FakeNode) -> Callable[[Any], web.Response]:
    """Answers as the node does, and keeps no connection."""

    def answer(question: Any) -> web.Response:
        response = web.json_response(served.answer(question))
        response.force_close()
        return response

    return answer


def some_header(*_: Any) -> dict[str, Any]:
    return header(number=1, block_hash=bytes(32))


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
    alarms = Heard(CHAIN_ID)
    async with pool_of(away, other, alarm=alarms) as pool:
        await pool.call(NUMBER)
        away.respond = lambda question: web.Response(status=503)
        assert await pool.call(NUMBER) == "0x2"
        away.respond, away.results["eth_chainId"] = None, "0x61"
        await probe(pool.members)
        assert places(pool) == [Place.LOW_TRUST, Place.IN_SERVICE]
        assert list(alarms.standing) == [(LIED, name_of(away))]


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
        async with serve(node("0x1")) as (url,), connect([url], chain_id=CHAIN_ID) as pool:
            assert await pool.call(NUMBER) == "0x1"
    assert [log["log_level"] for log in logs] == ["error"]


async def test_connected_pool_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()
    served = SocketNode(eth_blockNumber="0x1")
    async with serve_sockets(served) as (url,):
        async with connect([url], chain_id=CHAIN_ID) as pool, pool.heads(block_interval_s=1):
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
    alarms = Heard(CHAIN_ID)
    async with serve(served) as (url,), connect([url], chain_id=CHAIN_ID, alarm=alarms) as pool:
        assert await pool.call(NUMBER) == "0x1"
        served.respond = closing_after_each(served)
        assert await pool.call(NUMBER) == "0x1"
        served.respond, served.results["eth_chainId"] = None, "0x61"
        with pytest.raises(NoEndpointAnswered, match="serves chain 97"):
            await pool.call(NUMBER)
        assert (LIED, name_of(served)) in alarms.standing


async def test_websocket_that_reconnects_to_another_chain_gives_no_answer() -> None:
    served = SocketNode(eth_blockNumber="0x1")
    async with serve_sockets(served) as (url,), connect([url], chain_id=CHAIN_ID) as pool:
        assert await pool.call(NUMBER) == "0x1"
        await served.hang_up()
        await asyncio.sleep(0.05)
        served.results["eth_chainId"] = "0x61"
        with pytest.raises(NoEndpointAnswered, match="serves chain 97"):
            await pool.call(NUMBER)


async def test_chain_id_is_not_asked_for_with_every_request_where_connections_are_not_kept() -> None:
    served = node("0x1")
    served.respond = closing_after_each(served)
    async with serve(served) as (url,), connect([url], chain_id=CHAIN_ID) as pool:
        for _ in range(10):
            await pool.call(NUMBER)
    assert served.asked.count("eth_chainId") <= 3
