"""A few real blocks, mined by anvil, as nodes serve them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from openpay.chain.account import Account as Signer
from openpay.chain.blocks import Block, Receipt, read_bytes
from openpay.chain.proofs import ProvenBlock, prove
from tests.support.anvil import ACCOUNTS, Anvil

CHAIN_ID = 31337
FEES = {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**9}
STOP_CODE = "0x00"


@dataclass(frozen=True)
class Served:
    """A block as anvil serves it, as plain JSON."""

    block: dict[str, Any]
    receipts: list[dict[str, Any]]

    def prove(self) -> ProvenBlock:
        return prove(
            msgspec.convert(self.block, Block),
            msgspec.convert(self.receipts, tuple[Receipt, ...]),
            block_hash=self.hash,
            endpoint="test",
        )

    @property
    def hash(self) -> bytes:
        return read_bytes(self.block["hash"])


@dataclass(frozen=True)
class Chain:
    """A few blocks with everything in them that the proofs distinguish."""

    empty: Served
    all_types: Served
    many_logs: Served


def emit(topics: int, data_size: int) -> str:
    """EVM code that emits one log: topics 0x11…, and zeros as data."""
    pushes = "".join(f"60{0x10 + t:02x}" for t in range(topics, 0, -1))
    return f"{pushes}61{data_size:04x}6000{0xA0 + topics:02x}"


LOGS_OF_EVERY_SHAPE = "".join(emit(topics, size) for topics in range(5) for size in (0, 1, 32, 33, 300))
REVERT = "60006000fd"


def mine_chain(anvil: Anvil) -> Chain:
    """Mine one block of each kind."""
    anvil.rpc("evm_setAutomine", False)
    return Chain(
        empty=_mine(anvil),
        all_types=_mine(anvil, *_signed_transactions()),
        many_logs=_mine(anvil, *_log_transactions()),
    )


def _mine(anvil: Anvil, *signed: str) -> Served:
    for each in signed:
        anvil.rpc("eth_sendRawTransaction", each)
    anvil.mine()
    block = anvil.rpc("eth_getBlockByNumber", "latest", True)
    assert len(block["transactions"]) == len(signed)
    return Served(block, anvil.rpc("eth_getBlockReceipts", block["hash"]))


def _signed_transactions() -> list[str]:
    """One of each type, from one account, then a contract creation and a revert."""
    key, other = ACCOUNTS[0].private_key, ACCOUNTS[1]
    authority = Signer.from_key(other.private_key)
    authorization = authority.sign_authorization({"chainId": CHAIN_ID, "address": ACCOUNTS[2].address, "nonce": 0})
    item = {"address": ACCOUNTS[2].address, "storageKeys": ["0x" + "07" * 32, "0x" + "00" * 32]}
    plain = {"to": other.address, "value": 12345, "gas": 100_000, "chainId": CHAIN_ID}
    requests: list[dict[str, Any]] = [
        plain | {"gasPrice": 10**11},
        plain | {"gasPrice": 10**11, "accessList": [item], "type": 1},
        plain | FEES | {"data": "0x" + "5a" * 100},
        plain | FEES | {"authorizationList": [authorization], "value": 0},
        FEES | {"gas": 200_000, "data": STOP_CODE, "value": 0, "chainId": CHAIN_ID},
        FEES | {"gas": 200_000, "data": "0x" + REVERT, "value": 0, "chainId": CHAIN_ID},
    ]
    return [
        "0x" + bytes(Signer.sign_transaction(request | {"nonce": nonce}, key).raw_transaction).hex()
        for nonce, request in enumerate(requests)
    ]


def _log_transactions() -> list[str]:
    """150 transactions, so that keys of two bytes are among the trie's; every tenth emits logs of every shape."""
    key = ACCOUNTS[3].private_key
    return [
        "0x"
        + bytes(
            Signer.sign_transaction(
                FEES
                | {"gas": 150_000, "value": 0, "chainId": CHAIN_ID, "nonce": nonce}
                | {"data": "0x" + (LOGS_OF_EVERY_SHAPE if nonce % 10 == 0 else emit(3, 32) * 5)},
                key,
            ).raw_transaction
        ).hex()
        for nonce in range(150)
    ]
