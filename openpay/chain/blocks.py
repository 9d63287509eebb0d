"""Blocks as nodes serve them: the fields that the proofs hash, and no others.

Values stay the hex text of the answer, because the proofs need it as text and almost none of it is ever read.
What a block repeats for convenience (a log's transaction hash and index, a transaction's sender and hash, …) is not
decoded at all: nothing proves it, and a field that does not exist cannot mislead. Positions in the lists, which the
proofs do cover, take its place.

Hex text may come in either case; compare bytes (`read_bytes`), never text.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

# For what is read although no proof covers it. A text of another form makes the whole answer a bad one.
HexQuantity = Annotated[str, Meta(pattern=r"\A0x[0-9a-fA-F]{1,64}\Z")]
HexCount = Annotated[str, Meta(pattern=r"\A0x[0-9a-fA-F]{1,15}\Z")]
"""A height or a nonce: below 2^60, so that every database stores it."""
HexTime = Annotated[str, Meta(pattern=r"\A0x[0-9a-fA-F]{1,9}\Z")]
"""Unix seconds below 2^36, the year 4147, so that every date made from them can be written."""
HexBytes = Annotated[str, Meta(pattern=r"\A0x([0-9a-fA-F]{2})*\Z")]
HexAddress = Annotated[str, Meta(pattern=r"\A0x[0-9a-fA-F]{40}\Z")]
HexWord = Annotated[str, Meta(pattern=r"\A0x[0-9a-fA-F]{64}\Z")]


def read_quantity(text: str) -> int:
    """The number written as `0x…`. Cuts the prefix off unread, exactly as the proofs do."""
    return int(text[2:], 16)


def read_bytes(text: str) -> bytes:
    """The bytes written as `0x…`. Cuts the prefix off unread, exactly as the proofs do."""
    return bytes.fromhex(text[2:])


class Log(Struct, frozen=True, gc=False):
    """One event. `topics` are 0 to 4 words."""

    address: str
    topics: tuple[str, ...]
    data: str


class Receipt(Struct, frozen=True, gc=False, rename="camel"):
    """The outcome of one transaction (EIP-658, EIP-2718). `status`: `0x1` it succeeded, `0x0` it reverted."""

    status: str
    cumulative_gas_used: str
    logs_bloom: str
    logs: tuple[Log, ...]
    type: str = "0x0"


class AccessListItem(Struct, frozen=True, gc=False, rename="camel"):
    """EIP-2930."""

    address: str
    storage_keys: tuple[str, ...]


class Authorization(Struct, frozen=True, gc=False, rename="camel"):
    """EIP-7702."""

    chain_id: str
    address: str
    nonce: str
    y_parity: str
    r: str
    s: str


class Transaction(Struct, frozen=True, gc=False, rename="camel"):
    """A signed transaction of any known type: 0 legacy, 1 EIP-2930, 2 EIP-1559, 3 EIP-4844, 4 EIP-7702.

    Only the fields of its own type are hashed, and so proven. `to` is None when it creates a contract. The sender is
    recovered from the signature (`openpay.chain.sender`).
    """

    nonce: HexCount
    gas: str
    value: str
    input: str
    r: str
    s: str
    v: str | None = None
    y_parity: str | None = None
    to: str | None = None
    type: str = "0x0"
    chain_id: str | None = None
    gas_price: str | None = None
    max_priority_fee_per_gas: str | None = None
    max_fee_per_gas: str | None = None
    access_list: tuple[AccessListItem, ...] = ()
    max_fee_per_blob_gas: str | None = None
    blob_versioned_hashes: tuple[str, ...] = ()
    authorization_list: tuple[Authorization, ...] = ()

    @property
    def signature_parity(self) -> str | None:
        """What the signature's first field holds: typed transactions serve `yParity`, its older name `v`, or both."""
        return self.v if self.type == "0x0" or self.y_parity is None else self.y_parity


class Header(Struct, frozen=True, gc=False, rename="camel", kw_only=True):
    """A block header. The optional fields came in this order: London, Shanghai, Cancun (three), Prague.

    `hash` is the node's claim, and the one field here that is not hashed.
    """

    hash: HexWord
    parent_hash: HexWord
    sha3_uncles: str
    miner: str
    state_root: str
    transactions_root: str
    receipts_root: str
    logs_bloom: str
    difficulty: str
    number: HexCount
    gas_limit: str
    gas_used: str
    timestamp: HexTime
    extra_data: str
    mix_hash: str
    nonce: str
    base_fee_per_gas: str | None = None
    withdrawals_root: str | None = None
    blob_gas_used: str | None = None
    excess_blob_gas: str | None = None
    parent_beacon_block_root: str | None = None
    requests_hash: str | None = None


class Block(Header, frozen=True, gc=False, rename="camel", kw_only=True):
    """A header with its full transactions, as `eth_getBlockByHash(hash, true)` answers."""

    transactions: tuple[Transaction, ...]
