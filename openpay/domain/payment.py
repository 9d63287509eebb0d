"""A payment, and the only table of how its status may change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from openpay.domain.terms import Terms
from openpay.errors import InvariantViolated


class Status(StrEnum):
    """Where a payment is in its life. Ends are final."""

    INITIATED = "initiated"
    """Nobody has looked at it. Exits: pending, confirming, expired, canceled."""
    PENDING = "pending"
    """Waiting for money. Exits: confirming, expired, canceled."""
    CONFIRMING = "confirming"
    """A sufficient (or a reported, reverted) transfer is in a block. Exits: paid, failed, pending."""
    PAID = "paid"
    """End: final on the chain, and accepted by the escrow."""
    FAILED = "failed"
    """End: the only transfer reverted, or the escrow refused."""
    EXPIRED = "expired"
    """End: a final block past the deadline was read, with less than the amount due."""
    CANCELED = "canceled"
    """End: called off before anything was received."""


class Trigger(StrEnum):
    """What can happen to a payment, in the words of the documentation."""

    OPENED = "the customer opens the checkout page"
    PARTIAL_DEPOSIT = "a first deposit below the amount due arrives"
    SUFFICIENT_DEPOSIT = "deposits of one accepted token reach the amount due by the deadline"
    REVERT_REPORTED = "the page's wallet reported a transaction that was mined and reverted"
    DEADLINE_PASSED = "a final block later than the deadline has been read"
    CANCELED = "merchant or customer cancels; nothing was received"
    CONFIRMED = "enough confirmations, final, and the escrow's check passes"
    REVERT_FINAL = "the only such transaction is final and reverted"
    REFUSED = "the escrow refuses the payment by a named error"
    RETRACTED = "a reorg removed the transaction"


TRANSITIONS: Mapping[tuple[Status, Trigger], Status] = {
    (Status.INITIATED, Trigger.OPENED): Status.PENDING,
    (Status.INITIATED, Trigger.PARTIAL_DEPOSIT): Status.PENDING,
    (Status.INITIATED, Trigger.SUFFICIENT_DEPOSIT): Status.CONFIRMING,
    (Status.PENDING, Trigger.SUFFICIENT_DEPOSIT): Status.CONFIRMING,
    (Status.INITIATED, Trigger.REVERT_REPORTED): Status.CONFIRMING,
    (Status.PENDING, Trigger.REVERT_REPORTED): Status.CONFIRMING,
    (Status.INITIATED, Trigger.DEADLINE_PASSED): Status.EXPIRED,
    (Status.PENDING, Trigger.DEADLINE_PASSED): Status.EXPIRED,
    (Status.INITIATED, Trigger.CANCELED): Status.CANCELED,
    (Status.PENDING, Trigger.CANCELED): Status.CANCELED,
    (Status.CONFIRMING, Trigger.CONFIRMED): Status.PAID,
    (Status.CONFIRMING, Trigger.REVERT_FINAL): Status.FAILED,
    (Status.CONFIRMING, Trigger.REFUSED): Status.FAILED,
    (Status.CONFIRMING, Trigger.RETRACTED): Status.PENDING,
}

WAITING = frozenset({Status.INITIATED, Status.PENDING})
OPEN = WAITING | {Status.CONFIRMING}
ENDED = frozenset(Status) - OPEN
RETRYABLE = frozenset({Status.FAILED, Status.EXPIRED})

LATE_WINDOW_S = 30 * 86_400
"""How long the address of a payment that ended is watched, for money that comes late: 30 days, in seconds. What comes
later still is not lost, only not noticed by itself: `openpay reconcile` and `openpay rescan` find it."""


def next_status(status: Status, trigger: Trigger) -> Status:
    """The status after `trigger`. Raises `InvariantViolated` for a pair that is not in the table."""
    try:
        return TRANSITIONS[status, trigger]
    except KeyError:
        raise InvariantViolated(f"a payment that is {status} cannot change because {trigger.value}") from None


@dataclass(frozen=True, kw_only=True)
class Offer:
    """One token the payment may be paid in. `min_units` <= `full_units`: what the escrow accepts, what is asked for."""

    token: str
    asset_index: int
    contract: bytes | None
    decimals: int
    full_units: int
    min_units: int


@dataclass(frozen=True, kw_only=True)
class LineItem:
    """A line of the order, shown on the page only. `amount_usd`: the whole line, whatever its quantity, in micros."""

    name: str
    quantity: int
    amount_usd: int


@dataclass(frozen=True, kw_only=True)
class Completion:
    """The transaction a confirming payment rests on. `reverted`: a reported transaction that failed on the chain."""

    token: str
    tx_hash: bytes | None
    block_number: int
    block_hash: bytes
    reverted: bool = False


class SettlementStatus(StrEnum):
    PENDING = "pending"
    """Paid, still in the payment's vault."""
    SUBMITTED = "submitted"
    """Our transaction is on its way."""
    SETTLED = "settled"
    """End: the escrow logged `Settled`, and the log is final."""


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """The move from the payment's vault to the merchant's treasury. Exists from `paid` on."""

    status: SettlementStatus
    tx_hash: bytes | None = None
    units: int | None = None
    settled_at: int | None = None


@dataclass(frozen=True, kw_only=True)
class Payment:
    """A merchant's request for `amount_usd` micros of USD, and what became of it. Times are Unix seconds.

    Everything above `status` is fixed at creation. `deadline` starts as `expires_at` and only grows: time spent
    confirming does not count against the customer. `version` grows by one with every stored change.
    """

    id: str
    merchant_id: str
    livemode: bool
    chain_id: int
    amount_usd: int
    offers: tuple[Offer, ...]
    terms: Terms
    escrow: bytes
    address: bytes
    created_at: int
    expires_at: int
    required_confirmations: int
    unavailable_tokens: tuple[str, ...] = ()
    description: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    line_items: tuple[LineItem, ...] = ()
    success_url: str | None = None
    cancel_url: str | None = None
    allow_retry: bool = False
    retry_of: str | None = None

    status: Status = Status.INITIATED
    deadline: int
    completion: Completion | None = None
    confirming_since: int | None = None
    """Block time at which it became confirming; the clock stands still from then on."""
    retracted_at: int | None = None
    """Block time at which a reorg last took a sufficient transfer away. Reverted attempts up to then are history: the
    customer paid after them, and the transfer may well return in the new branch."""
    paid_at: int | None = None
    paid_confirmations: int | None = None
    ended_at: int | None = None
    failure: str | None = None
    """Why a failed payment failed: `reverted`, or the name of the escrow's error."""
    reversed_at: int | None = None
    settlement: Settlement | None = None
    version: int = 1

    def offer(self, token: str) -> Offer | None:
        return next((offer for offer in self.offers if offer.token == token), None)

    def can_be_canceled(self, *, has_deposits: bool, by_customer: bool) -> bool:
        """Money must not be left behind a closed door.

        For a customer that includes money which a reorganisation took back: it usually comes again. Merchants may know
        better.
        """
        return self.status in WAITING and not has_deposits and not (by_customer and self.retracted_at is not None)

    @property
    def can_be_retried(self) -> bool:
        """Whether its page may offer a new payment for the same order."""
        return self.allow_retry and self.status in RETRYABLE

    @property
    def watched_until(self) -> int | None:
        """The last block time at which money to its address is looked for; None while it is open."""
        if self.status not in ENDED:
            return None
        # Not from the end alone: a page may show the address until the deadline, whatever became of the payment.
        return max(self.deadline, self.ended_at or 0) + LATE_WINDOW_S

    def moved(self, trigger: Trigger, **changes: object) -> Payment:
        """This payment after `trigger`, with `changes` to its moving fields. Raises `InvariantViolated`."""
        return replace(self, status=next_status(self.status, trigger), **changes)  # type: ignore[arg-type]

    def confirmations(self, head_number: int | None) -> int | None:
        """How deep the completing transaction lies, its own block counting 1; None without one. Stops when paid."""
        if self.paid_confirmations is not None:
            return self.paid_confirmations
        if self.completion is None or head_number is None:
            return None
        return max(0, head_number - self.completion.block_number + 1)
