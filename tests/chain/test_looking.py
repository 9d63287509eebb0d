"""One transaction asked of nodes: what they show is read exactly, and what cannot be is a fault."""

from __future__ import annotations

from typing import Any

import pytest

from openpay.chain.bep20 import TRANSFER_SELECTOR, TRANSFER_TOPIC
from openpay.chain.errors import NoEndpointAnswered
from openpay.chain.looking import NodeTransactions
from openpay.domain.finding import SeenTransaction, TransactionState, Transfer
from tests.chain.fake_node import FakeNode
from tests.chain.pools import CHAIN_ID, pool_of

HASH = bytes([0xAB]) * 32
BLOCK = "0x" + "b1" * 32
TOKEN, VAULT, OTHER = bytes([1]) * 20, bytes([2]) * 20, bytes([3]) * 20


def word(value: bytes | int) -> str:
    data = value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\0")
    return "0x" + data.hex()


def sent(**changes: Any) -> dict[str, Any]:
    call = TRANSFER_SELECTOR + VAULT.rjust(32, b"\0") + (25).to_bytes(32, "big")
    fields = {
        "hash": "0x" + HASH.hex(),
        "to": "0x" + TOKEN.hex(),
        "value": "0x0",
        "input": "0x" + call.hex(),
        "blockHash": BLOCK,
        "blockNumber": "0x10",
    }
    return fields | changes


def log(*, units: int = 25, to: bytes = VAULT, contract: bytes = TOKEN, **changes: Any) -> dict[str, Any]:
    topics = ["0x" + TRANSFER_TOPIC.hex(), word(OTHER), word(to)]
    return {"address": "0x" + contract.hex(), "topics": topics, "data": word(units)} | changes


def receipt(*logs: dict[str, Any], **changes: Any) -> dict[str, Any]:
    fields = {
        "transactionHash": "0x" + HASH.hex(),
        "blockHash": BLOCK,
        "blockNumber": "0x10",
        "status": "0x1",
        "logs": list(logs),
    }
    return fields | changes


def header(time: int = 1_700_000_000) -> dict[str, Any]:
    zeros = "0x" + "00" * 32
    names = ("parentHash", "sha3Uncles", "stateRoot", "transactionsRoot", "receiptsRoot", "mixHash")
    return dict.fromkeys(names, zeros) | {
        "hash": BLOCK,
        "miner": "0x" + "00" * 20,
        "logsBloom": "0x" + "00" * 256,
        "difficulty": "0x2",
        "number": "0x10",
        "gasLimit": "0x1",
        "gasUsed": "0x0",
        "timestamp": hex(time),
        "extraData": "0x",
        "nonce": "0x0000000000000000",
    }


def node(transaction: Any, receipt: Any = None) -> FakeNode:
    return FakeNode(
        eth_getTransactionByHash=transaction, eth_getTransactionReceipt=receipt, eth_getBlockByHash=header()
    )


async def look(*nodes: FakeNode, **options: Any) -> SeenTransaction | None:
    async with pool_of(*nodes, **options) as pool:
        return await NodeTransactions({CHAIN_ID: pool}).seen(CHAIN_ID, HASH)


async def test_a_mined_transfer_is_read_from_its_logs_with_its_blocks_time() -> None:
    seen = await look(node(sent(), receipt(log())))
    assert seen == SeenTransaction(
        state=TransactionState.SUCCEEDED,
        transfers=(Transfer(contract=TOKEN, to=VAULT, units=25),),
        calls_contract=False,
        block_number=16,
        block_time=1_700_000_000,
    )


async def test_a_pending_transfer_is_read_from_what_it_asks_for() -> None:
    seen = await look(node(sent(blockHash=None, blockNumber=None)))
    assert seen == SeenTransaction(
        state=TransactionState.PENDING,
        transfers=(Transfer(contract=TOKEN, to=VAULT, units=25),),
        calls_contract=False,
    )


async def test_a_failed_transfer_moved_nothing_and_still_says_what_it_asked_for() -> None:
    seen = await look(node(sent(), receipt(status="0x0")))
    assert seen is not None
    assert seen.state is TransactionState.REVERTED
    assert seen.transfers == (Transfer(contract=TOKEN, to=VAULT, units=25),)


async def test_coins_are_read_from_the_transaction_itself() -> None:
    seen = await look(node(sent(to="0x" + VAULT.hex(), value="0x64", input="0x"), receipt()))
    assert seen is not None
    assert seen.transfers == (Transfer(contract=None, to=VAULT, units=100),)
    assert not seen.calls_contract


async def test_a_transaction_that_creates_or_calls_a_contract_may_move_coins_unseen() -> None:
    crooked = TRANSFER_SELECTOR + b"\xff" * 12 + VAULT + (25).to_bytes(32, "big")
    for changes in (
        {"to": None, "input": "0x6000"},
        {"to": None, "input": "0x"},
        {"to": "0x" + OTHER.hex(), "input": "0xdeadbeef"},
        {"input": "0x" + crooked.hex()},
    ):
        seen = await look(node(sent(**changes), receipt()))
        assert seen is not None
        assert (seen.calls_contract, seen.transfers) == (True, ())


async def test_logs_that_only_resemble_a_transfer_are_no_money() -> None:
    crooked = "0x" + "ff" * 12 + VAULT.hex()
    seen = await look(
        node(
            sent(),
            receipt(
                log(topics=["0x" + TRANSFER_TOPIC.hex(), word(OTHER), word(VAULT), word(1)], data="0x"),
                log(topics=["0x" + TRANSFER_TOPIC.hex(), word(OTHER), crooked]),
                log(topics=["0x" + "00" * 32, word(OTHER), word(VAULT)]),
                log(topics=[]),
                log(units=0),
                log(data=word(1) + "00"),
            ),
        )
    )
    assert seen is not None
    assert seen.transfers == ()


async def test_a_transaction_that_no_node_knows_is_none() -> None:
    assert await look(node(None), node(None)) is None


async def test_one_node_that_knows_is_enough() -> None:
    seen = await look(node(None), node(sent(), receipt(log())))
    assert seen is not None
    assert seen.state is TransactionState.SUCCEEDED


async def test_a_node_that_answers_with_another_transaction_is_not_believed() -> None:
    other = "0x" + "cd" * 32
    with pytest.raises(NoEndpointAnswered):
        await look(node(sent(hash=other), receipt(log())))
    with pytest.raises(NoEndpointAnswered):
        await look(node(sent(), receipt(log(), transactionHash=other)))
    seen = await look(node(sent(hash=other)), node(sent(), receipt(log())))
    assert seen is not None


@pytest.mark.parametrize("wrong", ["junk", {"hash": "0x" + HASH.hex()}, sent(value="-1"), sent(input="0xabc"), 7])
async def test_an_unreadable_answer_is_a_fault_and_no_transaction(wrong: Any) -> None:
    with pytest.raises(NoEndpointAnswered):
        await look(node(wrong))


async def test_nodes_that_are_away_are_an_outage_and_not_an_unknown_transaction() -> None:
    silent = node(sent())
    silent.hang = True
    with pytest.raises(NoEndpointAnswered):
        await look(silent, timeout_s=0.2)
