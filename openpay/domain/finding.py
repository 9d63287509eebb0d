"""What a customer is told of a transaction they say they paid with: from what is on record, and what a node shows.

It explains and changes nothing. A node's word is proven by nothing here, so nothing follows from it; and an address
that is not this payment's own is a stranger's, whosever it is: what else we know of it is not looked up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from openpay.domain.assessment import completing_deposit, is_late, tally
from openpay.domain.chains import Chain
from openpay.domain.deposit import Deposit, Source
from openpay.domain.payment import ENDED, Payment, Status


class TransactionState(StrEnum):
    """How far a transaction is, by one node's word."""

    PENDING = "pending"
    """It waits for a block."""
    SUCCEEDED = "succeeded"
    REVERTED = "reverted"
    """It is in a block and moved nothing."""


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """Money that a transaction moves, or is to move. `contract` None: the chain's own coin. `units` > 0."""

    contract: bytes | None
    to: bytes
    units: int


@dataclass(frozen=True, kw_only=True)
class SeenTransaction:
    """A transaction as a node shows it. Of one that is pending or reverted, `transfers` are those it asked for.

    `calls_contract`: it runs a contract's code other than a plain token transfer, which may move the chain's coin
    without a trace in any log. Block number and time are None while it is pending.
    """

    state: TransactionState
    transfers: tuple[Transfer, ...]
    calls_contract: bool
    block_number: int | None = None
    block_time: int | None = None


class Finding(StrEnum):
    """What was found, in the order of what is looked for first."""

    COUNTED = "counted"
    """On record, and it counts."""
    EXTRA = "extra"
    """It came on top of what had been enough."""
    UNUSED = "unused"
    """On record and in time, but the payment ended without being paid: it goes back."""
    LATE = "late"
    """It reached the address too late to count, or would."""
    NOT_ACCEPTED = "not_accepted"
    """A token that is listed, but not accepted for this payment."""
    UNLISTED = "unlisted"
    """A token that is not listed at all."""
    TOO_LITTLE = "too_little"
    """The right token at the right address, and less than what remains."""
    ON_ITS_WAY = "on_its_way"
    """Right, in a block that is not on record yet."""
    CONTRADICTED = "contradicted"
    """A node shows it in a block that is final on record, where it is not."""
    REVERTED = "reverted"
    PENDING = "pending"
    """It waits for a block, and would be right."""
    PENDING_UNCLEAR = "pending_unclear"
    """It waits for a block, and only then can be said what it moves."""
    AT_CONTRACT = "at_contract"
    """Sent to the contract of a token, as some wallets do that misread a QR code."""
    ELSEWHERE = "elsewhere"
    UNKNOWN = "unknown"
    """No node of this network knows it."""
    UNREADABLE = "unreadable"
    """No node answered."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A finding with what its words need; whatever does not belong to it is None or False.

    `units` of `token`, or of the token at `contract` that is not listed: what this transaction brought. `remaining`:
    what is still to be sent in that token. `confirmations` counts the deposit's own block as the first.
    """

    finding: Finding
    token: str | None = None
    contract: bytes | None = None
    units: int | None = None
    remaining: int | None = None
    confirmations: int | None = None
    sent_to: bytes | None = None
    is_pending: bool = False
    may_be_internal: bool = False
    """It runs a contract, which may have sent the chain's own coin where no log shows it."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known of a payment without asking anybody. Block numbers are None before the chain was read; `now` is the
    payment clock's time, in Unix seconds."""

    payment: Payment
    chain: Chain
    deposits: Sequence[Deposit]
    head_number: int | None
    final_number: int | None
    now: int


def explain_recorded(record: Record, tx_hash: bytes) -> Verdict | None:
    """What the record says of a transaction, which is more than any node's word; None when it is not on record."""
    return _recorded(record, [deposit for deposit in record.deposits if deposit.tx_hash == tx_hash])


def explain_seen(record: Record, seen: SeenTransaction | None) -> Verdict:
    """What a node's view of a transaction means for the payment; `seen` None when no node knows it."""
    if seen is None:
        return Verdict(finding=Finding.UNKNOWN)
    if seen.state is TransactionState.REVERTED:
        return Verdict(finding=Finding.REVERTED)
    is_pending = seen.state is TransactionState.PENDING
    ours = [transfer for transfer in seen.transfers if transfer.to == record.payment.address]
    if ours:
        return _arriving(record, seen, ours, is_pending=is_pending)
    if seen.calls_contract:
        if is_pending:
            return Verdict(finding=Finding.PENDING_UNCLEAR)
        inside = [
            deposit
            for deposit in record.deposits
            if deposit.source is Source.INTERNAL
            and deposit.tx_hash is None
            and deposit.block_number == seen.block_number
        ]
        if (recorded := _recorded(record, inside)) is not None:
            return recorded
    receivers = {transfer.to for transfer in seen.transfers}
    sent_to = receivers.pop() if len(receivers) == 1 else None
    if sent_to is not None and sent_to in {token.contract for token in record.chain.tokens}:
        return Verdict(finding=Finding.AT_CONTRACT, sent_to=sent_to, is_pending=is_pending)
    return Verdict(
        finding=Finding.ELSEWHERE, sent_to=sent_to, is_pending=is_pending, may_be_internal=seen.calls_contract
    )


def _recorded(record: Record, deposits: Sequence[Deposit]) -> Verdict | None:
    """The verdict on the deposits of one transaction: on the one that matters most to who paid."""
    verdicts = [_deposit_verdict(record, deposit) for deposit in deposits]
    order = (Finding.COUNTED, Finding.EXTRA, Finding.UNUSED, Finding.LATE, Finding.NOT_ACCEPTED)
    return min(verdicts, key=lambda verdict: order.index(verdict.finding), default=None)


def _deposit_verdict(record: Record, deposit: Deposit) -> Verdict:
    payment = record.payment
    offer = payment.offer(deposit.token)
    finding, remaining = Finding.COUNTED, None
    if is_late(payment, deposit):
        finding = Finding.LATE
    elif offer is None:
        finding = Finding.NOT_ACCEPTED
    elif payment.status in ENDED - {Status.PAID}:
        finding = Finding.UNUSED
    else:
        completing = completing_deposit(payment, record.deposits)
        if completing is not None and completing.order < deposit.order:
            finding = Finding.EXTRA
        else:
            remaining = tally(payment, record.deposits)[deposit.token].remaining_units
    return Verdict(
        finding=finding,
        token=deposit.token,
        units=deposit.units,
        remaining=remaining,
        confirmations=_confirmations(record, deposit.block_number),
    )


def _arriving(record: Record, seen: SeenTransaction, ours: Sequence[Transfer], *, is_pending: bool) -> Verdict:
    """The verdict on a transfer to the payment's address that is not on record."""
    sums: dict[bytes | None, int] = defaultdict(int)
    for transfer in ours:
        sums[transfer.contract] += transfer.units
    verdicts = [_sum_verdict(record, seen, contract, units, is_pending) for contract, units in sums.items()]
    order = list(Finding)
    best = (Finding.PENDING, Finding.ON_ITS_WAY, Finding.TOO_LITTLE, Finding.EXTRA)
    return min(verdicts, key=lambda verdict: (verdict.finding not in best, order.index(verdict.finding)))


def _sum_verdict(
    record: Record, seen: SeenTransaction, contract: bytes | None, units: int, is_pending: bool
) -> Verdict:
    payment = record.payment
    token = record.chain.token_at(contract)
    offer = next((offer for offer in payment.offers if offer.contract == contract), None)
    if offer is None and token is None:
        return Verdict(finding=Finding.UNLISTED, contract=contract, units=units, is_pending=is_pending)
    symbol = offer.token if offer is not None else token.symbol if token is not None else None
    remaining = None
    if not is_pending and _is_contradicted(record, seen):
        finding = Finding.CONTRADICTED
    elif _would_be_late(payment, record.now if is_pending else seen.block_time):
        finding = Finding.LATE
    elif offer is None:
        finding = Finding.NOT_ACCEPTED
    else:
        missing = tally(payment, record.deposits)[offer.token].remaining_units
        least = offer.min_units - (offer.full_units - missing)
        if completing_deposit(payment, record.deposits) is not None:
            finding = Finding.EXTRA
        elif units < least:
            finding, remaining = Finding.TOO_LITTLE, missing - units
        else:
            finding = Finding.PENDING if is_pending else Finding.ON_ITS_WAY
    return Verdict(finding=finding, token=symbol, units=units, remaining=remaining, is_pending=is_pending)


def _would_be_late(payment: Payment, time: int | None) -> bool:
    """`is_late`, for what is not on record. The time of its block may be unknown."""
    if payment.status in (Status.CONFIRMING, Status.PAID):
        return False
    # Once it has ended, what is read from now on finds it ended.
    return payment.status in ENDED or (time is not None and time > payment.deadline)


def _is_contradicted(record: Record, seen: SeenTransaction) -> bool:
    """Whether our own record of that block, which is final, does not have it, though the address was watched then."""
    if seen.block_number is None or record.final_number is None or seen.block_number > record.final_number:
        return False
    until = record.payment.watched_until
    return until is None or (seen.block_time is not None and seen.block_time <= until)


def _confirmations(record: Record, block_number: int) -> int | None:
    if record.head_number is None:
        return None
    return max(0, record.head_number - block_number + 1)
