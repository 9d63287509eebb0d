"""What rewinds and rescans keep in the database: records and ports."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from openpay.app.records import Block


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much a rewind takes back. `payments` are those that any of it concerns, `paid` how many of them are paid;
    `transactions` are the operator's, which are followed anew."""

    deposits: int
    escrow_logs: int
    attempts: int
    payments: int
    paid: int
    transactions: int


@dataclass(frozen=True, kw_only=True)
class Found:
    """A deposit that a rescan added to the record. `units` are base units."""

    payment_id: str
    token: str
    units: int
    tx_hash: bytes | None
    block_number: int


@dataclass(frozen=True, kw_only=True)
class Rescan:
    """A request to read blocks `first` to `last`, both included, once more, and how far it is.

    `next` is the first block not read yet, `last_hash` the hash of the one before it once there is one. `seen_at` is
    when the watcher last worked on it, None while none has; `failure` says why the last try to read on failed, or why
    it ended early. `found` are the first of the `found_deposits` that were not on record, `found_logs` counts the
    escrow's.
    """

    id: int
    chain_id: int
    first: int
    last: int
    next: int
    requested_at: int
    last_hash: bytes | None = None
    seen_at: int | None = None
    done_at: int | None = None
    failure: str | None = None
    found_logs: int = 0
    found_deposits: int = 0
    found: tuple[Found, ...] = ()


class Rewinds(Protocol):
    """Taking back what was recorded of blocks that were final."""

    async def newest_place(self, chain_id: int, at_or_below: int) -> tuple[int, bytes] | None:
        """Number and hash of the newest block up to a height that anything on record names; None where nothing does."""

    async def extent(self, chain_id: int, above: int) -> Extent:
        """How much is on record of the blocks above a height."""

    async def take_back(self, chain_id: int, above: int) -> list[str]:
        """Remove deposits, attempts, escrow logs and blocks above a height, and open again what ended in those blocks:
        reports, the operator's transactions, withdrawals. Returns the ids of the payments concerned."""

    async def continue_from(self, block: Block) -> None:
        """Make `block` the newest one on record."""

    async def mark(self, chain_id: int, payment_ids: Collection[str]) -> None:
        """Payments to judge once the chain was read again."""

    async def marked(self, chain_id: int, *, limit: int) -> list[str]:
        """Those of them whose balances are not in doubt: what no log shows is on record again."""

    async def marked_among(self, chain_id: int, payment_ids: Collection[str]) -> frozenset[str]: ...
    async def is_any_marked(self, chain_id: int) -> bool: ...
    async def unmark(self, chain_id: int, payment_ids: Collection[str]) -> None: ...


class Rescans(Protocol):
    """Requests to read blocks once more."""

    async def add(self, chain_id: int, first: int, last: int, *, now: int) -> Rescan: ...
    async def get(self, rescan_id: int) -> Rescan | None: ...
    async def open(self, chain_id: int) -> list[Rescan]:
        """Those that are not done, oldest first."""

    async def next_open(self, chain_id: int) -> Rescan | None:
        """The oldest that is not done."""

    async def cancel(self, rescan_id: int, *, why: str, at: int) -> bool:
        """End a request before its end; what it found stays on record. False where it is done already."""

    async def save(self, rescan: Rescan, *, read_from: int) -> bool:
        """Store how far it is. False, and nothing stored, when it is done, or its next block is not `read_from`."""
