"""Proofs that a block is whole: nothing left out, added, reordered or altered.

A header's hash covers the roots of its transactions and receipts, so a block that was asked for by hash and
recomputes to that hash is exactly the block that the network agreed on under it. A proof shows that a block is whole,
not that it is part of the chain: linking parents and asking a second host show that.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from openpay.chain import encoding
from openpay.chain.blocks import Block, Header, Log, Receipt, Transaction, read_bytes, read_quantity
from openpay.chain.bloom import logs_bloom
from openpay.chain.errors import Part, ProofFailed
from openpay.chain.sender import recover_sender
from openpay.chain.trie import index_trie_root
from openpay.domain.keccak import keccak

_SUCCESS = 1
HEADER_HASH, TRANSACTIONS_ROOT = "header hash", "transactions root"
"""What `ProofFailed.what` says where a block fails before its receipts are looked at."""

NOT_UNDERSTOOD = Transaction(nonce="0x0", gas="0x0", value="0x0", input="0x", r="0x0", s="0x0", type="")
"""Stands for a transaction of a type that came after this was written: nothing is read from its fields."""


class Basis(StrEnum):
    """Why a block is believed."""

    PROVEN = "proven"
    AGREED = "agreed"
    """Hosts say the same of at least a part of it, and that part proves nowhere."""


@dataclass(frozen=True, kw_only=True)
class ProvenBlock:
    """A block whose every field here follows from its hash, apart from what is named in `agreed`.

    Transaction i has receipt i; a log's index counts the logs of the block from 0. Made by `prove`, and by
    `openpay.chain.fallback` for a block that no endpoint can prove.
    """

    hash: bytes
    header: Header
    transactions: tuple[Transaction, ...]
    receipts: tuple[Receipt, ...]
    agreed: frozenset[Part] = frozenset()
    """What hosts agree on instead of a proof. With `Part.LOGS` only the logs of `receipts` are known."""
    listed_hashes: tuple[bytes, ...] = ()
    """Of all transactions, as hosts agree on them: empty where every one is understood, and its hash computed."""
    outcomes: Mapping[int, bool] = field(default_factory=dict)
    """With `Part.LOGS`: whether a transaction succeeded, of those that hosts were asked about."""

    @property
    def basis(self) -> Basis:
        return Basis.AGREED if self.agreed else Basis.PROVEN

    @cached_property
    def parent_hash(self) -> bytes:
        return read_bytes(self.header.parent_hash)

    @cached_property
    def number(self) -> int:
        return read_quantity(self.header.number)

    @cached_property
    def timestamp(self) -> int:
        """Block time in Unix seconds."""
        return read_quantity(self.header.timestamp)

    def transaction_hash(self, index: int) -> bytes:
        """The hash of transaction `index`, computed: the one a node serves beside it is proven by nothing.

        Only that of a transaction which is not understood is the one that hosts list.
        """
        if not self._is_understood(index):
            return self.listed_hashes[index]
        return transaction_hash(self.transactions[index])

    def sender(self, index: int) -> bytes | None:
        """The 20-byte address that signed transaction `index`, recovered from its signature; None if it fits no key,
        or the transaction is not understood."""
        if not self._is_understood(index):
            return None
        return recover_sender(self.transactions[index])

    def sender_nonce(self, index: int) -> int | None:
        """The nonce of transaction `index`; None if that is not understood."""
        if not self._is_understood(index):
            return None
        return read_quantity(self.transactions[index].nonce)

    def succeeded(self, index: int) -> bool:
        """Whether transaction `index` was carried out, as opposed to reverted.

        Raises `KeyError` for a block whose receipts are not known, if hosts were not asked for this transaction's.
        """
        if Part.LOGS in self.agreed:
            return self.outcomes[index]
        return read_quantity(self.receipts[index].status) == _SUCCESS

    def _is_understood(self, index: int) -> bool:
        return self.transactions[index].type != NOT_UNDERSTOOD.type


def prove(block: Block, receipts: Sequence[Receipt], *, block_hash: bytes, endpoint: str) -> ProvenBlock:
    """Return `block` as proven to be the one with `block_hash`; raise `ProofFailed` otherwise, naming `endpoint`."""
    # The header first: the roots below are worth comparing with only once they are proven themselves.
    prove_header(block, block_hash=block_hash, endpoint=endpoint)
    prove_transactions(block, block.transactions, endpoint=endpoint)
    prove_receipts(block, receipts, endpoint=endpoint)
    if len(receipts) != len(block.transactions):
        # No chain has such a block, but nothing in its hash keeps a node from inventing one.
        raise ProofFailed(
            "number of receipts",
            expected=str(len(block.transactions)),
            got=str(len(receipts)),
            block=block.number,
            endpoint=endpoint,
        )
    return ProvenBlock(hash=block_hash, header=block, transactions=block.transactions, receipts=tuple(receipts))


def prove_header(header: Header, *, block_hash: bytes, endpoint: str) -> None:
    """Raise `ProofFailed`, naming `endpoint`, unless the header's fields hash to `block_hash`."""
    _check(
        header,
        HEADER_HASH,
        expected=block_hash,
        compute=lambda: keccak(unhexlify(encoding.header(header))),
        endpoint=endpoint,
    )


def prove_transactions(header: Header, transactions: Sequence[Transaction], *, endpoint: str) -> None:
    """Raise `ProofFailed`, naming `endpoint`, unless these are all transactions under `header`, in their order."""
    _check(
        header,
        TRANSACTIONS_ROOT,
        expected=read_bytes(header.transactions_root),
        compute=lambda: index_trie_root(map(encoding.transaction, transactions), count=len(transactions)),
        endpoint=endpoint,
    )


def prove_receipts(header: Header, receipts: Sequence[Receipt], *, endpoint: str) -> None:
    """Raise `ProofFailed`, naming `endpoint`, unless these are all receipts under `header`, in their order."""
    _check(
        header,
        "receipts root",
        expected=read_bytes(header.receipts_root),
        compute=lambda: index_trie_root(map(encoding.receipt, receipts), count=len(receipts)),
        endpoint=endpoint,
    )


def prove_logs(header: Header, logs: Iterable[Log], *, endpoint: str) -> None:
    """Raise `ProofFailed`, naming `endpoint`, unless `logs` set the very bits of the header's bloom filter.

    Weaker than a root: a log whose bits others set too may be missing.
    """
    _check(
        header,
        "logs bloom",
        expected=read_bytes(header.logs_bloom),
        compute=lambda: logs_bloom(logs),
        endpoint=endpoint,
    )


def transaction_hash(transaction: Transaction) -> bytes:
    """The 32-byte hash that follows from the fields. Raises `ValueError` when they cannot be encoded."""
    return keccak(unhexlify(encoding.transaction(transaction)))


def _check(header: Header, what: str, *, expected: bytes, compute: Callable[[], bytes], endpoint: str) -> None:
    try:
        computed = compute()
    except ValueError as error:
        raise ProofFailed(
            what, expected=expected.hex(), got=str(error), block=header.number[:20], endpoint=endpoint
        ) from error
    if computed != expected:
        raise ProofFailed(
            what, expected=expected.hex(), got=computed.hex(), block=header.number[:20], endpoint=endpoint
        )
