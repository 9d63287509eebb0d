"""Real blocks prove whole, and whatever a node could change about them is caught."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from openpay.chain import encoding
from openpay.chain.account import Account as Signer
from openpay.chain.blocks import Header, Transaction, read_bytes
from openpay.chain.errors import ProofFailed
from openpay.chain.sender import recover_sender
from openpay.chain.trie import index_trie_root
from openpay.domain.keccak import keccak
from tests.chain.real_blocks import Chain, Served
from tests.support.anvil import ACCOUNTS


def test_empty_block_is_proven(chain: Chain) -> None:
    proven = chain.empty.prove()
    assert (proven.transactions, proven.receipts) == ((), ())


def test_block_with_every_transaction_type_is_proven(chain: Chain) -> None:
    proven = chain.all_types.prove()
    assert [t.type for t in proven.transactions] == ["0x0", "0x1", "0x2", "0x4", "0x2", "0x2"]
    assert [r.status for r in proven.receipts] == ["0x1"] * 5 + ["0x0"]


def test_block_with_logs_of_every_shape_is_proven(chain: Chain) -> None:
    proven = chain.many_logs.prove()
    assert sum(len(r.logs) for r in proven.receipts) == 15 * 25 + 135 * 5


def test_proven_block_knows_its_place(chain: Chain) -> None:
    proven, served = chain.all_types.prove(), chain.all_types.block
    assert proven.number == int(served["number"], 16)
    assert proven.timestamp == int(served["timestamp"], 16)
    assert proven.hash == read_bytes(served["hash"])
    assert proven.parent_hash == read_bytes(served["parentHash"]) == chain.empty.hash


def test_transaction_hashes_are_computed(chain: Chain) -> None:
    proven = chain.all_types.prove()
    served = [read_bytes(t["hash"]) for t in chain.all_types.block["transactions"]]
    assert [proven.transaction_hash(i) for i in range(len(served))] == served


def test_senders_are_recovered_from_signatures_of_every_type(chain: Chain) -> None:
    proven = chain.all_types.prove()
    assert {proven.sender(i) for i in range(6)} == {read_bytes(ACCOUNTS[0].address)}


def test_sender_of_a_legacy_transaction_without_replay_protection_is_recovered() -> None:
    signed = Signer.sign_transaction(
        {"to": ACCOUNTS[1].address, "value": 1, "gas": 21_000, "gasPrice": 10**9, "nonce": 0}, ACCOUNTS[0].private_key
    )
    transaction = Transaction(
        nonce="0x0",
        gas=hex(21_000),
        gas_price=hex(10**9),
        to=ACCOUNTS[1].address,
        value="0x1",
        input="0x",
        v=hex(signed.v),
        r=hex(signed.r),
        s=hex(signed.s),
    )
    assert signed.v in (27, 28)
    assert recover_sender(transaction) == read_bytes(ACCOUNTS[0].address)


def test_what_a_node_merely_adds_is_not_even_read(chain: Chain) -> None:
    served = copy.deepcopy(chain.many_logs)
    for transaction, receipt in zip(served.block["transactions"], served.receipts, strict=True):
        transaction |= {"from": ACCOUNTS[4].address, "hash": "0x" + "66" * 32, "transactionIndex": "0x99"}
        receipt |= {"from": ACCOUNTS[4].address, "transactionHash": "0x" + "66" * 32, "blockHash": "0x" + "66" * 32}
        for log in receipt["logs"]:
            log |= {"logIndex": "0x0", "transactionHash": "0x" + "66" * 32, "transactionIndex": "0x0"}
    assert served.prove() == chain.many_logs.prove()


Tamper = Callable[[dict[str, Any], list[dict[str, Any]]], object]


def _swap(items: list[Any], i: int, j: int) -> None:
    items[i], items[j] = items[j], items[i]


TAMPERINGS: dict[str, tuple[str, Tamper]] = {
    "log left out": ("receipts root", lambda b, r: r[3]["logs"].pop()),
    "log added": ("receipts root", lambda b, r: r[3]["logs"].append(copy.deepcopy(r[3]["logs"][0]))),
    "log moved to another transaction": ("receipts root", lambda b, r: r[4]["logs"].append(r[3]["logs"].pop())),
    "logs reordered": ("receipts root", lambda b, r: r[0]["logs"].reverse()),
    "log of another contract": ("receipts root", lambda b, r: r[3]["logs"][0].update(address="0x" + "12" * 20)),
    "topic changed": ("receipts root", lambda b, r: r[3]["logs"][0]["topics"].__setitem__(2, "0x" + "12" * 32)),
    "amount changed": ("receipts root", lambda b, r: r[3]["logs"][0].update(data="0x" + "12" * 32)),
    "status swapped": ("receipts root", lambda b, r: r[3].update(status="0x0")),
    "receipt left out": ("receipts root", lambda b, r: r.pop()),
    "all receipts left out": ("receipts root", lambda b, r: r.clear()),
    "receipts reordered": ("receipts root", lambda b, r: _swap(r, 0, 1)),
    "receipt type changed": ("receipts root", lambda b, r: r[3].update(type="0x1")),
    "receipt type unknown": ("receipts root", lambda b, r: r[3].update(type="0x7e")),
    "log data not hex": ("receipts root", lambda b, r: r[3]["logs"][0].update(data="0x" + "  " * 32)),
    "transaction left out": ("transactions root", lambda b, r: b["transactions"].pop()),
    "all transactions left out": ("transactions root", lambda b, r: b["transactions"].clear()),
    "transactions reordered": ("transactions root", lambda b, r: _swap(b["transactions"], 5, 6)),
    "value changed": ("transactions root", lambda b, r: b["transactions"][3].update(value="0x1")),
    "recipient changed": ("transactions root", lambda b, r: b["transactions"][3].update(to="0x" + "12" * 20)),
    "input changed": ("transactions root", lambda b, r: b["transactions"][3].update(input="0x12")),
    "transaction type changed": ("transactions root", lambda b, r: b["transactions"][3].update(type="0x3")),
    "transaction type unknown": ("transactions root", lambda b, r: b["transactions"][3].update(type="0x7e")),
    "parent changed": ("header hash", lambda b, r: b.update(parentHash="0x" + "12" * 32)),
    "number changed": ("header hash", lambda b, r: b.update(number="0x12")),
    "time changed": ("header hash", lambda b, r: b.update(timestamp="0x12")),
    "gas not a number": ("header hash", lambda b, r: b.update(gasUsed="soon")),
    "both roots changed": ("header hash", lambda b, r: b.update(receiptsRoot=b["transactionsRoot"])),
    "header field left out": ("header hash", lambda b, r: b.pop("requestsHash")),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampered_block_is_caught(chain: Chain, name: str) -> None:
    what, tamper = TAMPERINGS[name]
    served = copy.deepcopy(chain.many_logs)
    tamper(served.block, served.receipts)
    with pytest.raises(ProofFailed) as caught:
        served.prove()
    assert caught.value.what == what


def test_header_of_another_fork_is_caught(chain: Chain) -> None:
    mixed = Served({**chain.empty.block, "hash": chain.all_types.block["hash"]}, chain.all_types.receipts)
    with pytest.raises(ProofFailed) as caught:
        mixed.prove()
    assert caught.value.what == "header hash"
    assert caught.value.expected == chain.all_types.hash.hex()
    assert caught.value.got == chain.empty.hash.hex()


def test_receipts_of_another_block_are_caught(chain: Chain) -> None:
    with pytest.raises(ProofFailed):
        Served(chain.empty.block, chain.all_types.receipts).prove()


def test_block_with_another_number_of_receipts_than_transactions_is_caught(chain: Chain) -> None:
    """Nothing in a header keeps a node from inventing one."""
    sent = chain.all_types.block["transactions"]
    root = index_trie_root([encoding.transaction(msgspec.convert(each, Transaction)) for each in sent], count=len(sent))
    block = {**chain.empty.block, "transactions": sent, "transactionsRoot": "0x" + root.hex()}
    block["hash"] = "0x" + keccak(bytes.fromhex(encoding.header(msgspec.convert(block, Header)))).hex()
    with pytest.raises(ProofFailed, match="number of receipts should be 6, is 0"):
        Served(block, []).prove()
