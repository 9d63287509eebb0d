"""Writing events in the transaction that changed the payment."""

from __future__ import annotations

from collections.abc import Iterable

from openpay.app.ports import UnitOfWork
from openpay.domain.events import Draft, payment_event
from openpay.domain.ids import new_id
from openpay.domain.payment import Payment


async def tell(uow: UnitOfWork, payment: Payment, drafts: Iterable[Draft], *, wall_now: int) -> int:
    """Store `drafts` as events of `payment`, leaving out what was told before; how many were new.

    `wall_now` is the server's clock: it stamps events and starts their delivery.
    """
    told = 0
    drafts = list(drafts)
    # Looked up at once: a stranger can send thousands of tiny late deposits, each of which is reported here each time.
    before = await uow.events.told(payment.id) if any(draft.subject is not None for draft in drafts) else frozenset()
    for draft in drafts:
        if draft.subject is not None and (draft.type, draft.subject) in before:
            continue
        event = payment_event(payment, draft, event_id=new_id("evt"), now=wall_now)
        told += await uow.events.add(event)
    return told
