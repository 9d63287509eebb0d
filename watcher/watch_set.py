"""The deposit addresses to look for, in memory, keyed by their 20 bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from openpay.app.ports import Database

GAP_PATIENCE_S = 3600.0
"""How long a missing sequence number may belong to a transaction that has not committed yet. Far above any
transaction's life; a number rolled back stays missing for ever and is given up after this."""


class WatchSet(Mapping[bytes, str]):
    """Maps deposit addresses to payment ids.

    Invariant: after `refresh` it holds every payment committed before that call began. Sequence numbers are handed out
    in order but may commit out of order (PostgreSQL), so numbers that were skipped are asked for again.
    """

    def __init__(self, db: Database, chain_id: int, *, monotonic: Callable[[], float]) -> None:
        self._db = db
        self._chain_id = chain_id
        self._monotonic = monotonic
        self._payment_ids: dict[bytes, str] = {}
        self._last_seq = 0
        self._missing: dict[int, float] = {}
        """Sequence numbers below the last one that were not there yet, and when that was first noticed."""

    async def refresh(self) -> None:
        """Take in what was committed since the last call."""
        now = self._monotonic()
        async with self._db.read() as uow:
            found = await uow.payments.watched(self._chain_id, after=self._last_seq, also=list(self._missing))
        for watched in found:
            if watched.address is not None:
                self._payment_ids[watched.address] = watched.payment_id
            self._missing.pop(watched.seq, None)
            for seq in range(self._last_seq + 1, watched.seq):
                self._missing[seq] = now
            self._last_seq = max(self._last_seq, watched.seq)
        for seq in [seq for seq, noticed_at in self._missing.items() if now - noticed_at > GAP_PATIENCE_S]:
            del self._missing[seq]

    def __getitem__(self, address: bytes) -> str:
        return self._payment_ids[address]

    def __contains__(self, address: object) -> bool:
        return address in self._payment_ids

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._payment_ids)

    def __len__(self) -> int:
        return len(self._payment_ids)
