"""What the page needs from whoever mounts it."""

from __future__ import annotations

from dataclasses import dataclass

from openpay.app.payments import PaymentService
from openpay.app.ports import Database, Transactions
from openpay.app.refund_requests import RefundService
from openpay.app.signals import Signals


@dataclass(frozen=True, kw_only=True)
class Deps:
    """Chains and clocks are those of `payments`.

    `public_url` is the site's own address as customers see it: its host decides whose forms are obeyed where a proxy
    rewrites `Host`. `tick_s`: how long a change made by another process may go unseen by open pages.
    """

    db: Database
    payments: PaymentService
    signals: Signals
    public_url: str | None = None
    tick_s: float = 1.0
    transactions: Transactions | None = None
    """Who is asked for a transaction that a customer names. None: the page says that nobody can be asked."""
    max_viewers: int = 10_000
    """Event streams open at once in this process; further pages poll. Each takes a file descriptor."""
    max_viewers_per_client: int = 200
    """Of these, by one client address: a whole office, but not a bot that opens pages by the thousand."""

    @property
    def refunds(self) -> RefundService:
        return RefundService(chains=self.payments.chains, clock=self.payments.clock, wall=self.payments.wall)
