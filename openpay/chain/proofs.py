"""Proofs that a block is whole: nothing left out, added, reordered or altered.

A header's hash covers the roots of its transactions and receipts, so a block that was asked for by hash and
recomputes to that hash is exactly the block that the network agreed on under it. A proof shows that a block is whole,
not that it is part of the chain: linking parents and asking a second host show that.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from openpay.chain import encoding
from openpay.chain.blocks import Block, Header, Receipt, Transaction, read_bytes, read_quantity
from openpay.chain.errors import ProofFailed
from openpay.chain.sender import recover_sender
from openpay.chain.trie import index_trie_root
from openpay.domain.keccak import keccak


@dataclass(frozen=True, kw_only=True)
class ProvenBlock:
    """A block whose every field here follows from its hash. Only `prove` makes one.

    Transaction i has receipt i; a log's index counts the logs of the block from 0.
    """

    hash: bytes
    header: Header
    transactions: tuple[Transaction, ...]
    receipts: tuple[Receipt, ...]

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
        """The hash of transaction `index`, computed: the one a node serves beside it is proven by nothing."""
        return keccak(unhexlify(encoding.transaction(self.transactions[index])))

    def sender(self, index: int) -> bytes | None:
        """The 20-byte address that signed transaction `index`, recovered from its signature; None if it fits no key."""
        return recover_sender(self.transactions[index])


def prove(block: Block, receipts: Sequence[Receipt], *, block_hash: bytes, endpoint: str) -> ProvenBlock:
    """Return `block` as proven to be the one with `block_hash`; raise `ProofFailed` otherwise, naming `endpoint`."""
    # The header first: the roots below are worth comparing with only once they are proven themselves.
    prove_header(block, block_hash=block_hash, endpoint=endpoint)
    check = partial(_check, block, endpoint=endpoint)
    check(
        "transactions root",
        expected=read_bytes(block.transactions_root),
        compute=lambda: index_trie_root(map(encoding.transaction, block.transactions), count=len(block.transactions)),
    )
    check(
        "receipts root",
        expected=read_bytes(block.receipts_root),
        compute=lambda: index_trie_root(map(encoding.receipt, receipts), count=len(receipts)),
    )
    return ProvenBlock(hash=block_hash, header=block, transactions=block.transactions, receipts=tuple(receipts))


def prove_header(header: Header, *, block_hash: bytes, endpoint: str) -> None:
    """Raise `ProofFailed`, naming `endpoint`, unless the header's fields hash to `block_hash`."""
    _check(
        header,
        "header hash",
        expected=block_hash,
        compute=lambda: keccak(unhexlify(encoding.header(header))),
        endpoint=endpoint,
    )


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
