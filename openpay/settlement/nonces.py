"""The operator's nonces: which are ours, and which comes next. No I/O.

A nonce is used once on the chain. So everything that was signed for one nonce is one slot, of which at most one
transaction is ever mined, and transactions of several slots are mined in the order of their nonces or not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import groupby

from openpay.app.records import OperatorTransaction

FILL = "fill"
"""The kind of a transaction that only uses up a nonce, on which later ones wait."""
FILL_GAS = 21_000


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A nonce that is not final, with all that was signed for it: first the original, then what replaced it."""

    nonce: int
    attempts: tuple[OperatorTransaction, ...]

    @property
    def newest(self) -> OperatorTransaction:
        return self.attempts[-1]

    @property
    def hashes(self) -> frozenset[bytes]:
        return frozenset(attempt.tx_hash for attempt in self.attempts)

    @property
    def reserved_wei(self) -> int:
        """The most that this nonce may still cost."""
        return max(attempt.gas * attempt.gas_price for attempt in self.attempts)


def slots_of(transactions: Iterable[OperatorTransaction]) -> list[Slot]:
    """Group open transactions, which come by nonce and then in the order of signing; the lowest nonce first.

    Another key's transactions, left over from before the key was changed, are slots of their own.
    """

    def place(transaction: OperatorTransaction) -> tuple[int, bytes]:
        return transaction.nonce, transaction.sender

    in_order = sorted(transactions, key=place)  # stable: keeps the order of signing
    return [Slot(nonce=nonce, attempts=tuple(group)) for (nonce, _), group in groupby(in_order, key=place)]


def next_nonce(*, latest: int, pending: int, ended: int | None, taken: Collection[int]) -> int:
    """The lowest nonce that nobody uses.

    `latest` and `pending` are a node's next nonces at its newest block and behind what waits in its pool (which may be
    another program's), `ended` the highest nonce that we saw final, `taken` ours that are open. A node that lags says
    too little, and one that lost our transactions too: neither makes us sign a nonce again.
    """
    nonce = max(latest, pending, -1 if ended is None else ended + 1)
    while nonce in taken:
        nonce += 1
    return nonce


def is_gap(nonce: int, taken: Collection[int]) -> bool:
    """Whether later ones of ours cannot be mined before something uses `nonce`."""
    return any(each > nonce for each in taken)
