"""The life of a payment as a table: every row of it, and every pair that is not in it."""

from __future__ import annotations

from itertools import product

import pytest

from openpay.domain.payment import ENDED, OPEN, TRANSITIONS, WAITING, Status, Trigger, next_status
from openpay.errors import InvariantViolated
from tests.domain.builders import make_payment

# Written from the design, row by row, not from the code.
DESIGNED = {
    "initiated": {
        Trigger.OPENED: "pending",
        Trigger.PARTIAL_DEPOSIT: "pending",
        Trigger.SUFFICIENT_DEPOSIT: "confirming",
        Trigger.REVERT_REPORTED: "confirming",
        Trigger.DEADLINE_PASSED: "expired",
        Trigger.CANCELED: "canceled",
    },
    "pending": {
        Trigger.SUFFICIENT_DEPOSIT: "confirming",
        Trigger.REVERT_REPORTED: "confirming",
        Trigger.DEADLINE_PASSED: "expired",
        Trigger.CANCELED: "canceled",
    },
    "confirming": {
        Trigger.CONFIRMED: "paid",
        Trigger.REVERT_FINAL: "failed",
        Trigger.REFUSED: "failed",
        Trigger.RETRACTED: "pending",
    },
    "paid": {},
    "failed": {},
    "expired": {},
    "canceled": {},
}

PAIRS = list(product(Status, Trigger))


def test_table_is_the_designed_one() -> None:
    assert {
        status.value: {trigger: after.value for (before, trigger), after in TRANSITIONS.items() if before is status}
        for status in Status
    } == DESIGNED


@pytest.mark.parametrize(("status", "trigger"), PAIRS, ids=lambda value: value.name)
def test_trigger_leads_where_the_table_says_or_nowhere(status: Status, trigger: Trigger) -> None:
    designed = DESIGNED[status.value].get(trigger)
    payment = make_payment(status=status)
    if designed is None:
        with pytest.raises(InvariantViolated, match=status.value):
            next_status(status, trigger)
        with pytest.raises(InvariantViolated):
            payment.moved(trigger)
    else:
        assert next_status(status, trigger) == designed
        assert payment.moved(trigger, ended_at=5) == make_payment(status=Status(designed), ended_at=5)


def test_every_status_is_waiting_confirming_or_ended() -> None:
    assert {Status.CONFIRMING} | WAITING == OPEN
    assert OPEN.isdisjoint(ENDED)
    assert set(Status) == OPEN | ENDED


def test_ends_have_no_exit_and_everything_else_has_one() -> None:
    assert {status for status, _ in TRANSITIONS} == OPEN


def test_every_status_can_be_reached_and_every_trigger_does_something() -> None:
    assert set(TRANSITIONS.values()) | {Status.INITIATED} == set(Status)
    assert {trigger for _, trigger in TRANSITIONS} == set(Trigger)
