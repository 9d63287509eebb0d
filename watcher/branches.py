"""Which branch most hosts are on, where the record and hosts are on different ones.

The highest head is followed; but one host can invent any height. So where two hosts at least have the same block at a
height, and more than have any other, those that have another are not followed for a while. Two hosts alone, one of
which is alone with its branch, decide nothing: then the highest counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from openpay.chain import reads
from openpay.chain.blocks import read_bytes
from openpay.chain.poll import GRACE_S
from openpay.chain.pool import Pool
from openpay.chain.rpc import Endpoint
from openpay.chain.words import NEEDED, majority
from watcher.lookout import Lookout

TURNS_APART = 3
"""Blocks in a row that were committed while most hosts were elsewhere: a fork of one block or two ends by itself."""


class Branches:
    """Compares the record with the hosts' branches, and tells the lookout whom not to follow."""

    def __init__(self, pool: Pool, lookout: Lookout) -> None:
        self._pool = pool
        self._lookout = lookout
        self._turns_apart = 0

    async def may_leave(self, number: int, *, ours: bytes | None, theirs: bytes) -> bool:
        """Whether the record may be taken back to below block `number`, for a branch that has `theirs` there.

        Not while most hosts have `ours`: then those that are on that branch are passed over, and it is left at that.
        """
        if len(self._pool.hosts) <= NEEDED:
            return True
        hashes = await self._hashes(number)
        most = majority(hashes)
        if most is not None and most != theirs:
            self._pass_over(number, most, hashes)
        return most is None or most != ours

    def compare(self, number: int, ours: bytes, hashes: Mapping[str, bytes]) -> None:
        """Where most hosts have another block at a height than the record, stop following those that do not."""
        most = majority(hashes)
        if most is not None and most != ours:
            self._pass_over(number, most, hashes)

    async def watch(self, newest: Mapping[str, tuple[int, bytes]], ours: Callable[[int], bytes | None]) -> None:
        """Compare after a block was added to the record; `newest` are the hosts' newest blocks."""
        elsewhere = [number for number, block_hash in newest.values() if ours(number) not in (None, block_hash)]
        self._turns_apart = self._turns_apart + 1 if len(elsewhere) >= NEEDED else 0
        if self._turns_apart < TURNS_APART:
            return
        self._turns_apart = 0
        number = min(elsewhere)
        block_hash = ours(number)
        if block_hash is not None:
            self.compare(number, block_hash, await self._hashes(number))

    async def _hashes(self, number: int) -> dict[str, bytes]:
        """The hash that each host has at a height, once that is enough to decide, or all have spoken."""

        async def ask(endpoint: Endpoint) -> bytes:
            return read_bytes((await endpoint.call(reads.header(number))).hash)

        poll = self._pool.poll(ask)
        try:
            await poll.wait(until=lambda: majority(poll.answers) is not None, grace_s=GRACE_S)
            return poll.answers
        finally:
            await poll.give_up()

    def _pass_over(self, number: int, most: bytes, hashes: Mapping[str, bytes]) -> None:
        for host in self._pool.hosts:
            if hashes.get(host) != most:
                reason = f"most hosts have block 0x{most.hex()} at {number}"
                self._lookout.pass_over(host, reason, is_wrong=host in hashes)
