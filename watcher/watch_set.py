"""The deposit addresses to look for, in memory, each as its 20 bytes."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from openpay.app.ports import UnitOfWork

GAP_PATIENCE_S = 3600.0
"""How long a missing sequence number may belong to a transaction that has not committed yet. Far above any
transaction's life; a number rolled back stays missing for ever and is given up after this."""
LOOK_BACK = 100_000
"""Sequence numbers below the newest in which gaps are looked for when the set is loaded: more than are handed out while
a transaction is open."""
SWEEP_S = 600
"""Seconds of block time between two looks for addresses to let go. One that stays a little longer does no harm."""
TOLD_EVERY = 250_000
"""Addresses, between two lines about the loading."""

_log = structlog.get_logger(__name__)


class WatchSet:
    """Tells deposit addresses of one chain from all others.

    Invariant: after `refresh(uow, at)` it holds the address of every payment that was committed before `uow` was opened
    and is open, or watched until block time `at` or later. Sequence numbers are handed out in order but may commit out
    of order (PostgreSQL), so numbers that were skipped are asked for again.

    Which payment an address belongs to is looked up when money arrives: a million addresses alone take 100 MiB.
    """

    def __init__(self, chain_id: int, *, monotonic: Callable[[], float]) -> None:
        self._chain_id = chain_id
        self._monotonic = monotonic
        self._addresses: set[bytes] = set()
        self._since: int | None = None
        """The block time from which on the set is whole; None until it is loaded."""
        self._last_seq = 0
        self._missing: dict[int, float] = {}
        """Sequence numbers below the last one that were not there yet, and when that was first noticed."""

    async def refresh(self, uow: UnitOfWork, *, at: int) -> None:
        """Take in what was committed before `uow` was opened, for blocks from time `at` on."""
        if self._since is None:
            await self._load(uow, at)
        else:
            await self._move(uow, self._since, at)
            await self._take_new(uow)

    def __contains__(self, address: object) -> bool:
        return address in self._addresses

    def __len__(self) -> int:
        return len(self._addresses)

    async def _load(self, uow: UnitOfWork, at: int) -> None:
        """Read everything that is watched. All in one view of the database; taken again whole if it breaks off."""
        numbers = await uow.payments.newest_numbers(LOOK_BACK)
        told = 0
        for pages in (
            uow.payments.open_addresses(self._chain_id),
            uow.payments.ended_addresses(self._chain_id, first=at),
        ):
            async for addresses in pages:
                self._addresses.update(addresses)
                if len(self._addresses) >= told + TOLD_EVERY:
                    told = len(self._addresses)
                    _log.info("loading deposit addresses", chain_id=self._chain_id, loaded=told)
        now = self._monotonic()
        if numbers:
            there = set(numbers)
            self._missing = {seq: now for seq in range(numbers[0], numbers[-1]) if seq not in there}
            self._last_seq = numbers[-1]
        self._since = at
        _log.info("deposit addresses loaded", chain_id=self._chain_id, watched=len(self._addresses))

    async def _move(self, uow: UnitOfWork, since: int, at: int) -> None:
        """Be whole from `at` on: let go of what is no longer watched, or take back what is watched again because blocks
        are read again."""
        if at >= since + SWEEP_S:
            ended = [page async for page in uow.payments.ended_addresses(self._chain_id, first=since, last=at - 1)]
            # First all are read, then all are let go: an error in between leaves the set whole.
            self._since = at
            for addresses in ended:
                self._addresses.difference_update(addresses)
        elif at < since:
            async for addresses in uow.payments.ended_addresses(self._chain_id, first=at, last=since - 1):
                self._addresses.update(addresses)
            self._since = at

    async def _take_new(self, uow: UnitOfWork) -> None:
        now = self._monotonic()
        for watched in await uow.payments.watched(self._chain_id, after=self._last_seq, also=list(self._missing)):
            if watched.address is not None:
                self._addresses.add(watched.address)
            self._missing.pop(watched.seq, None)
            for seq in range(self._last_seq + 1, watched.seq):
                self._missing[seq] = now
            self._last_seq = max(self._last_seq, watched.seq)
        for seq in [seq for seq, noticed_at in self._missing.items() if now - noticed_at > GAP_PATIENCE_S]:
            del self._missing[seq]
