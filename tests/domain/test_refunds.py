"""The life of a refund as a table: every row of it, and every pair that is not in it."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from openpay.domain.refunds import (
    APPROVABLE,
    CLAIMABLE,
    TRANSITIONS,
    UNSENT,
    NamedBy,
    Refund,
    RefundMode,
    RefundReason,
    RefundStatus,
    RefundTrigger,
    approved,
    named,
    next_refund_status,
)
from openpay.errors import InvariantViolated

# Written from the design, row by row, not from the code.
DESIGNED = {
    "awaiting_claim": {
        RefundTrigger.RULED: "scheduled",
        RefundTrigger.TOO_SMALL: "dust",
        RefundTrigger.NAMED: "requested",
        RefundTrigger.CLAIMED: "scheduled",
        RefundTrigger.APPROVED: "scheduled",
        RefundTrigger.LOGGED: "succeeded",
        RefundTrigger.GONE: "canceled",
    },
    "requested": {
        RefundTrigger.NAMED: "requested",
        RefundTrigger.CLAIMED: "scheduled",
        RefundTrigger.APPROVED: "scheduled",
        RefundTrigger.LOGGED: "succeeded",
        RefundTrigger.GONE: "canceled",
    },
    "scheduled": {
        RefundTrigger.APPROVED: "scheduled",
        RefundTrigger.SENT: "submitted",
        RefundTrigger.REFUSED: "failed",
        RefundTrigger.LOGGED: "succeeded",
        RefundTrigger.GONE: "canceled",
    },
    "submitted": {
        RefundTrigger.SENT: "submitted",
        RefundTrigger.WITHOUT_EFFECT: "scheduled",
        RefundTrigger.LOGGED: "succeeded",
    },
    "succeeded": {
        RefundTrigger.UNMINED: "submitted",
        RefundTrigger.UNSIGNED: "requires_signature",
        RefundTrigger.GONE: "canceled",
    },
    "failed": {
        RefundTrigger.NAMED: "requested",
        RefundTrigger.CLAIMED: "scheduled",
        RefundTrigger.APPROVED: "scheduled",
        RefundTrigger.LOGGED: "succeeded",
        RefundTrigger.GONE: "canceled",
    },
    "dust": {
        RefundTrigger.NAMED: "requested",
        RefundTrigger.APPROVED: "scheduled",
        RefundTrigger.LOGGED: "succeeded",
        RefundTrigger.GONE: "canceled",
    },
    "canceled": {RefundTrigger.RETURNED: "awaiting_claim"},
    "requires_signature": {RefundTrigger.LOGGED: "succeeded", RefundTrigger.WITHDRAWN: "canceled"},
}

ELSEWHERE = bytes([9]) * 20


def make_refund(**changes: Any) -> Refund:
    fields: dict[str, Any] = {
        "id": "ref_1",
        "payment_id": "pay_1",
        "merchant_id": "mer_1",
        "livemode": True,
        "chain_id": 56,
        "token": "USDT",
        "units": 40,
        "reason": RefundReason.PARTIAL,
        "mode": RefundMode.CLAIM,
        "source": "block:log:0",
        "sender": bytes([5]) * 20,
        "status": RefundStatus.AWAITING_CLAIM,
        "available_at": 0,
        "created_at": 0,
    }
    return Refund(**fields | changes)


def test_table_is_the_designed_one() -> None:
    assert {
        status.value: {trigger: after.value for (before, trigger), after in TRANSITIONS.items() if before is status}
        for status in RefundStatus
    } == DESIGNED


@pytest.mark.parametrize(
    ("status", "trigger"), list(product(RefundStatus, RefundTrigger)), ids=lambda value: value.name
)
def test_trigger_leads_where_the_table_says_or_nowhere(status: RefundStatus, trigger: RefundTrigger) -> None:
    designed = DESIGNED[status.value].get(trigger)
    if designed is None:
        with pytest.raises(InvariantViolated, match=status.value):
            next_refund_status(status, trigger)
    else:
        assert make_refund(status=status).moved(trigger).status.value == designed


def test_what_is_on_its_way_or_ended_can_be_neither_claimed_nor_approved() -> None:
    over = {RefundStatus.SUBMITTED, RefundStatus.SUCCEEDED, RefundStatus.CANCELED, RefundStatus.REQUIRES_SIGNATURE}

    assert not over & CLAIMABLE
    assert not over & APPROVABLE
    assert not over & UNSENT


def test_knowing_the_page_is_never_enough_to_send_money() -> None:
    for status in CLAIMABLE:
        for mode in (RefundMode.CLAIM, RefundMode.MANUAL, RefundMode.AUTOMATIC):
            asked = named(make_refund(status=status, mode=mode), ELSEWHERE, by=NamedBy.VISITOR)
            assert asked.status is RefundStatus.REQUESTED


def test_senders_signature_sends_the_money() -> None:
    claimed = named(make_refund(), ELSEWHERE, by=NamedBy.SENDER)

    assert (claimed.status, claimed.destination) == (RefundStatus.SCHEDULED, ELSEWHERE)


@pytest.mark.parametrize("status", [RefundStatus.AWAITING_CLAIM, RefundStatus.DUST])
def test_senders_signature_waits_for_a_merchant_who_decides_on_each(status: RefundStatus) -> None:
    claimed = named(make_refund(status=status, mode=RefundMode.MANUAL), ELSEWHERE, by=NamedBy.SENDER)

    assert claimed.status is RefundStatus.REQUESTED
    assert approved(claimed, ELSEWHERE).status is RefundStatus.SCHEDULED


def test_another_address_makes_a_failed_refund_good() -> None:
    again = approved(make_refund(status=RefundStatus.FAILED, failure="reverted"), ELSEWHERE)

    assert (again.status, again.failure, again.destination) == (RefundStatus.SCHEDULED, None, ELSEWHERE)


def test_signed_text_names_everything_that_it_allows() -> None:
    text = make_refund().claim_message("0xABCD", amount="12.50")

    for what in ("12.50 USDT", "0xABCD", "pay_1", "ref_1", "56"):
        assert what in text


def test_page_lists_every_status_with_its_exits() -> None:
    page = (Path(__file__).parents[2] / "docs" / "refunds.md").read_text()
    listed = {
        status: re.findall(r"`(\w+)`", exits)
        for status, exits in re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]*)\|$", page, re.MULTILINE)
    }

    exits: dict[str, list[str]] = {status.value: [] for status in RefundStatus}
    for (before, _), after in TRANSITIONS.items():
        exits[before.value].append(after.value)
    assert {status: sorted(set(names)) for status, names in listed.items()} == {
        status: sorted(set(names)) for status, names in exits.items()
    }
