"""Reading many blocks fast: fetched and proven in parallel, handed out strictly in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from itertools import islice

from openpay.chain.fetch import fetch_proven_block
from openpay.chain.headers import hashes_at
from openpay.chain.pool import Pool
from openpay.chain.proofs import ProvenBlock

HASHES_PER_REQUEST = 50
BLOCKS_IN_FLIGHT = 4
"""Enough to keep a processor busy over loopback; over the network about 30 blocks a second, as many as public nodes
allow and 15 times what the chain makes."""


async def read_blocks(
    pool: Pool, first: int, last: int, *, in_flight: int = BLOCKS_IN_FLIGHT
) -> AsyncGenerator[ProvenBlock]:
    """The blocks `first` to `last`, both included, in order, each proven, up to `in_flight` of them being fetched.

    Heights are turned into hashes first, and blocks asked for by hash: a lagging node answers a hash with an error and
    a height with another block. Whether neighbours link is for the caller to check: heights come from nodes whose
    chain may change while this runs. Raises `ChainUnavailable`; close the iterator to stop the fetching.
    """
    fetching: deque[_Fetch] = deque()
    try:
        async for block_hash in _hashes(pool, first, last):
            fetching.append(_Fetch(pool, block_hash))
            if len(fetching) >= in_flight:
                yield await _next(fetching)
        while fetching:
            yield await _next(fetching)
    finally:
        for each in fetching:
            each.task.cancel()
        await asyncio.gather(*(each.task for each in fetching), return_exceptions=True)


class _Fetch:
    """A block on its way. Once its answer is here it waits, as bytes, until it is its `turn` to be decoded."""

    def __init__(self, pool: Pool, block_hash: bytes) -> None:
        self.turn = asyncio.Event()
        self.task = asyncio.create_task(fetch_proven_block(pool, block_hash, turn=self.turn))


async def _next(fetching: deque[_Fetch]) -> ProvenBlock:
    """The oldest fetch's block. The one after it is decoded too, while the caller is busy with this one; more of them
    decoded at once would push each other out of the processor's cache."""
    for each in islice(fetching, 2):
        each.turn.set()
    return await fetching.popleft().task


async def _hashes(pool: Pool, first: int, last: int) -> AsyncIterator[bytes]:
    for start in range(first, last + 1, HASHES_PER_REQUEST):
        numbers = range(start, min(start + HASHES_PER_REQUEST, last + 1))
        for block_hash in await hashes_at(pool, numbers):
            yield block_hash
