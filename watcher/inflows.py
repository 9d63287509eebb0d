"""From what was seen of a vault's balance to what came in from inside contracts, and when. Pure: no node, no database.

What ever came in at a block is what lies there plus what the escrow moved out. Less what came directly, that is what
contracts sent: a sum that never falls along a chain. Where it first exceeds what is on record, money came.

Invariant: for every vault, internal deposits on record = the highest such sum that was surely seen. It is compared
anew each time, so looking at a block twice adds nothing. Each wei is dated at the earliest block that surely shows it:
never before it came, and late only where no earlier block could be looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from openpay.app.records import EscrowLog
from openpay.domain.deposit import Deposit, Source

OUTFLOWS = frozenset({"Settled", "Swept", "Refunded", "Rescued"})
"""Escrow events that move money out of a payment's vault."""


@dataclass(frozen=True, kw_only=True)
class VaultRecord:
    """What is on record of one vault in the chain's own coin `token`, committed or about to be."""

    token: str
    deposits: tuple[Deposit, ...]
    logs: tuple[EscrowLog, ...]

    @property
    def level(self) -> int:
        """Wei on record as sent from inside contracts, whenever."""
        return sum(deposit.units for deposit in self._deposits(internal=True))

    def came_in(self, balance: int, *, at: int) -> int:
        """Wei that contracts ever sent here up to and including block `at`, whose state has this `balance`.

        Below zero where the record holds what the chain does not: a log is missing, or a node lies.
        """
        went_out = sum(outflow(log, self.token) for log in self.logs if log.block_number <= at)
        directly = sum(deposit.units for deposit in self._deposits(internal=False) if deposit.block_number <= at)
        return balance + went_out - directly

    def free_position(self, block_hash: bytes) -> int:
        """Behind all internal deposits of this block that are on record."""
        internal = self._deposits(internal=True)
        return max((deposit.position + 1 for deposit in internal if deposit.block_hash == block_hash), default=0)

    def _deposits(self, *, internal: bool) -> Iterable[Deposit]:
        return (
            deposit
            for deposit in self.deposits
            if deposit.token == self.token and (deposit.source is Source.INTERNAL) is internal
        )


@dataclass(frozen=True, kw_only=True)
class Rise:
    """`units` of wei, above zero, that block `number` is the first to show."""

    number: int
    units: int


def outflow(log: EscrowLog, token: str) -> int:
    """Wei that a log moved out of its vault; 0 for one that moved something else, or nothing."""
    return log.units if log.name in OUTFLOWS and log.token == token else 0


def rises(level: int, seen: Mapping[int, int]) -> list[Rise]:
    """What came in beyond `level`, oldest first. `seen`: what ever came in, by number of the block that shows it."""
    found = []
    for number in sorted(seen):
        if seen[number] > level:
            found.append(Rise(number=number, units=seen[number] - level))
            level = seen[number]
    return found


def next_look(level: int, seen: Mapping[int, int], *, oldest: int) -> int | None:
    """The block to look at next, so that each of the `rises` is dated exactly; None when there is none left.

    `seen` holds the newest block at least; blocks below `oldest` cannot be looked at. Steps back double while nothing
    older was seen, because money is mostly as new as the block that showed it; then the gap is halved.
    """
    for rise in rises(level, seen):
        before = max((number for number in seen if number < rise.number), default=None)
        floor = oldest - 1 if before is None else max(before, oldest - 1)
        if rise.number - floor > 1:
            if before is not None:
                return (floor + rise.number) // 2
            return max(floor + 1, rise.number - max(1, max(seen) - rise.number))
    return None
