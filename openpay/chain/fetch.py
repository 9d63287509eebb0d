"""Fetching a block whole, with its proof."""

from __future__ import annotations

import asyncio

from openpay.chain import reads
from openpay.chain.pool import Pool
from openpay.chain.proofs import ProvenBlock, prove
from openpay.chain.rpc import Endpoint


async def fetch_proven_block(pool: Pool, block_hash: bytes, *, turn: asyncio.Event | None = None) -> ProvenBlock:
    """The block with `block_hash` from whichever endpoint can prove it, in one request.

    With `turn`, it is fetched at once but decoded and proven only when that is set. Raises `NoEndpointAnswered`, with a
    `ProofFailed` among its faults when an endpoint's block was not whole.
    """

    async def fetch(endpoint: Endpoint) -> ProvenBlock:
        block, receipts = await endpoint.batch([reads.block(block_hash), reads.receipts(block_hash)], turn=turn)
        return prove(block, receipts, block_hash=block_hash, endpoint=endpoint.name)

    return await pool.ask(fetch)
