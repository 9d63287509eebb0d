"""What one attempt means, decided without a network."""

from __future__ import annotations

from dataclasses import replace

import pytest

from openpay.app.records import Delivery, DeliveryState, WebhookEndpoint
from openpay.domain.events import EventType
from openpay.domain.retry import RETRY_WINDOW_S
from openpay.webhooks.outcome import (
    FAILING_LIMIT_S,
    MAX_RETRY_AFTER_S,
    Reply,
    delivery_after,
    endpoint_after,
    retry_after_s,
)

NOW = 1_774_530_000

DELIVERY = Delivery(
    id="del_1",
    event_id="evt_1",
    endpoint_id="whe_1",
    merchant_id="mer_1",
    livemode=True,
    state=DeliveryState.PENDING,
    attempts=0,
    created_at=NOW,
    first_attempt_at=NOW,
    next_attempt_at=NOW,
    event_type=EventType.COMPLETED,
    payment_id="pay_1",
)
ENDPOINT = WebhookEndpoint(
    id="whe_1",
    merchant_id="mer_1",
    livemode=True,
    url="https://shop.example",
    events=(),
    sealed_secret=b"",
    created_at=NOW,
)
FAILED = Reply(status=500, latency_ms=1)


def test_failing_delivery_is_tried_for_three_days_and_then_fails() -> None:
    delivery, now, waits = DELIVERY, NOW, []
    while delivery.state is DeliveryState.PENDING:
        delivery = delivery_after(delivery, FAILED, endpoint_active=True, now=now, jitter=0.0)
        if delivery.next_attempt_at is not None:
            waits.append(delivery.next_attempt_at - now)
            now = delivery.next_attempt_at
    assert waits == [5, 30, 300, 1_800, 7_200, 18_000, 36_000, 43_200, 43_200, 43_200, 43_200]
    assert sum(waits) <= RETRY_WINDOW_S < sum(waits) + 43_200
    assert (delivery.state, delivery.attempts, delivery.next_attempt_at) == (DeliveryState.FAILED, 12, None)


def test_jitter_only_lengthens_a_wait_and_by_a_fifth_at_most() -> None:
    delivery = delivery_after(replace(DELIVERY, attempts=2), FAILED, endpoint_active=True, now=NOW, jitter=0.999)
    assert delivery.next_attempt_at == NOW + 360


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_a_success(status: int) -> None:
    delivery = delivery_after(DELIVERY, Reply(status=status, latency_ms=1), endpoint_active=True, now=NOW, jitter=0.0)
    assert (delivery.state, delivery.next_attempt_at) == (DeliveryState.SUCCEEDED, None)


@pytest.mark.parametrize("status", [None, 301, 304, 400, 401, 404, 429, 500, 503])
def test_anything_else_is_tried_again(status: int | None) -> None:
    delivery = delivery_after(DELIVERY, Reply(status=status, latency_ms=1), endpoint_active=True, now=NOW, jitter=0.0)
    assert (delivery.state, delivery.next_attempt_at) == (DeliveryState.PENDING, NOW + 5)


def test_nothing_is_tried_again_at_a_disabled_endpoint() -> None:
    delivery = delivery_after(DELIVERY, FAILED, endpoint_active=False, now=NOW, jitter=0.0)
    assert delivery.state is DeliveryState.FAILED


def test_shorter_retry_after_than_the_schedule_changes_nothing() -> None:
    reply = Reply(status=503, latency_ms=1, retry_after_s=1)
    assert delivery_after(DELIVERY, reply, endpoint_active=True, now=NOW, jitter=0.0).next_attempt_at == NOW + 5


def test_endpoint_is_disabled_after_five_days_counted_from_its_first_failure() -> None:
    failing, why = endpoint_after(ENDPOINT, FAILED, now=NOW)
    assert (failing.failing_since, why) == (NOW, None)
    assert endpoint_after(failing, FAILED, now=NOW + FAILING_LIMIT_S - 1) == (failing, None)
    assert endpoint_after(failing, FAILED, now=NOW + FAILING_LIMIT_S) == (failing, "it has failed for five days")
    recovered, why = endpoint_after(failing, Reply(status=200, latency_ms=1), now=NOW + FAILING_LIMIT_S)
    assert (recovered.failing_since, why) == (None, None)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("86401", MAX_RETRY_AFTER_S),
        ("9" * 5_000, MAX_RETRY_AFTER_S),
        ("Thu, 26 Mar 2026 13:10:00 GMT", 600),
        ("Thursday, 26-Mar-26 13:10:00 GMT", 600),
        ("Thu, 26 Mar 2026 12:00:00 GMT", 0),
        ("Thu, 26 Mar 2099 12:00:00 GMT", MAX_RETRY_AFTER_S),
        ("-5", 0),
        ("soon", 0),
        ("١٢", 0),
        ("1.5", 0),
        ("", 0),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(value: str, seconds: int) -> None:
    assert retry_after_s({"Retry-After": value}, now=NOW) == seconds


def test_no_retry_after_is_no_wait() -> None:
    assert retry_after_s({}, now=NOW) == 0
