"""What merchants are told, and the exact bytes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from openpay.domain.money import format_usd
from openpay.domain.payment import Payment
from openpay.domain.time import format_time


class EventType(StrEnum):
    """Names of events. Merchants subscribe by these; order of arrival is not promised."""

    PENDING = "payment.pending"
    CONFIRMING = "payment.confirming"
    COMPLETED = "payment.completed"
    UNDERPAID = "payment.underpaid"
    FAILED = "payment.failed"
    EXPIRED = "payment.expired"
    CANCELED = "payment.canceled"
    LATE_DEPOSIT = "payment.late_deposit"
    REFUNDED = "payment.refunded"
    SETTLED = "payment.settled"
    REVERSED = "payment.reversed"
    DISABLED = "webhook.disabled"
    TEST = "webhook.test"


@dataclass(frozen=True, kw_only=True)
class Draft:
    """An event before it has an id. `subject` names what it is about where one payment can have several of a type;
    a draft whose (payment, type, subject) was stored before is not stored again. None: always stored."""

    type: EventType
    subject: str | None = None
    data: Mapping[str, str | int | None] = field(default_factory=dict)
    moment: Payment | None = field(default=None, compare=False, repr=False)
    """The payment when it happened; several things may happen in one commit. None: as the payment is stored."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """A stored event. `body` is what is signed and sent, byte for byte."""

    id: str
    merchant_id: str
    livemode: bool
    type: EventType
    payment_id: str | None
    subject: str | None
    created_at: int
    body: bytes


def payment_event(payment: Payment, draft: Draft, *, event_id: str, now: int) -> Event:
    """Write the event. `payment.completed` has exactly nine fields; all others the same nine, then three more."""
    payment = payment if draft.moment is None else draft.moment
    completion = payment.completion
    body: dict[str, object] = {
        "event": draft.type.value,
        "payment_id": payment.id,
        "status": payment.status.value,
        "amount": format_usd(payment.amount_usd),
        "currency": "USD",
        "token": None if completion is None else completion.token,
        "tx_hash": None if completion is None or completion.tx_hash is None else "0x" + completion.tx_hash.hex(),
        "paid_at": None if payment.paid_at is None else format_time(payment.paid_at),
        "metadata": dict(payment.metadata),
    }
    if draft.type is not EventType.COMPLETED:
        body |= {"event_id": event_id, "created_at": format_time(now), "data": dict(draft.data)}
    return Event(
        id=event_id,
        merchant_id=payment.merchant_id,
        livemode=payment.livemode,
        type=draft.type,
        payment_id=payment.id,
        subject=draft.subject,
        created_at=now,
        body=encode_body(body),
    )


def test_event(*, event_id: str, merchant_id: str, livemode: bool, now: int) -> Event:
    """The event of `POST /v1/webhooks/test`: never mistaken for a payment's."""
    return _webhook_event(EventType.TEST, {}, event_id=event_id, merchant_id=merchant_id, livemode=livemode, now=now)


test_event.__test__ = False  # type: ignore[attr-defined]  # the name is the domain's, not pytest's


def endpoint_disabled_event(
    *, event_id: str, merchant_id: str, livemode: bool, now: int, endpoint_id: str, url: str, reason: str
) -> Event:
    """An endpoint was switched off. Its merchant's other endpoints are told, and it stands in the list of events."""
    data = {"endpoint_id": endpoint_id, "url": url, "reason": reason}
    return _webhook_event(
        EventType.DISABLED, data, event_id=event_id, merchant_id=merchant_id, livemode=livemode, now=now
    )


def _webhook_event(
    kind: EventType, data: Mapping[str, str], *, event_id: str, merchant_id: str, livemode: bool, now: int
) -> Event:
    body = {"event": kind.value, "event_id": event_id, "created_at": format_time(now), "data": dict(data)}
    return Event(
        id=event_id,
        merchant_id=merchant_id,
        livemode=livemode,
        type=kind,
        payment_id=None,
        subject=None,
        created_at=now,
        body=encode_body(body),
    )


def encode_body(body: Mapping[str, object]) -> bytes:
    """JSON in UTF-8 without spaces, fields in the order given."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
