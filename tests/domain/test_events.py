"""The exact bytes that merchants receive."""

from __future__ import annotations

import json

import pytest

from openpay.domain.assessment import Accepted, advance
from openpay.domain.events import Draft, EventType, encode_body, payment_event, test_event
from openpay.domain.payment import Completion, Status
from tests.domain.builders import block_hash, evidence, head_at, make_deposit, make_payment

NINE = ["event", "payment_id", "status", "amount", "currency", "token", "tx_hash", "paid_at", "metadata"]

PAID = make_payment(
    status=Status.PAID,
    completion=Completion(token="USDT", tx_hash=bytes([0xAB]) * 32, block_number=5, block_hash=block_hash(5)),
    paid_at=1_774_530_135,
    metadata={"order_id": "1042", "customer_email": "buyer@example.com"},
)


def test_completed_has_exactly_the_nine_fields_in_their_order() -> None:
    event = payment_event(PAID, Draft(type=EventType.COMPLETED), event_id="evt_1", now=1)
    assert event.body == (
        b'{"event":"payment.completed","payment_id":"pay_1","status":"paid","amount":"25.00","currency":"USD",'
        b'"token":"USDT","tx_hash":"0x' + b"ab" * 32 + b'","paid_at":"2026-03-26T13:02:15Z",'
        b'"metadata":{"order_id":"1042","customer_email":"buyer@example.com"}}'
    )


@pytest.mark.parametrize(
    "kind", [kind for kind in EventType if kind.value.startswith("payment.") and kind is not EventType.COMPLETED]
)
def test_every_other_event_of_a_payment_has_the_nine_and_then_three_more(kind: EventType) -> None:
    event = payment_event(make_payment(), Draft(type=kind, data={"token": "USDT"}), event_id="evt_1", now=0)
    body = json.loads(event.body)
    assert list(body) == [*NINE, "event_id", "created_at", "data"]
    assert (body["event"], body["event_id"], body["data"]) == (kind.value, "evt_1", {"token": "USDT"})
    assert body["token"] is body["tx_hash"] is body["paid_at"] is None


def test_a_test_event_is_never_mistaken_for_a_payment() -> None:
    event = test_event(event_id="evt_1", merchant_id="mer_1", livemode=False, now=0)
    assert json.loads(event.body)["event"] == "webhook.test"
    assert event.payment_id is None


def test_text_travels_as_utf_8_and_survives() -> None:
    text = 'שלום <b>"naïve"</b> 🚪\n'
    assert json.loads(encode_body({"metadata": {"note": text}})) == {"metadata": {"note": text}}
    assert "🚪".encode() in encode_body({"note": text})


def test_each_of_several_events_of_one_commit_shows_the_payment_as_it_was_then() -> None:
    seen_late = advance(
        make_payment(status=Status.INITIATED),
        evidence(make_deposit(100, block=10), escrow_answer=Accepted()),
        head_at(40, final=29),
    )
    bodies = [
        json.loads(payment_event(seen_late.payment, draft, event_id="evt_1", now=0).body) for draft in seen_late.events
    ]
    assert [(body["event"], body["status"]) for body in bodies] == [
        ("payment.confirming", "confirming"),
        ("payment.completed", "paid"),
    ]
    assert [body["paid_at"] is None for body in bodies] == [True, False]
