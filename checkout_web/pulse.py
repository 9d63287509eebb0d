"""What of a page changes by the clock and the network alone, and so has to be looked at with every block."""

from __future__ import annotations

from dataclasses import dataclass

from checkout_web.view import view_age
from openpay.app.payments import PaymentService, PaymentView
from openpay.app.records import Cursor
from openpay.domain.payment import WAITING


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


def pulse(view: PaymentView, network: Network, *, now: int) -> Pulse:
    """As long as neither this nor the payment's version changes, `present` gives the same content.

    `now` is the payment clock's time, in Unix seconds. The view's own cursor is not looked at.
    """
    payment = view.payment
    cursor = network.cursor
    return (
        payment.status in WAITING and now > payment.deadline,
        payment.confirmations(None if cursor is None else cursor.number),
        network.is_behind,
        network.behind_s,
    )
