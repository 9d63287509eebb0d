"""A refund: money of an ended payment on its way back, and the only table of how its status may change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from openpay.errors import InvariantViolated


class RefundStatus(StrEnum):
    """Where a refund is in its life. `succeeded` is the end, unless somebody rewinds what was final."""

    AWAITING_CLAIM = "awaiting_claim"
    """Nobody has said where to. Exits: requested, scheduled, dust, succeeded, canceled."""
    REQUESTED = "requested"
    """An address is named, and the merchant's approval is awaited. Exits: requested, scheduled, succeeded, canceled."""
    SCHEDULED = "scheduled"
    """Goes out once `available_at` has passed. Exits: scheduled, submitted, failed, succeeded, canceled."""
    SUBMITTED = "submitted"
    """Our transaction is on its way. Exits: submitted, scheduled, succeeded."""
    SUCCEEDED = "succeeded"
    """End: the escrow's log of it is final. Exits only where that log is on no chain any more after a rewind:
    submitted, requires_signature, canceled."""
    FAILED = "failed"
    """The transfer to that address reverts. Another may be named. Exits: requested, scheduled, succeeded, canceled."""
    DUST = "dust"
    """Worth less than its own gas: only sent when the merchant approves. Exits: requested, scheduled, succeeded,
    canceled."""
    CANCELED = "canceled"
    """Its deposit was reorganised away, or its money left the vault by another way. Exit: awaiting_claim."""
    REQUIRES_SIGNATURE = "requires_signature"
    """The merchant pays it from the treasury, by a transaction of its own. Exit: succeeded."""


class RefundTrigger(StrEnum):
    """What can happen to a refund, in the words of the documentation."""

    RULED = "the rules name the sender, who is safe to send back to"
    TOO_SMALL = "it is worth less than its own gas"
    NAMED = "an address is named, which the merchant has to approve"
    CLAIMED = "the sender names an address by its signature"
    APPROVED = "the merchant approves an address"
    SENT = "our transaction goes out"
    REFUSED = "the transfer to this address would revert"
    WITHOUT_EFFECT = "our transaction reverted, or will never be mined"
    LOGGED = "the escrow's log of it is final"
    GONE = "its deposit was reorganised away, or its money left the vault by another way"
    RETURNED = "its money is in the vault again"
    WITHDRAWN = "the merchant does not want to sign it any more"
    UNMINED = "after a rewind no block holds our transaction any more"
    UNSIGNED = "after a rewind no block holds the merchant's transaction any more"


_S, _T = RefundStatus, RefundTrigger

TRANSITIONS: Mapping[tuple[RefundStatus, RefundTrigger], RefundStatus] = {
    (_S.AWAITING_CLAIM, _T.RULED): _S.SCHEDULED,
    (_S.AWAITING_CLAIM, _T.TOO_SMALL): _S.DUST,
    (_S.AWAITING_CLAIM, _T.NAMED): _S.REQUESTED,
    (_S.REQUESTED, _T.NAMED): _S.REQUESTED,
    (_S.DUST, _T.NAMED): _S.REQUESTED,
    (_S.FAILED, _T.NAMED): _S.REQUESTED,
    (_S.AWAITING_CLAIM, _T.CLAIMED): _S.SCHEDULED,
    (_S.REQUESTED, _T.CLAIMED): _S.SCHEDULED,
    (_S.FAILED, _T.CLAIMED): _S.SCHEDULED,
    (_S.AWAITING_CLAIM, _T.APPROVED): _S.SCHEDULED,
    (_S.REQUESTED, _T.APPROVED): _S.SCHEDULED,
    (_S.SCHEDULED, _T.APPROVED): _S.SCHEDULED,
    (_S.DUST, _T.APPROVED): _S.SCHEDULED,
    (_S.FAILED, _T.APPROVED): _S.SCHEDULED,
    (_S.SCHEDULED, _T.SENT): _S.SUBMITTED,
    (_S.SUBMITTED, _T.SENT): _S.SUBMITTED,
    (_S.SCHEDULED, _T.REFUSED): _S.FAILED,
    (_S.SUBMITTED, _T.WITHOUT_EFFECT): _S.SCHEDULED,
    (_S.AWAITING_CLAIM, _T.LOGGED): _S.SUCCEEDED,
    (_S.REQUESTED, _T.LOGGED): _S.SUCCEEDED,
    (_S.SCHEDULED, _T.LOGGED): _S.SUCCEEDED,
    (_S.SUBMITTED, _T.LOGGED): _S.SUCCEEDED,
    (_S.DUST, _T.LOGGED): _S.SUCCEEDED,
    (_S.FAILED, _T.LOGGED): _S.SUCCEEDED,
    (_S.REQUIRES_SIGNATURE, _T.LOGGED): _S.SUCCEEDED,
    (_S.REQUIRES_SIGNATURE, _T.WITHDRAWN): _S.CANCELED,
    (_S.AWAITING_CLAIM, _T.GONE): _S.CANCELED,
    (_S.REQUESTED, _T.GONE): _S.CANCELED,
    (_S.SCHEDULED, _T.GONE): _S.CANCELED,
    (_S.DUST, _T.GONE): _S.CANCELED,
    (_S.FAILED, _T.GONE): _S.CANCELED,
    (_S.CANCELED, _T.RETURNED): _S.AWAITING_CLAIM,
    (_S.SUCCEEDED, _T.UNMINED): _S.SUBMITTED,
    (_S.SUCCEEDED, _T.UNSIGNED): _S.REQUIRES_SIGNATURE,
    (_S.SUCCEEDED, _T.GONE): _S.CANCELED,
}

UNSENT = frozenset({_S.AWAITING_CLAIM, _S.REQUESTED, _S.SCHEDULED, _S.DUST, _S.FAILED})
"""Lies in the vault, and no transaction of ours moves it yet."""
CLAIMABLE = frozenset(status for status, trigger in TRANSITIONS if trigger is _T.NAMED)
"""An address may be named on the payment's page."""
APPROVABLE = frozenset(status for status, trigger in TRANSITIONS if trigger is _T.APPROVED)


def next_refund_status(status: RefundStatus, trigger: RefundTrigger) -> RefundStatus:
    """The status after `trigger`. Raises `InvariantViolated` for a pair that is not in the table."""
    try:
        return TRANSITIONS[status, trigger]
    except KeyError:
        raise InvariantViolated(f"a refund that is {status} cannot change because {trigger.value}") from None


class RefundReason(StrEnum):
    PARTIAL = "partial"
    """In time, but less than was due, or refused by the escrow."""
    LATE = "late"
    """After the deadline, or after the payment's end."""
    NOT_ACCEPTED = "not_accepted"
    """A listed token that this payment does not accept."""
    MERCHANT = "merchant"
    """The merchant's own wish."""


class RefundMode(StrEnum):
    """Who has to act for it to go out."""

    AUTOMATIC = "automatic"
    CLAIM = "claim"
    """The sender signs, or the merchant approves."""
    MANUAL = "manual"
    """The merchant approves it: so it wants to, or it is dust."""
    MERCHANT_SIGNATURE = "merchant_signature"
    """The merchant sends it from the treasury, or sent it from the vault, by a transaction of its own."""


class NamedBy(StrEnum):
    """Who named the destination: whose word the money follows."""

    RULE = "rule"
    VISITOR = "visitor"
    """Somebody who knows the page's URL: never enough to send money."""
    SENDER = "sender"
    MERCHANT = "merchant"


class RefundPolicy(StrEnum):
    """A merchant's choice for refunds that need nobody's word."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


@dataclass(frozen=True, kw_only=True)
class Refund:
    """Part of a payment's money on its way back. `units` > 0 in the token's base unit; times are Unix seconds.

    `source` is the key of the deposit it gives back (None: the merchant's own wish), `sender` that deposit's payer
    where one is known: whose signature may name an address. `available_at`: block time from which it may go out.
    `log_index` and `tx_hash` name the escrow's log once it succeeded; `tx_hash` our transaction before.
    `found_senders`: who its money turned out to be from, in units each, where a rescan found transfers that its deposit
    had been taken for.
    """

    id: str
    payment_id: str
    merchant_id: str
    livemode: bool
    chain_id: int
    token: str
    units: int
    reason: RefundReason
    mode: RefundMode
    source: str | None
    sender: bytes | None
    status: RefundStatus
    available_at: int
    created_at: int
    destination: bytes | None = None
    named_by: NamedBy | None = None
    tx_hash: bytes | None = None
    log_index: int | None = None
    failure: str | None = None
    completed_at: int | None = None
    found_senders: tuple[tuple[bytes, int], ...] = ()

    def moved(self, trigger: RefundTrigger, **changes: object) -> Refund:
        """This refund after `trigger`, with `changes` to its moving fields. Raises `InvariantViolated`."""
        return replace(self, status=next_refund_status(self.status, trigger), **changes)  # type: ignore[arg-type]

    def claim_message(self, destination: str, *, amount: str) -> str:
        """The text that the sender signs (EIP-191, version 0x45). `destination` with EIP-55 capitals, `amount` in whole
        tokens: what the signer reads is all that the signature allows."""
        return (
            f"Refund {amount} {self.token} to {destination}\n\n"
            f"Payment: {self.payment_id}\nRefund: {self.id}\nChain: {self.chain_id}"
        )


def named(refund: Refund, destination: bytes, *, by: NamedBy) -> Refund:
    """An address, named by a visitor or the sender. The sender's signature sends it, except where the merchant decides.

    Raises `InvariantViolated` for a refund that is not claimable."""
    signed = by is NamedBy.SENDER and refund.mode is not RefundMode.MANUAL
    trigger = RefundTrigger.CLAIMED if signed else RefundTrigger.NAMED
    return refund.moved(trigger, destination=destination, named_by=by, failure=None)


def approved(refund: Refund, destination: bytes) -> Refund:
    """The merchant's word. Raises `InvariantViolated` for a refund that is on its way, or ended."""
    return refund.moved(
        RefundTrigger.APPROVED, destination=destination, named_by=NamedBy.MERCHANT, failure=None, tx_hash=None
    )


def taken_back(refund: Refund) -> Refund:
    """Never to be signed. Raises `InvariantViolated` for a refund that waits for no signature."""
    return refund.moved(RefundTrigger.WITHDRAWN)


def sent(refund: Refund, tx_hash: bytes) -> Refund:
    """While `tx_hash` is on its way; again for its replacement."""
    return refund.moved(RefundTrigger.SENT, tx_hash=tx_hash)


def without_effect(refund: Refund) -> Refund:
    """Its transaction reverted, or will never be mined: it goes out again, if it still can."""
    return refund.moved(RefundTrigger.WITHOUT_EFFECT, tx_hash=None)


def unmined(refund: Refund) -> Refund:
    """After a rewind: its transaction, one of ours, is in no block any more, and is followed again."""
    return refund.moved(RefundTrigger.UNMINED, log_index=None, completed_at=None)


def unsigned(refund: Refund) -> Refund:
    """After a rewind: the merchant's transaction from the treasury is in no block any more."""
    return refund.moved(RefundTrigger.UNSIGNED, tx_hash=None, log_index=None, completed_at=None)


def undone(refund: Refund) -> Refund:
    """After a rewind: what somebody else sent out of the vault is in no block any more. What is owed begins anew."""
    return refund.moved(
        RefundTrigger.GONE, destination=None, named_by=None, tx_hash=None, log_index=None, completed_at=None
    )


def refused(refund: Refund, failure: str) -> Refund:
    """The transfer to this address would revert; `failure` says why, for people and programs."""
    return refund.moved(RefundTrigger.REFUSED, failure=failure, tx_hash=None)
