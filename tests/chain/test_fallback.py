"""Blocks that no endpoint can prove whole: what hosts agree on is taken, and nothing that one of them says alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from openpay.chain.blocks import read_bytes
from openpay.chain.errors import NoEndpointAnswered, NotAgreed, Part, ProofFailed
from openpay.chain.fallback import learn_outcomes
from openpay.chain.fetch import fetch_block
from openpay.chain.offers import ASK_AGAIN_S
from openpay.chain.proofs import Basis, ProvenBlock
from openpay.chain.reads import RECEIPTS
from openpay.chain.trie import EMPTY_ROOT
from openpay.errors import ChainUnavailable
from tests.chain.copies import NO_BLOCK, Copy, ManualClock, pool_of
from tests.chain.real_blocks import Chain

HEADER, TRANSACTIONS, LOGS = frozenset({Part.HEADER}), frozenset({Part.TRANSACTIONS}), frozenset({Part.LOGS})


async def read(*hosts: Copy, clock: ManualClock | None = None) -> ProvenBlock:
    async with pool_of(*hosts, clock=clock) as pool:
        return await fetch_block(pool, read_bytes(hosts[0].block["hash"]))


def later_fork(chain: Chain, count: int) -> list[Copy]:
    """Hosts that serve one block whose header no code of today can hash."""
    hosts = [Copy(chain.many_logs) for _ in range(count)]
    for host in hosts:
        host.hide_field()
    return hosts


def logs_only(chain: Chain, count: int) -> list[Copy]:
    hosts = [Copy(chain.many_logs) for _ in range(count)]
    for host in hosts:
        host.offer_no_receipts()
    return hosts


# --- headers -------------------------------------------------------------------------------------------------------


async def test_header_that_verifies_nowhere_but_is_the_same_at_two_hosts_is_followed(chain: Chain) -> None:
    block = await read(*later_fork(chain, 2))
    proven = chain.many_logs.prove()
    assert (block.basis, block.agreed) == (Basis.AGREED, HEADER)
    assert (block.number, block.parent_hash, block.timestamp) == (proven.number, proven.parent_hash, proven.timestamp)
    assert (block.transactions, block.receipts) == (proven.transactions, proven.receipts)


async def test_block_that_one_endpoint_proves_is_proven_however_many_others_agree_on_another(chain: Chain) -> None:
    liars = later_fork(chain, 2)
    for liar in liars:
        liar.block["timestamp"] = "0x1"
    assert (await read(*liars, Copy(chain.many_logs))).basis is Basis.PROVEN


async def test_one_host_alone_is_never_agreed_with(chain: Chain) -> None:
    with pytest.raises(NotAgreed, match="the only host configured: a second one is needed"):
        await read(*later_fork(chain, 1))


async def test_host_whose_other_is_away_is_not_agreed_with(chain: Chain) -> None:
    speaker, other = later_fork(chain, 2)
    other.results["eth_getBlockByHash"] = NO_BLOCK
    with pytest.raises(NotAgreed, match=r"only 127\.0\.0\.1:[0-9]+ served it$"):
        await read(speaker, other)


async def test_two_urls_of_one_host_are_one_voice(chain: Chain) -> None:
    (host,) = later_fork(chain, 1)
    with pytest.raises(NotAgreed, match="the only host configured"):
        await read(host, host)


HEADER_FIELDS = {
    "parentHash": "0x" + "12" * 32,
    "timestamp": "0x5f",
    "logsBloom": "0x" + "01" * 256,
    "receiptsRoot": "0x" + "12" * 32,
    "extraData": "0x12",
    "number": "0xfffff",
    "baseFeePerGas": None,
    "fieldOfALaterFork": "0x" + "12" * 32,
}


@pytest.mark.parametrize("field", HEADER_FIELDS)
@pytest.mark.parametrize("others", [1, 2])
async def test_hosts_that_differ_in_any_field_agree_on_nothing(chain: Chain, field: str, others: int) -> None:
    liar, *honest = later_fork(chain, 1 + others)
    liar.block[field] = HEADER_FIELDS[field]
    with pytest.raises(NotAgreed, match=f"differ in {field}") as caught:
        await read(liar, *honest)
    assert caught.value.part is Part.HEADER


async def test_hosts_may_write_hex_in_either_case_and_differ_in_what_no_hash_covers(chain: Chain) -> None:
    one, other = later_fork(chain, 2)
    other.block |= {name: text.upper().replace("0X", "0x") for name, text in other.block.items() if "Root" in name}
    other.block |= {"size": "0x1", "totalDifficulty": "0x7", "fieldOfOneClient": "0x9"}
    assert (await read(one, other)).agreed == HEADER


async def test_silent_third_host_keeps_two_from_agreeing_no_more_than_it_must(chain: Chain) -> None:
    one, other, silent = later_fork(chain, 3)
    silent.results["eth_getBlockByHash"] = None
    assert (await read(one, silent, other)).agreed == HEADER


async def test_answer_under_another_hash_is_no_word_about_this_one(chain: Chain) -> None:
    one, other = later_fork(chain, 2)
    other.results["eth_getBlockByHash"] = lambda name, full: {**other.block, "hash": "0x" + "77" * 32}
    with pytest.raises(NotAgreed, match="only"):
        await read(one, other)


def leave_out_a_log(host: Copy) -> None:
    host.receipts[0]["logs"].pop()


def leave_out_a_transaction(host: Copy) -> None:
    host.block["transactions"].pop()


def raise_an_amount(host: Copy) -> None:
    host.block["transactions"][0]["value"] = "0x999"


@pytest.mark.parametrize("lie", [leave_out_a_log, leave_out_a_transaction, raise_an_amount])
@pytest.mark.parametrize("hides", [True, False])
async def test_hosts_that_agree_on_what_can_be_shown_to_be_wrong_are_not_followed(
    chain: Chain, lie: Callable[[Copy], None], hides: bool
) -> None:
    """Two hosts of one provider may leave out the same log: that is no new format."""
    hosts = [Copy(chain.many_logs) for _ in range(2)]
    for host in hosts:
        lie(host)
        if hides:
            host.hide_field()
    with pytest.raises(NoEndpointAnswered) as caught:
        await read(*hosts)
    assert isinstance(caught.value, NotAgreed) or {type(each) for each in caught.value.faults.values()} == {ProofFailed}


async def test_block_of_a_later_fork_is_asked_for_twice_of_each_host_and_no_more(chain: Chain) -> None:
    """A fork may last for weeks, at several blocks a second: what was seen to prove nowhere is not tried again."""
    hosts = later_fork(chain, 2)
    await read(*hosts)
    assert [host.asked.count("eth_getBlockByHash") for host in hosts] == [2, 2]
    assert sum(host.asked.count(RECEIPTS) for host in hosts) == 3


async def test_agreed_header_under_which_transactions_have_no_receipts_is_not_followed(chain: Chain) -> None:
    hosts = later_fork(chain, 2)
    for host in hosts:
        host.block["receiptsRoot"] = "0x" + EMPTY_ROOT.hex()
        host.receipts = []
    with pytest.raises(ChainUnavailable, match="0 receipts of 150 transactions"):
        await read(*hosts)


async def test_outage_is_an_outage(chain: Chain) -> None:
    hosts = later_fork(chain, 2)
    async with pool_of(*hosts) as pool:
        for host in hosts:
            assert host.server is not None
            await host.server.close()
        with pytest.raises(NoEndpointAnswered) as caught:
            await fetch_block(pool, b"\x77" * 32)
    assert not isinstance(caught.value, NotAgreed)


# --- transactions --------------------------------------------------------------------------------------------------


def unknown_type(chain: Chain, count: int) -> list[Copy]:
    hosts = [Copy(chain.all_types) for _ in range(count)]
    for host in hosts:
        host.make_transaction_unknown(2)
    return hosts


async def test_transaction_of_a_later_type_is_known_by_its_hash_alone(chain: Chain) -> None:
    block = await read(*unknown_type(chain, 2))
    served = [read_bytes(each["hash"]) for each in chain.all_types.block["transactions"]]
    assert block.agreed == TRANSACTIONS
    assert [block.transaction_hash(index) for index in range(6)] == served
    assert (block.sender(2), block.sender_nonce(2), block.transactions[2].to) == (None, None, None)
    assert block.sender(1) is not None
    assert block.receipts == chain.all_types.prove().receipts


async def test_transaction_of_a_later_type_needs_no_field_that_is_known_today(chain: Chain) -> None:
    hosts = unknown_type(chain, 2)
    for host in hosts:
        host.block["transactions"][2] = {"type": "0x6", "hash": host.listed[2]}
        host.hide_field()
    assert (await read(*hosts)).agreed == HEADER | TRANSACTIONS


def lists_another_hash(host: Copy) -> None:
    host.listed[2] = "0x" + "77" * 32


def lists_another_hash_of_what_is_understood(host: Copy) -> None:
    host.listed[1] = "0x" + "77" * 32


def lists_fewer(host: Copy) -> None:
    host.listed.pop()


def serves_fewer(host: Copy) -> None:
    host.block["transactions"].pop()
    host.listed.pop()


def serves_other_content(host: Copy) -> None:
    host.block["transactions"][2]["calls"] = []


def serves_another_transaction(host: Copy) -> None:
    host.block["transactions"][1] = host.block["transactions"][0]


def serves_nonsense(host: Copy) -> None:
    host.block["transactions"][1] = "0x12"


@pytest.mark.parametrize(
    "lie",
    [
        lists_another_hash,
        lists_another_hash_of_what_is_understood,
        lists_fewer,
        serves_fewer,
        serves_other_content,
        serves_another_transaction,
        serves_nonsense,
    ],
)
async def test_transactions_of_a_later_type_need_two_hosts_that_say_the_same(
    chain: Chain, lie: Callable[[Copy], None]
) -> None:
    liar, honest = unknown_type(chain, 2)
    lie(liar)
    with pytest.raises(NotAgreed):
        await read(liar, honest)


async def test_list_that_contradicts_what_can_be_computed_is_taken_from_nobody(chain: Chain) -> None:
    hosts = unknown_type(chain, 2)
    for host in hosts:
        lists_another_hash_of_what_is_understood(host)
    with pytest.raises(NotAgreed, match="no host served it"):
        await read(*hosts)


async def test_receipts_of_a_later_format_are_replaced_by_logs_that_hosts_agree_on(chain: Chain) -> None:
    hosts = unknown_type(chain, 2)
    for host in hosts:
        host.receipts[2] |= {"type": "0x6", "cumulativeGasUsed": "0x1"}
    assert (await read(*hosts)).agreed == TRANSACTIONS | LOGS


# --- endpoints without receipts ------------------------------------------------------------------------------------


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


# --- outcomes ------------------------------------------------------------------------------------------------------


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
