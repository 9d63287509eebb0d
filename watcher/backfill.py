"""Reading many blocks fast: fetched and proven in parallel, handed out strictly in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial

from openpay.chain import reads
from openpay.chain.blocks import read_bytes, read_quantity
from openpay.chain.errors import BadAnswer
from openpay.chain.fetch import fetch_proven_block
from openpay.chain.pool import Pool
from openpay.chain.proofs import ProvenBlock, prove_header
from openpay.chain.rpc import Endpoint

HASHES_PER_REQUEST = 50
BLOCKS_IN_FLIGHT = 8
"""Each is up to a few MB while it waits for its turn."""


async def read_blocks(
    pool: Pool, first: int, last: int, *, in_flight: int = BLOCKS_IN_FLIGHT
) -> AsyncGenerator[ProvenBlock]:
    """The blocks `first` to `last`, both included, in order, each proven, up to `in_flight` of them being fetched.

    Heights are turned into hashes first, and blocks asked for by hash: a lagging node answers a hash with an error and
    a height with another block. Whether neighbours link is for the caller to check: heights come from nodes whose
    chain may change while this runs. Raises `ChainUnavailable`; close the iterator to stop the fetching.
    """
    fetching: deque[asyncio.Task[ProvenBlock]] = deque()
    try:
        async for block_hash in _hashes(pool, first, last):
            fetching.append(asyncio.create_task(fetch_proven_block(pool, block_hash)))
            if len(fetching) >= in_flight:
                yield await fetching.popleft()
        while fetching:
            yield await fetching.popleft()
    finally:
        for task in fetching:
            task.cancel()
        await asyncio.gather(*fetching, return_exceptions=True)


async def _hashes(pool: Pool, first: int, last: int) -> AsyncIterator[bytes]:
    for start in range(first, last + 1, HASHES_PER_REQUEST):
        numbers = range(start, min(start + HASHES_PER_REQUEST, last + 1))
        for block_hash in await pool.ask(partial(_hashes_at, numbers=numbers)):
            yield block_hash


async def _hashes_at(endpoint: Endpoint, *, numbers: range) -> list[bytes]:
    hashes = []
    for number, header in zip(numbers, await endpoint.batch([reads.header(n) for n in numbers]), strict=True):
        block_hash = read_bytes(header.hash)
        prove_header(header, block_hash=block_hash, endpoint=endpoint.name)
        if read_quantity(header.number) != number:
            raise BadAnswer(endpoint.name, f"asked for block {number}, answered with {read_quantity(header.number)}")
        hashes.append(block_hash)
    return hashes
