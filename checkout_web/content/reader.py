"""From a payment's id to the page's content, in one read."""

from __future__ import annotations

from dataclasses import dataclass

from checkout_web.content.view import Checkout, present
from checkout_web.deps import Deps
from openpay.app.payments import PaymentView
from openpay.app.ports import UnitOfWork
from openpay.app.records import Merchant
from openpay.domain.ids import is_payment_id
from openpay.errors import InvariantViolated


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A payment as read from the database, and its merchant."""

    view: PaymentView
    merchant: Merchant


async def load(deps: Deps, uow: UnitOfWork, payment_id: str) -> Loaded | None:
    """Read a payment whoever owns it: who holds the link may see the page. None when there is no such payment."""
    payment = await uow.payments.get(payment_id) if is_payment_id(payment_id) else None
    if payment is None:
        return None
    merchant = await uow.merchants.get(payment.merchant_id)
    if merchant is None:
        raise InvariantViolated(f"payment {payment_id} belongs to merchant {payment.merchant_id}, which does not exist")
    return Loaded(view=await deps.payments.view(uow, payment), merchant=merchant)


def present_now(deps: Deps, loaded: Loaded) -> Checkout:
    """The page's content as of now, without touching the database."""
    return present(
        loaded.view,
        merchant=loaded.merchant,
        chain=deps.payments.chains[loaded.view.payment.livemode],
        now=deps.payments.clock.now(),
        wall_now=deps.payments.wall.now(),
    )
