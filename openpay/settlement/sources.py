"""Where the operator's work comes from: all that the engine knows of payments, withdrawals and refunds.

The engine (`settler.py`) signs, sends, replaces and follows transactions. What a piece of work means, and what becomes
of it, is its source's business: each source reads and writes its own rows, and no source sees a nonce or a gas price.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from openpay.app.ports import UnitOfWork
from openpay.domain.terms import Terms
from openpay.settlement.decisions import Fate


@dataclass(frozen=True, kw_only=True)
class SettleItem:
    """One `settle` as `settleMany` takes it: the asset by its index in the escrow."""

    terms: Terms
    asset_index: int


@dataclass(frozen=True, kw_only=True)
class Work:
    """One call that the operator's key is to make, once.

    `subject` is the id of what it is for (a payment, withdrawal or refund); `kind` its source's. `gas` is the limit,
    in gas: set, never estimated. With `item` the engine may make the call together with others of the same contract.
    """

    kind: str
    subject: str
    to: bytes
    data: bytes
    gas: int
    item: SettleItem | None = None


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a nonce ended: `fate` is one of `decisions.ENDS`.

    `tx_hash` is the transaction in the final block; when another program used the nonce (DROPPED), the last one of
    ours. `hashes` are all that were signed for it, replacements included.
    """

    fate: Fate
    tx_hash: bytes
    hashes: frozenset[bytes]


class Source(Protocol):
    """A kind of work. Every method runs inside one database transaction and may not wait for the network."""

    @property
    def kind(self) -> str:
        """At most 20 characters; stored with each transaction. Two sources never share one."""

    async def due(self, uow: UnitOfWork, *, now: int, limit: int) -> list[Work]:
        """What waits for its first or next transaction, the oldest first: never what is submitted or ended.

        `now` is the wall clock, in Unix seconds. May be asked at any time and must not change anything.
        """

    async def more_is_coming(self, uow: UnitOfWork) -> bool:
        """Whether more work that can share a transaction is about to fall due, so that a short wait saves gas."""

    async def submitted(self, uow: UnitOfWork, subject: str, tx_hash: bytes, *, replaced: bytes | None = None) -> None:
        """Record that `tx_hash` is on its way, in the database transaction that stores it signed.

        `replaced` is the hash recorded before, when this is the same call again at another price: then a subject that
        has moved on is left alone. Otherwise raises `ConcurrentChange` when the subject is no longer due.
        """

    async def ended(self, uow: UnitOfWork, subject: str, ending: Ending, *, now: int) -> bool:
        """Record what became of a subject; False when the watcher must read the escrow's log first (asked again).

        Success is the escrow's own log of `ending.tx_hash`, never the receipt. Without an effect the subject is due
        again, or failed, as its source decides.
        """

    async def is_in_vain(self, uow: UnitOfWork, subject: str, hashes: frozenset[bytes]) -> bool:
        """Whether these transactions of one nonce, open again after a rewind, could only do for a subject what another
        did already, or is about to. Always False where the escrow would refuse to do it twice.
        """

    async def refused(self, uow: UnitOfWork, work: Work, reason: str, *, now: int) -> bool:
        """The call would revert now; `reason` is the escrow's error name, or the node's words. No gas was spent.

        True when the source recorded an end; False to be asked again after a growing pause.
        """
