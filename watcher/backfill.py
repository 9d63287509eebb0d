"""Reading many blocks fast: fetched and proven in parallel, handed out strictly in order, in bounded memory."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Container
from contextlib import aclosing
from dataclasses import dataclass, field

from openpay.chain.blocks import read_bytes
from openpay.chain.bodies import body_calls, read_body
from openpay.chain.digest import DigestedBlock
from openpay.chain.errors import Throttled, TimedOut
from openpay.chain.fetch import fetch_block_with
from openpay.chain.headers import hashes_at, lineage
from openpay.chain.pool import Pool
from openpay.chain.proofs import ProvenBlock
from openpay.chain.provers import Provers
from openpay.chain.rpc import Endpoint
from watcher.flight import Flight
from watcher.local_chain import Link

ReadBlock = ProvenBlock | DigestedBlock

HASHES_PER_REQUEST = 50
READ_AHEAD_BYTES = 32 * 2**20
"""How much of blocks may be here, or on its way, before it is handed out."""
MOST_AHEAD = 100
"""Blocks that were fetched, or are being fetched, before they are handed out: while two transactions' worth of them
waits, those that let go of their bodies take next to nothing."""
_USUAL_BYTES = 2**20
_REMEMBERED = 32
"""Blocks, of which the largest body tells what the next one may take."""
WHOLE_TIMES = 4
"""How many times its body a block takes that is read whole."""


@dataclass(eq=False, kw_only=True)
class _Ahead:
    """A block on its way. `size` is how many bytes it takes now, None until its body has come."""

    task: asyncio.Task[ReadBlock] = field(init=False)
    size: int | None = None


class Backfill:
    """Reads ranges of blocks from the pool, with as many in flight as is worth it and fits.

    With `provers` blocks are digested, without they are read whole. The bodies of those that do not concern `watched`
    are let go, which is nearly all; without `watched` they are kept. One range at a time; what it learns about speed
    and sizes is kept from one range to the next. `clock` is monotonic seconds.
    """

    def __init__(
        self,
        pool: Pool,
        provers: Provers | None = None,
        *,
        watched: Container[bytes] | None = None,
        flight: Flight | None = None,
        budget_bytes: int = READ_AHEAD_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._provers = provers
        self._watched = watched
        self._flight = flight or Flight()
        self._budget_bytes = budget_bytes
        self._clock = clock
        self._sizes: deque[int] = deque([_USUAL_BYTES], maxlen=_REMEMBERED)
        self._troubled = False

    @property
    def in_flight(self) -> int:
        """How many blocks are fetched at once at present, as far as memory allows."""
        return self._flight.size

    def weigh(self, block: ReadBlock) -> int:
        """The bytes that a block takes which was read. Of one that was read whole the body is gone, and taken to be as
        large as any of late."""
        if isinstance(block, ProvenBlock):
            return WHOLE_TIMES * max(self._sizes)
        return 0 if block.body is None else len(block.body)

    async def blocks(self, first: int, last: int, *, head: Link | None = None) -> AsyncGenerator[ReadBlock]:
        """The blocks `first` to `last`, both included, in order, each proven (or agreed on by hosts, where that is all
        that can be had).

        Heights are turned into hashes first, and blocks asked for by hash: a lagging node answers a hash with an error
        and a height with another block. `head` is the newest block, where it is known: what is read up to it is its own
        branch. Whether neighbours link is for the caller to check: heights come from nodes whose chain may change while
        this runs. Raises `ChainUnavailable`; close the iterator to stop fetching.
        """
        ahead: deque[_Ahead] = deque()
        started: asyncio.Queue[_Ahead | None] = asyncio.Queue()
        moved = asyncio.Event()
        filling = asyncio.create_task(self._fill(ahead, started, moved, _hashes(self._pool, first, last, head)))
        handed_out, began_at = 0, self._clock()
        try:
            while (oldest := await started.get()) is not None:
                yield await oldest.task
                ahead.popleft()
                moved.set()
                handed_out += 1
                if handed_out == self._flight.window:
                    now = self._clock()
                    self._adapt(handed_out / max(now - began_at, 1e-6))
                    handed_out, began_at = 0, now
            await filling
        finally:
            filling.cancel()
            for each in ahead:
                each.task.cancel()
            await asyncio.gather(filling, *(each.task for each in ahead), return_exceptions=True)

    async def _fill(
        self,
        ahead: deque[_Ahead],
        started: asyncio.Queue[_Ahead | None],
        moved: asyncio.Event,
        wanted: AsyncGenerator[bytes],
    ) -> None:
        """Fetch on, also while whoever reads is busy with what there is: as long as there is room. None ends the queue,
        whatever else does. `moved` is set when there may be room again."""
        try:
            async with aclosing(wanted) as hashes:
                async for block_hash in hashes:
                    while not self._has_room(ahead):
                        moved.clear()
                        await moved.wait()
                    each = _Ahead()
                    each.task = asyncio.create_task(self._fetch(block_hash, each))
                    each.task.add_done_callback(lambda _: moved.set())
                    ahead.append(each)
                    started.put_nowait(each)
        finally:
            started.put_nowait(None)

    def _has_room(self, ahead: deque[_Ahead]) -> bool:
        """Whether one more may be fetched. With nothing ahead one always may, however large it turns out."""
        if not ahead:
            return True
        if len(ahead) >= MOST_AHEAD or sum(not each.task.done() for each in ahead) >= self._flight.size:
            return False
        expected = max(self._sizes) * (WHOLE_TIMES if self._provers is None else 1)
        taken = sum(expected if each.size is None else each.size for each in ahead)
        return taken + expected <= self._budget_bytes

    async def _fetch(self, block_hash: bytes, ahead: _Ahead) -> ReadBlock:
        async def ask(endpoint: Endpoint) -> ReadBlock:
            try:
                async with endpoint.fetch(body_calls(block_hash)) as body:
                    ahead.size = len(body)
                    self._sizes.append(ahead.size)
                    return await self._read(endpoint.name, body, block_hash)
            except (Throttled, TimedOut):
                self._troubled = True
                raise

        block = await fetch_block_with(self._pool, block_hash, ask)
        ahead.size = self.weigh(block)
        return block

    async def _read(self, endpoint: str, body: bytes, block_hash: bytes) -> ReadBlock:
        if self._provers is not None:
            digest = await self._provers.digest(body, block_hash)
            if digest is not None:
                kept = body if self._watched is None or digest.may_concern(self._watched) else None
                return DigestedBlock(hash=block_hash, digest=digest, body=kept, endpoint=endpoint)
        # What may be wrong is found out here, inside the question: the endpoint that served it answers for it.
        return read_body(body, block_hash=block_hash, endpoint=endpoint)

    def _adapt(self, rate: float) -> None:
        self._flight = self._flight.after(rate=rate, troubled=self._troubled)
        self._troubled = False


async def _ancestry(pool: Pool, first: int, head: Link) -> list[bytes]:
    """The hashes from height `first` up to `head`, of its own branch: not of whichever a node names by height."""
    if first == head.number:
        return [head.hash]
    headers = await lineage(pool, head.parent_hash, range(first, head.number))
    return [*(read_bytes(header.hash) for header in reversed(headers)), head.hash]


async def _hashes(pool: Pool, first: int, last: int, head: Link | None) -> AsyncGenerator[bytes]:
    """The hashes of a range in order; the next ones are on their way while the present ones are used."""
    if head is not None and last == head.number and last - first < HASHES_PER_REQUEST:
        for block_hash in await _ancestry(pool, first, head):
            yield block_hash
        return
    ranges = deque(
        range(start, min(start + HASHES_PER_REQUEST, last + 1)) for start in range(first, last + 1, HASHES_PER_REQUEST)
    )
    upcoming = asyncio.create_task(hashes_at(pool, ranges.popleft())) if ranges else None
    try:
        while upcoming is not None:
            hashes = await upcoming
            upcoming = asyncio.create_task(hashes_at(pool, ranges.popleft())) if ranges else None
            for block_hash in hashes:
                yield block_hash
    finally:
        if upcoming is not None:
            upcoming.cancel()
            await asyncio.gather(upcoming, return_exceptions=True)
