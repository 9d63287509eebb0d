"""A block as it travels: the one answer that holds its header, its transactions and their receipts."""

from __future__ import annotations

from typing import Any

from openpay.chain import reads
from openpay.chain.proofs import ProvenBlock, prove
from openpay.chain.rpc import Call, decode


def body_calls(block_hash: bytes) -> list[Call[Any]]:
    """The calls whose answer, in one batch, is the block's body."""
    return [reads.block(block_hash), reads.receipts(block_hash)]


def read_body(body: bytes, *, block_hash: bytes, endpoint: str) -> ProvenBlock:
    """The block in `body`, proven. Raises `EndpointFault`, naming `endpoint`, or `JsonRpcError`."""
    block, receipts = decode(body, body_calls(block_hash), endpoint=endpoint)
    return prove(block, receipts, block_hash=block_hash, endpoint=endpoint)
