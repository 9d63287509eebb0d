"""The questions Open Pay asks a node, each with the type of its answer.

A block is named by its number, its 32-byte hash, or a tag (`latest`, `finalized`, …). State read by hash (EIP-1898) is
refused by a node that does not have that block, where a number would silently be answered for another one.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from openpay.chain.blocks import Block, Header, HexAddress, HexBytes, HexCount, HexQuantity, HexWord, Receipt
from openpay.chain.rpc import Call

Tag = Literal["latest", "pending", "safe", "finalized", "earliest"]
BlockName = int | bytes | Tag

RECEIPTS = "eth_getBlockReceipts"
"""Not every provider offers it."""


class MinedReceipt(Struct, frozen=True, gc=False, rename="camel"):
    """What a node says of one mined transaction. Nothing proves it: fit for showing, not for deciding about money."""

    block_hash: HexWord
    block_number: HexCount
    status: HexQuantity
    gas_used: HexQuantity


class KnownTransaction(Struct, frozen=True, gc=False, rename="camel"):
    """Where a node says that a transaction is; `block_hash` is None while it waits in the pool."""

    nonce: HexCount
    block_hash: HexWord | None = None
    block_number: HexCount | None = None


class SentTransaction(Struct, frozen=True, gc=False, rename="camel"):
    """What a node says that a transaction asks for; `block_hash` as in `KnownTransaction`, `to` None when it creates a
    contract."""

    hash: HexWord
    value: HexQuantity
    input: HexBytes
    to: HexAddress | None = None
    block_hash: HexWord | None = None


class ReceiptLog(Struct, frozen=True, gc=False):
    """A log within its transaction's receipt. Nothing proves it."""

    address: HexAddress
    topics: tuple[HexWord, ...]
    data: HexBytes


class ReceiptWithLogs(Struct, frozen=True, gc=False, rename="camel"):
    """Like `MinedReceipt`, with what the transaction logged."""

    transaction_hash: HexWord
    block_hash: HexWord
    block_number: HexCount
    status: HexQuantity
    logs: tuple[ReceiptLog, ...]


class ListedTransactions(Struct, frozen=True, gc=False):
    """A block that names its transactions only."""

    hash: HexWord
    transactions: tuple[HexWord, ...]


class ServedLog(Struct, frozen=True, gc=False, rename="camel"):
    """A log beside its place in the block. Nothing proves it."""

    address: HexAddress
    topics: tuple[HexWord, ...]
    data: HexBytes
    block_hash: HexWord
    transaction_index: HexCount
    log_index: HexCount


def chain_id() -> Call[str]:
    return Call(HexQuantity, "eth_chainId")


def newest_height() -> Call[str]:
    """The number of the node's newest block."""
    return Call(HexCount, "eth_blockNumber")


def header(block: int | Tag) -> Call[Header]:
    """The header at a height, or under a tag. Its `hash` is the node's claim."""
    return Call(Header, "eth_getBlockByNumber", (_number_or_tag(block), False))


def header_by_hash(block_hash: bytes) -> Call[Header]:
    return Call(Header, "eth_getBlockByHash", (hex_text(block_hash), False))


def served_header(block_hash: bytes) -> Call[dict[str, object]]:
    """Like `header_by_hash`, with every field that the node serves."""
    return Call(dict[str, object], "eth_getBlockByHash", (hex_text(block_hash), False))


def served_block(block_hash: bytes) -> Call[dict[str, object]]:
    """Like `block`, with every field that the node serves."""
    return Call(dict[str, object], "eth_getBlockByHash", (hex_text(block_hash), True))


def block(block_hash: bytes) -> Call[Block]:
    """The header with all transactions. Asked by hash: a lagging node answers a number with another block."""
    return Call(Block, "eth_getBlockByHash", (hex_text(block_hash), True))


def transaction_hashes(block_hash: bytes) -> Call[ListedTransactions]:
    """The hashes of a block's transactions, as the node lists them."""
    return Call(ListedTransactions, "eth_getBlockByHash", (hex_text(block_hash), False))


def logs(block_hash: bytes) -> Call[tuple[ServedLog, ...]]:
    """The logs of one block. Asked by hash: a lagging node answers a range with none, a hash with an error."""
    return Call(tuple[ServedLog, ...], "eth_getLogs", ({"blockHash": hex_text(block_hash)},))


def receipts(block_hash: bytes) -> Call[tuple[Receipt, ...]]:
    return Call(tuple[Receipt, ...], RECEIPTS, (hex_text(block_hash),))


def balance(address: bytes, at: BlockName) -> Call[str]:
    """Wei, as a quantity."""
    return Call(HexQuantity, "eth_getBalance", (hex_text(address), state_at(at)))


def code(address: bytes, at: BlockName) -> Call[str]:
    return Call(HexBytes, "eth_getCode", (hex_text(address), state_at(at)))


def transaction_count(address: bytes, at: BlockName) -> Call[str]:
    """The next nonce; at `pending` it counts what waits in the node's pool."""
    return Call(HexQuantity, "eth_getTransactionCount", (hex_text(address), state_at(at)))


def gas_price() -> Call[str]:
    return Call(HexQuantity, "eth_gasPrice")


def eth_call(*, to: bytes | None, data: bytes, at: BlockName, sender: bytes | None = None) -> Call[str]:
    """Run a call without a transaction. With `to` None, `data` is creation code whose return value is the answer."""
    request = {"data": hex_text(data)}
    if to is not None:
        request["to"] = hex_text(to)
    if sender is not None:
        request["from"] = hex_text(sender)
    return Call(HexBytes, "eth_call", (request, state_at(at)))


def send_raw_transaction(signed: bytes) -> Call[str]:
    """Answers the transaction's hash."""
    return Call(HexWord, "eth_sendRawTransaction", (hex_text(signed),))


def transaction(transaction_hash: bytes) -> Call[KnownTransaction]:
    return Call(KnownTransaction, "eth_getTransactionByHash", (hex_text(transaction_hash),))


def transaction_receipt(transaction_hash: bytes) -> Call[MinedReceipt]:
    return Call(MinedReceipt, "eth_getTransactionReceipt", (hex_text(transaction_hash),))


def sent_transaction(transaction_hash: bytes) -> Call[SentTransaction]:
    """What it asks for. Of one that waits in the pool too, where the node has heard of it."""
    return Call(SentTransaction, "eth_getTransactionByHash", (hex_text(transaction_hash),))


def receipt_with_logs(transaction_hash: bytes) -> Call[ReceiptWithLogs]:
    """Once it is mined; `null` before."""
    return Call(ReceiptWithLogs, "eth_getTransactionReceipt", (hex_text(transaction_hash),))


def hex_text(data: bytes) -> str:
    return "0x" + data.hex()


def state_at(at: BlockName) -> object:
    """The block parameter of calls that read state."""
    if isinstance(at, bytes):
        return {"blockHash": hex_text(at), "requireCanonical": True}
    return _number_or_tag(at)


def _number_or_tag(block: int | Tag) -> str:
    return hex(block) if isinstance(block, int) else block
