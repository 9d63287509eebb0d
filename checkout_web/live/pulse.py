"""What of a page changes by the clock and the network alone, and so has to be looked at with every block."""

from __future__ import annotations

from dataclasses import dataclass

from checkout_web.content.view import view_age
from openpay.app.payments import PaymentService
from openpay.app.records import Cursor
from openpay.domain.payment import WAITING, Payment


@dataclass(frozen=True, slots=True)
class Network:
    """What all pages of one chain share: how far it was read, whether that is too old, and then how old."""

    cursor: Cursor | None
    is_behind: bool
    behind_s: int | None

    @classmethod
    def now(cls, payments: PaymentService, *, livemode: bool, cursor: Cursor | None) -> Network:
        is_behind, behind_s = view_age(
            cursor, payments.chains[livemode], now=payments.clock.now(), wall_now=payments.wall.now()
        )
        return cls(cursor, is_behind, behind_s)


Pulse = tuple[bool, int | None, bool, int | None]
"""Whether the deadline passed while it mattered, confirmations, and the two of `Network`: only compared."""


@dataclass(frozen=True, slots=True)
class Basis:
    """What of a payment its pulse depends on, beside what identifies its content."""

    payment_id: str
    version: int
    chain_id: int
    livemode: bool
    deadline: int | None
    """None once it does not matter any more."""
    completed_in: int | None
    """The number of the completing transaction's block."""
    paid_confirmations: int | None

    @classmethod
    def of(cls, payment: Payment) -> Basis:
        return cls(
            payment_id=payment.id,
            version=payment.version,
            chain_id=payment.chain_id,
            livemode=payment.livemode,
            deadline=payment.deadline if payment.status in WAITING else None,
            completed_in=None if payment.completion is None else payment.completion.block_number,
            paid_confirmations=payment.paid_confirmations,
        )


def pulse(basis: Basis, network: Network, *, now: int) -> Pulse:
    """As long as neither this nor the payment's version changes, `present` gives the same content.

    `now` is the payment clock's time, in Unix seconds.
    """
    depth = basis.paid_confirmations
    if depth is None and basis.completed_in is not None and network.cursor is not None:
        depth = network.cursor.number - basis.completed_in
    return (basis.deadline is not None and now > basis.deadline, depth, network.is_behind, network.behind_s)
