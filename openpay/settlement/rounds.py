"""What one round of the settler may still spend: money, and places in the nodes' pools."""

from __future__ import annotations

from dataclasses import dataclass

from openpay.settlement.nonces import is_gap, next_nonce
from openpay.settlement.operator import Account


@dataclass(kw_only=True)
class Round:
    """It shrinks with each transaction. Amounts in wei.

    `taken` are our open nonces, `committed_today` what today's mined transactions cost and open ones may still cost,
    `promised` what those in no block may take from the account's balance.
    """

    account: Account
    taken: set[int]
    ended_nonce: int | None
    committed_today: int
    promised: int
    in_flight: int

    @property
    def nonce(self) -> int:
        """What the next transaction is to use."""
        return next_nonce(
            latest=self.account.latest_nonce,
            pending=self.account.pending_nonce,
            ended=self.ended_nonce,
            taken=self.taken,
        )

    @property
    def has_gap(self) -> bool:
        """Whether open transactions of ours wait for that very nonce."""
        return is_gap(self.nonce, self.taken)

    def spend(self, nonce: int, wei: int) -> None:
        """A transaction was signed that may cost so much."""
        self.taken.add(nonce)
        self.committed_today += wei
        self.promised += wei
        self.in_flight += 1
