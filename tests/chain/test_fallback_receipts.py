"""Hosts that offer no receipts: logs on which all agree stand in for them, and so do their words on outcomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from openpay.chain.blocks import read_bytes
from openpay.chain.errors import NotAgreed, Part
from openpay.chain.fallback import learn_outcomes
from openpay.chain.fetch import fetch_block
from openpay.chain.offers import ASK_AGAIN_S
from openpay.chain.proofs import Basis, ProvenBlock
from openpay.chain.reads import RECEIPTS
from openpay.errors import ChainUnavailable
from tests.chain.copies import NO_BLOCK, Copy, ManualClock, pool_of
from tests.chain.real_blocks import Chain
from tests.chain.unproven import LOGS, logs_only, raise_an_amount, read


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_logs_that_all_hosts_agree_on_stand_in_for_receipts(chain: Chain, count: int) -> None:
    block = await read(*logs_only(chain, count))
    proven = chain.many_logs.prove()
    assert (block.basis, block.agreed) == (Basis.AGREED, LOGS)
    assert [receipt.logs for receipt in block.receipts] == [receipt.logs for receipt in proven.receipts]
    assert block.transactions == proven.transactions


async def test_block_without_logs_is_read_from_hosts_without_receipts(chain: Chain) -> None:
    hosts = [Copy(chain.all_types), Copy(chain.all_types)]
    for host in hosts:
        host.offer_no_receipts()
    assert [receipt.logs for receipt in (await read(*hosts)).receipts] == [()] * 6


def omit_last(host: Copy) -> None:
    host.logs.pop()


def omit_all(host: Copy) -> None:
    host.logs.clear()


def swap(host: Copy) -> None:
    host.logs[0], host.logs[1] = host.logs[1], host.logs[0]


def more_data(host: Copy) -> None:
    host.logs[-1]["data"] = "0x" + "11" * 32


def more_topics(host: Copy) -> None:
    host.logs[0]["topics"] = ["0x" + "77" * 32]


def later_transaction(host: Copy) -> None:
    host.logs[-1]["transactionIndex"] = "0x97"


def another_transaction(host: Copy) -> None:
    host.logs[-1]["transactionIndex"] = host.logs[-10]["transactionIndex"]


def another_block(host: Copy) -> None:
    host.logs[0]["blockHash"] = "0x" + "77" * 32


def null_logs(host: Copy) -> None:
    host.results["eth_getLogs"] = None


def refused_logs(host: Copy) -> None:
    host.results["eth_getLogs"] = NO_BLOCK


WRONG_LOGS = [
    omit_last,
    omit_all,
    swap,
    more_data,
    more_topics,
    later_transaction,
    another_transaction,
    another_block,
    null_logs,
    refused_logs,
]


@pytest.mark.parametrize("lie", WRONG_LOGS)
async def test_logs_that_one_of_two_hosts_serves_otherwise_are_not_taken(
    chain: Chain, lie: Callable[[Copy], None]
) -> None:
    liar, honest = logs_only(chain, 2)
    lie(liar)
    with pytest.raises(NotAgreed) as caught:
        await read(liar, honest)
    assert caught.value.part is Part.LOGS


@pytest.mark.parametrize("lie", [omit_all, swap, more_topics, later_transaction, another_block, null_logs])
async def test_logs_that_all_hosts_serve_alike_and_wrong_are_caught_by_their_places_and_the_bloom(
    chain: Chain, lie: Callable[[Copy], None]
) -> None:
    for count in (1, 2):
        hosts = logs_only(chain, count)
        for host in hosts:
            lie(host)
        with pytest.raises(NotAgreed, match="no host served it"):
            await read(*hosts)


async def test_liar_that_the_bloom_convicts_contradicts_nobody(chain: Chain) -> None:
    liar, *honest = logs_only(chain, 3)
    liar.logs.clear()
    assert (await read(liar, *honest)).agreed == LOGS


async def test_transactions_are_proven_even_where_receipts_are_not(chain: Chain) -> None:
    hosts = logs_only(chain, 2)
    for host in hosts:
        raise_an_amount(host)
    with pytest.raises(ChainUnavailable):
        await read(*hosts)


async def test_endpoint_that_offers_no_receipts_is_not_asked_for_them_again_for_a_while(chain: Chain) -> None:
    clock, hosts = ManualClock(), logs_only(chain, 2)
    block_hash = read_bytes(hosts[0].block["hash"])
    async with pool_of(*hosts, clock=clock) as pool:
        for _ in range(3):
            await fetch_block(pool, block_hash)
        assert [host.asked.count(RECEIPTS) for host in hosts] == [1, 1]
        clock.now += ASK_AGAIN_S
        for host in hosts:
            host.results[RECEIPTS] = host.receipts
        assert (await fetch_block(pool, block_hash)).basis is Basis.PROVEN


async def test_endpoint_that_offers_receipts_is_preferred(chain: Chain) -> None:
    without, whole = logs_only(chain, 1)[0], Copy(chain.many_logs)
    async with pool_of(without, whole) as pool:
        for _ in range(5):
            assert (await fetch_block(pool, read_bytes(whole.block["hash"]))).basis is Basis.PROVEN
    assert "eth_getLogs" not in without.asked + whole.asked
    assert without.asked.count("eth_getBlockByHash") == 1


@pytest.mark.parametrize("answer", [None, NO_BLOCK])
async def test_receipts_that_were_pruned_are_replaced_by_logs_and_asked_for_again(chain: Chain, answer: Any) -> None:
    hosts = [Copy(chain.many_logs), Copy(chain.many_logs)]
    for host in hosts:
        host.results[RECEIPTS] = answer
    block_hash = read_bytes(hosts[0].block["hash"])
    async with pool_of(*hosts) as pool:
        assert (await fetch_block(pool, block_hash)).agreed == LOGS
        hosts[1].results[RECEIPTS] = hosts[1].receipts
        assert (await fetch_block(pool, block_hash)).basis is Basis.PROVEN


async def test_receipts_of_one_host_and_a_block_of_another_prove_together(chain: Chain) -> None:
    """Each of two hosts lacks something: what both have is proven all the same."""
    one, other = logs_only(chain, 1)[0], Copy(chain.many_logs)
    other.block["transactions"].pop()
    assert (await read(one, other)).basis is Basis.PROVEN


async def outcomes(block: ProvenBlock, *hosts: Copy) -> list[bool]:
    async with pool_of(*hosts) as pool:
        known = await learn_outcomes(pool, block, [0, 5])
    return [known.succeeded(0), known.succeeded(5)]


def without_receipts(chain: Chain, count: int) -> list[Copy]:
    hosts = [Copy(chain.all_types) for _ in range(count)]
    for host in hosts:
        host.offer_no_receipts()
    return hosts


@pytest.mark.parametrize("count", [1, 2])
async def test_outcomes_that_no_receipt_proves_are_asked_of_hosts(chain: Chain, count: int) -> None:
    hosts = without_receipts(chain, count)
    block = await read(*hosts)
    with pytest.raises(KeyError):
        block.succeeded(0)
    assert await outcomes(block, *hosts) == [True, False]


async def test_proven_block_asks_nobody_for_outcomes(chain: Chain) -> None:
    host = Copy(chain.all_types)
    assert await outcomes(chain.all_types.prove(), host) == [True, False]
    assert host.asked == []


@pytest.mark.parametrize(
    "change", [{"status": "0x1"}, {"status": "0x2"}, {"blockHash": "0x" + "77" * 32}, {"status": None}]
)
async def test_outcome_that_only_one_of_two_hosts_tells_is_not_taken(chain: Chain, change: dict[str, Any]) -> None:
    hosts = without_receipts(chain, 2)
    block = await read(*hosts)
    hosts[0].receipts[5] |= change
    with pytest.raises(NotAgreed):
        await outcomes(block, *hosts)
