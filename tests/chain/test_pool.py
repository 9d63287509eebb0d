"""Several endpoints behave as one, and what one host alone may not decide is asked of two."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from openpay.chain import reads
from openpay.chain.errors import BadAnswer, JsonRpcError, NoEndpointAnswered, Unreachable, Unreadable, WrongChain
from openpay.chain.pool import connect
from openpay.chain.rpc import Endpoint
from openpay.chain.words import HostWord
from tests.chain.fake_node import FakeNode, serve
from tests.chain.manual_clock import ManualClock
from tests.chain.pools import NUMBER, node, pool_of
from tests.chain.samples import header
from tests.support.process import free_port

GOOD = b"\xaa" * 32
OTHER = b"\xbb" * 32
REVERT = ValueError({"code": 3, "message": "execution reverted", "data": "0x1234"})
REFUSAL = ValueError({"code": -32000, "message": "missing trie node"})


async def test_faulty_endpoint_is_passed_over_for_the_next() -> None:
    bad, good = node({"not": "text"}), node("0x2")
    async with pool_of(bad, good) as pool:
        assert await pool.call(NUMBER) == "0x2"


async def test_faulty_endpoint_is_left_alone_while_it_cools_down_and_then_comes_last_no_more() -> None:
    clock, bad, good = ManualClock(), node(5), node("0x2")
    async with pool_of(bad, good, clock=clock) as pool:
        await pool.call(NUMBER)
        asked = bad.asked.count("eth_blockNumber")
        await pool.call(NUMBER)
        assert bad.asked.count("eth_blockNumber") == asked
        bad.results["eth_blockNumber"] = "0x3"
        good.results["eth_blockNumber"] = None
        clock.now = 11
        assert await pool.call(NUMBER) == "0x3"


async def test_endpoint_put_aside_is_asked_at_once_when_no_other_answers() -> None:
    first, second = node(5), node("0x2")
    async with pool_of(first, second) as pool:
        await pool.call(NUMBER)
        first.results["eth_blockNumber"] = "0x3"
        second.results["eth_blockNumber"] = 5
        assert await pool.call(NUMBER) == "0x3"


async def test_all_faults_are_named_when_nobody_answers() -> None:
    async with pool_of(node(5), node(None)) as pool:
        with pytest.raises(NoEndpointAnswered) as caught:
            await pool.call(NUMBER)
    assert set(caught.value.faults) == pool.hosts
    assert len(caught.value.faults) == 2


async def test_revert_is_an_answer_and_no_other_endpoint_is_asked() -> None:
    first, second = node(REVERT), node("0x2")
    async with pool_of(first, second) as pool:
        with pytest.raises(JsonRpcError):
            await pool.call(NUMBER)
    assert second.requests == 0


async def test_node_that_refuses_for_its_own_reasons_is_passed_over() -> None:
    async with pool_of(node(REFUSAL), node("0x2")) as pool:
        assert await pool.call(NUMBER) == "0x2"


async def test_refusal_by_all_is_raised_as_the_node_put_it() -> None:
    async with pool_of(node(REFUSAL), node(REFUSAL)) as pool:
        with pytest.raises(JsonRpcError, match="missing trie node"):
            await pool.call(NUMBER)


async def test_null_from_all_is_none_when_asked_to_find() -> None:
    async with pool_of(node(None), node(None)) as pool:
        assert await pool.find(NUMBER) is None


async def test_find_does_not_take_silence_for_an_answer() -> None:
    async with pool_of(node(5)) as pool:
        with pytest.raises(NoEndpointAnswered):
            await pool.find(NUMBER)


async def test_answer_that_fails_its_check_counts_as_no_answer() -> None:
    first, second = node("0x1"), node("0x2")

    async def checked(endpoint: Endpoint) -> str:
        answer = await endpoint.call(NUMBER)
        if answer == "0x1":
            raise BadAnswer(endpoint.name, "not believable")
        return answer

    async with pool_of(first, second) as pool:
        assert await pool.ask(checked) == "0x2"
        assert await pool.call(NUMBER) == "0x2"  # the first is put aside


async def test_endpoint_of_another_chain_answers_nothing() -> None:
    async with pool_of(node(eth_chainId="0x1"), node("0x2")) as pool:
        assert await pool.call(NUMBER) == "0x2"
    async with pool_of(node(eth_chainId="0x61")) as pool:
        with pytest.raises(NoEndpointAnswered) as caught:
            await pool.call(NUMBER)
    (fault,) = caught.value.faults.values()
    assert isinstance(fault, WrongChain)
    assert (fault.expected, fault.got) == (56, 0x61)


async def test_chain_id_is_checked_once_and_again_after_a_reconnection() -> None:
    only = node()
    async with pool_of(only) as pool:
        await pool.call(NUMBER)
        await pool.call(NUMBER)
        assert only.asked.count("eth_chainId") == 1

        async def lost(endpoint: Endpoint) -> str:
            raise Unreachable(endpoint.name, "connection reset")

        with pytest.raises(NoEndpointAnswered):
            await pool.ask(lost)
        await pool.call(NUMBER)
        assert only.asked.count("eth_chainId") == 2


async def test_node_that_is_down_at_the_start_is_no_error() -> None:
    async with connect([f"http://127.0.0.1:{free_port()}"], chain_id=56) as pool:
        with pytest.raises(NoEndpointAnswered):
            await pool.call(NUMBER)


async def test_throttled_endpoint_is_left_alone_as_long_as_it_asks() -> None:
    clock, busy, other = ManualClock(), node(), node("0x2")
    async with pool_of(busy, other, clock=clock) as pool:
        busy.respond = lambda question: web.Response(status=429, headers={"Retry-After": "60"})
        await pool.call(NUMBER)
        requests = busy.requests
        clock.now = 59
        await pool.call(NUMBER)
        assert busy.requests == requests


async def test_word_as_a_witness_does_not_end_a_cool_down() -> None:
    liar, good = node(), node("0x2")

    async def distrusting(endpoint: Endpoint) -> str:
        answer = await endpoint.call(NUMBER)
        if answer == "0x1":
            raise BadAnswer(endpoint.name, "not believable")
        return answer

    async with pool_of(liar, good) as pool:
        await pool.ask(distrusting)
        await pool.ask_hosts(lambda endpoint: endpoint.call(NUMBER))
        assert await pool.call(NUMBER) == "0x2"
        good.results["eth_blockNumber"] = 5
        assert await pool.call(NUMBER) == "0x1"


@pytest.mark.parametrize("junk", ["soon", "0x", "0xzz", " 0x1", "0x1\n", "0b11"])
async def test_number_that_is_none_is_a_bad_answer(junk: str) -> None:
    async with pool_of(FakeNode(eth_gasPrice=junk), FakeNode(eth_gasPrice="0x7")) as pool:
        assert await pool.call(reads.gas_price()) == "0x7"


# --- two hosts ---------------------------------------------------------------------------------------------------


def witness(block_hash: bytes = GOOD, *, finalized: int = 100, latest: int = 110) -> FakeNode:
    """A node that serves one block hash at every height, and calls `finalized` final."""

    def by_number(block: str, _full: bool) -> Any:
        tags = {"finalized": finalized, "latest": latest}
        return header(number=tags[block] if block in tags else int(block, 16), block_hash=block_hash)

    return FakeNode(eth_getBlockByNumber=by_number)


async def words(*nodes: FakeNode, number: int = 50, **options: Any) -> Any:
    async with pool_of(*nodes, **options) as pool:
        return await pool.second_host(number, GOOD)


async def test_two_agreeing_hosts_confirm() -> None:
    agreement = await words(witness(), witness())
    assert agreement.confirmed
    assert not agreement.unanswered


async def test_single_configured_host_is_enough_by_itself() -> None:
    agreement = await words(witness())
    assert agreement.confirmed
    assert not agreement.unanswered


async def test_one_of_two_hosts_does_not_confirm() -> None:
    late = await words(witness(), witness(finalized=49))
    assert (late.confirmed, late.contradicted, late.unanswered) == (False, False, False)


async def test_hash_at_the_finalized_height_itself_counts() -> None:
    assert (await words(witness(finalized=50), witness(finalized=50))).confirmed


async def test_great_depth_takes_the_place_of_a_finalized_tag_that_stands_still() -> None:
    deep, shallow = witness(finalized=0, latest=289), witness(finalized=0, latest=288)
    assert (await words(deep, deep)).confirmed
    assert not (await words(deep, shallow)).confirmed


async def test_disagreeing_host_stops_even_two_that_agree() -> None:
    agreement = await words(witness(), witness(), witness(OTHER))
    assert (agreement.confirmed, agreement.contradicted) == (False, True)


async def test_silent_second_host_is_told_apart_from_a_disagreeing_one() -> None:
    silent = witness()
    silent.results["eth_getBlockByNumber"] = REFUSAL
    agreement = await words(witness(), silent)
    assert (agreement.confirmed, agreement.contradicted, agreement.unanswered) == (False, False, True)
    assert sorted(word.value for word in agreement.words.values()) == ["agrees", "silent"]


async def test_two_urls_on_one_host_are_one_witness() -> None:
    only = witness()
    async with serve(only) as (url,), connect([url + "?key=1", url + "?key=2"], chain_id=56) as pool:
        agreement = await pool.second_host(50, GOOD)
    assert len(pool.hosts) == 1
    assert list(agreement.words.values()) == [HostWord.AGREES]


async def test_chain_without_finalized_tag_takes_the_height_alone() -> None:
    assert (await words(witness(finalized=0), witness(finalized=0), has_finalized_tag=False)).confirmed


async def test_unknown_height_is_not_yet_rather_than_silence() -> None:
    unknown = FakeNode(eth_getBlockByNumber=None)
    agreement = await words(witness(), unknown)
    assert HostWord.NOT_YET in agreement.words.values()


async def test_question_to_all_hosts_returns_answers_and_failures_by_host() -> None:
    async with pool_of(node("0x1"), node(REVERT), node(5)) as pool:
        answers = await pool.ask_hosts(lambda endpoint: endpoint.call(NUMBER))
    assert ["0x1", JsonRpcError, Unreadable] == [
        answer if isinstance(answer, str) else type(answer) for answer in answers.values()
    ]


def test_reads_name_the_method_they_ask() -> None:
    assert reads.balance(b"\x01" * 20, "latest").params == ("0x" + "01" * 20, "latest")
    assert reads.eth_call(to=None, data=b"\x60", at=1).params == ({"data": "0x60"}, "0x1")
