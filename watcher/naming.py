"""Naming the transactions by which money came from inside contracts, where an endpoint traces. For showing only."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from openpay.chain.fetch import fetch_block
from openpay.chain.pool import Pool
from openpay.chain.traces import inner_transfers
from openpay.errors import ChainUnavailable
from watcher.balances import Place

NAMING_S = 2.0
"""For all blocks of a commit, in seconds: it holds that up, and decides nothing."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """`wei` that came in, and the transaction that moved it and who signed it, where that is known."""

    wei: int
    tx_hash: bytes | None = None
    sender: bytes | None = None


class Namer:
    """Names what came in with one commit."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._deadline = asyncio.get_running_loop().time() + NAMING_S

    async def parts(self, place: Place, arrived: Mapping[bytes, int]) -> dict[bytes, Sequence[Part]]:
        """For each address the parts of the wei that `arrived` there in a block: those that a trace names, if they make
        up the whole, else one part without a name."""
        named = await self._named(place, arrived)
        return {
            address: named[address]
            if address in named and sum(part.wei for part in named[address]) == wei
            else [Part(wei=wei)]
            for address, wei in arrived.items()
        }

    async def _named(self, place: Place, addresses: Collection[bytes]) -> Mapping[bytes, Sequence[Part]]:
        """What a trace says. Of the transaction that it names, hash and signer are the block's own, which is proven."""
        if asyncio.get_running_loop().time() >= self._deadline:
            return {}
        named: dict[bytes, list[Part]] = defaultdict(list)
        question = partial(inner_transfers, block_hash=place.hash, number=place.number, to=frozenset(addresses))
        try:
            async with asyncio.timeout_at(self._deadline):
                if transfers := await self._pool.ask(question):
                    block = await fetch_block(self._pool, place.hash)
                    for each in transfers:
                        tx_hash, sender = block.transaction_hash(each.index), block.sender(each.index)
                        named[each.to].append(Part(wei=each.wei, tx_hash=tx_hash, sender=sender))
        except (ChainUnavailable, TimeoutError, IndexError):
            return {}
        return named
