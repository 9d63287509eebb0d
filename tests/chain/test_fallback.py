"""Blocks that no endpoint can prove whole: what hosts agree on is taken, and nothing that one of them says alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from openpay.chain.blocks import read_bytes
from openpay.chain.errors import NoEndpointAnswered, NotAgreed, Part, ProofFailed
from openpay.chain.fetch import fetch_block
from openpay.chain.proofs import Basis
from openpay.chain.reads import RECEIPTS
from openpay.chain.trie import EMPTY_ROOT
from openpay.errors import ChainUnavailable
from tests.chain.copies import NO_BLOCK, Copy, pool_of
from tests.chain.real_blocks import Chain
from tests.chain.unproven import HEADER, LOGS, TRANSACTIONS, later_fork, raise_an_amount, read

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
