"""The local chain's clock, for development."""

from __future__ import annotations

import time

from openpay.chain import reads
from openpay.chain.blocks import read_quantity
from openpay.chain.pool import Pool


class ChainClock:
    """The chain's own time: its newest block's, moving on with the server's between blocks.

    With it `evm_increaseTime` moves everything, and a scenario of hours runs in seconds. Never behind a block it saw.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._block_time = 0
        self._seen_at = time.monotonic()

    def now(self) -> int:
        return self._block_time + int(time.monotonic() - self._seen_at)

    async def refresh(self) -> None:
        """Look at the newest block. Raises `ChainUnavailable`."""
        block_time = read_quantity((await self._pool.call(reads.header("latest"))).timestamp)
        if block_time != self._block_time:
            self._block_time, self._seen_at = block_time, time.monotonic()
