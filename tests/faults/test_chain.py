"""The made chain is one that any reader accepts: its hashes, roots and blooms are what its contents give."""

from __future__ import annotations

from dataclasses import replace

import pytest

from openpay.chain.blocks import read_bytes, read_quantity
from openpay.chain.proofs import prove
from openpay.domain.chains import Chain, Token
from openpay.domain.deposit import Source
from openpay.domain.keccak import keccak
from tests.faults.chain import (
    Event,
    MadeBlock,
    Tree,
    Tx,
    batch_transfer,
    common_ancestor,
    internal_transfer,
    native_transfer,
    read_back,
    token_transfer,
)
from tests.support.anvil import Anvil
from watcher.matching import Matcher

TOKEN = b"\x55" * 20
ALICE, BOB = b"\xaa" * 20, b"\xbb" * 20
CHAIN = Chain(
    chain_id=56,
    name="made",
    escrow=b"\xee" * 20,
    tokens=(
        Token(symbol="USDT", asset_index=0, contract=TOKEN, decimals=18),
        Token(symbol="BNB", asset_index=1, contract=None, decimals=18),
    ),
)


def full_block() -> MadeBlock:
    """Everything that a transaction can be, on a chain of three blocks."""
    tree = Tree(chain_id=56)
    txs = [
        token_transfer(1, TOKEN, ALICE, 5),
        token_transfer(2, TOKEN, ALICE, 5, succeeds=False),
        native_transfer(3, ALICE, 7),
        native_transfer(4, ALICE, 7, succeeds=False),
        batch_transfer(5, [(TOKEN, ALICE, 1), (TOKEN, BOB, 2), (TOKEN, ALICE, 3)]),
        internal_transfer(6, BOB, 11),
    ]
    return tree.extend(tree.grow(tree.root, 2), txs)


def test_made_block_is_proven_by_the_watchers_own_proofs() -> None:
    block = full_block()
    proven = prove(*read_back(block), block_hash=block.hash, endpoint="made")
    assert proven.number == 3
    assert proven.parent_hash == block.ancestor(1).hash
    assert [proven.transaction_hash(index) for index in range(6)] == [block.transaction_hash(i) for i in range(6)]


def test_matching_finds_in_a_made_block_what_was_put_there() -> None:
    block = full_block()
    proven = prove(*read_back(block), block_hash=block.hash, endpoint="made")
    found = Matcher(CHAIN).match(proven, {ALICE: "pay_a", BOB: "pay_b"}).deposits
    assert sorted((each.payment_id, each.source, each.position, each.units) for each in found) == [
        ("pay_a", Source.LOG, 0, 5),
        ("pay_a", Source.LOG, 1, 1),
        ("pay_a", Source.LOG, 3, 3),
        ("pay_a", Source.TRANSACTION, 2, 7),
        ("pay_b", Source.LOG, 2, 2),
    ]
    assert block.coins == {ALICE: 7, BOB: 11}


def test_bloom_is_the_one_that_a_real_node_computes(anvil: Anvil) -> None:
    topic = keccak(b"any")
    # As a contract is created it logs one topic without data: PUSH32 topic, PUSH1 0, PUSH1 0, LOG1.
    creation = {"from": anvil.rpc("eth_accounts")[0], "data": f"0x7f{topic.hex()}60006000a1"}
    sent = anvil.rpc("eth_sendTransaction", creation)
    anvil.mine()
    receipt = anvil.rpc("eth_getTransactionReceipt", sent)
    contract = read_bytes(receipt["contractAddress"])
    tree = Tree(chain_id=56)
    made = tree.extend(
        tree.root, [Tx(serial=1, to=contract, events=(Event(contract=contract, topics=(topic,), data=b""),))]
    )
    assert made.header.logs_bloom == made.receipts[0].logs_bloom == receipt["logsBloom"]


def test_bloom_of_a_block_holds_that_of_every_receipt() -> None:
    block = full_block()
    bits = [read_quantity(receipt.logs_bloom) for receipt in block.receipts]
    assert read_quantity(block.header.logs_bloom) == bits[0] | bits[4]
    assert bits[1] == bits[2] == bits[5] == 0


def test_same_transaction_has_one_hash_in_every_branch() -> None:
    tree = Tree(chain_id=56)
    moved = token_transfer(1, TOKEN, ALICE, 5)
    left = tree.extend(tree.root, [moved])
    right = tree.extend(tree.extend(tree.root, salt=1), [moved])
    assert left.hash != right.hash
    assert left.transaction_hash(0) == right.transaction_hash(0)
    assert common_ancestor(left, right) is tree.root


@pytest.mark.parametrize("serial", range(20))
def test_serial_tells_transactions_apart(serial: int) -> None:
    tree = Tree(chain_id=56)
    first, second = (tree.extend(tree.root, [token_transfer(n, TOKEN, ALICE, 5)]) for n in (serial, serial + 1))
    assert first.transaction_hash(0) != second.transaction_hash(0)
    assert replace(first.txs[0], serial=second.txs[0].serial) != second.txs[0]  # the payer differs too
