"""From the set of canonical deposits to a payment's verdict.

Nothing is accumulated: the same set gives the same answer, whether a block was read for the first time, replayed, or
undone. `advance` is the only place where the chain changes a payment.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from openpay.domain.deposit import Deposit, RevertedAttempt, Source
from openpay.domain.events import Draft, EventType
from openpay.domain.payment import (
    ENDED,
    WAITING,
    Completion,
    Payment,
    Settlement,
    SettlementStatus,
    Status,
    Trigger,
)

RETRACTION_GRACE_S = 300
"""After a reorg took a payment's transfer away the customer has at least this long."""
LONGEST_UNSURE_S = 86_400
"""No block is taken to be later than the newest final one by more. One that claims it may be a single node's invention,
and what follows from it would outlast it."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """The newest block read, and the newest that is final for us. Times are block times in Unix seconds.

    `final_number`: at or below the chain's own finalized block, at least the required confirmations deep, and its
    hash reported by a second host where two are configured. None before the first such block.
    `tip_time`: `time`, but while a branch is being undone still the time of that branch's newest block.
    `is_rereading`: final blocks were taken back by hand, and the chain is being read again from below them. What is
    missing on record may be about to come: nothing that was final is called gone.
    `times`: of the blocks that were read together with this one, by number, while catching up.
    """

    number: int
    time: int
    tip_time: int
    final_number: int | None
    final_time: int | None
    is_rereading: bool = False
    times: Mapping[int, int] = field(default_factory=dict)

    def is_final(self, block_number: int) -> bool:
        return self.final_number is not None and block_number <= self.final_number

    def believable(self, time: int) -> int:
        """The time that a block above the final one names, within what is possible."""
        if self.final_time is None:
            return time
        return min(max(time, self.final_time), self.final_time + LONGEST_UNSURE_S)


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """The escrow settled these terms, or would settle them now."""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """The escrow refuses these terms by a named error, the same from two hosts where two are configured."""

    error: str


EscrowAnswer = Accepted | Refused | None
"""None: not asked, or no usable answer; the payment stays confirming."""


@dataclass(frozen=True, kw_only=True)
class SettledLog:
    """A `Settled` log of the escrow for this payment. `block_time` in Unix seconds."""

    token: str
    units: int
    tx_hash: bytes
    block_number: int
    block_time: int


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that the canonical chain says of one payment."""

    deposits: Sequence[Deposit] = ()
    attempts: Sequence[RevertedAttempt] = ()
    settled: SettledLog | None = None
    escrow_answer: EscrowAnswer = None


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What was received of one offered token. `on_time_units` counts blocks up to the deadline only."""

    received_units: int
    on_time_units: int
    remaining_units: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A payment's next value (equal to the old one when nothing changed) and the events that say so, in order."""

    payment: Payment
    events: tuple[Draft, ...] = ()


def is_late(payment: Payment, deposit: Deposit) -> bool:
    """Whether a deposit can no longer count: past the deadline, or after the payment's end. Never once paid."""
    if payment.status in (Status.CONFIRMING, Status.PAID):
        return False  # the clock stands still while confirming
    if payment.status is Status.CANCELED:
        return True
    if payment.status is Status.FAILED and payment.ended_at is not None and deposit.block_time > payment.ended_at:
        return True
    return deposit.block_time > payment.deadline


def tally(payment: Payment, deposits: Iterable[Deposit]) -> Mapping[str, Tally]:
    """Received and remaining units for every offered token. Tokens are never added together."""
    received: dict[str, int] = defaultdict(int)
    on_time: dict[str, int] = defaultdict(int)
    for deposit in deposits:
        received[deposit.token] += deposit.units
        if not is_late(payment, deposit):
            on_time[deposit.token] += deposit.units
    return {
        offer.token: Tally(
            received_units=received[offer.token],
            on_time_units=on_time[offer.token],
            remaining_units=0 if on_time[offer.token] >= offer.min_units else offer.full_units - on_time[offer.token],
        )
        for offer in payment.offers
    }


def completing_deposit(payment: Payment, deposits: Iterable[Deposit]) -> Deposit | None:
    """The deposit, in chain order, with which one accepted token first reached its least amount in time."""
    sums: dict[str, int] = defaultdict(int)
    for deposit in sorted(deposits, key=lambda d: d.order):
        offer = payment.offer(deposit.token)
        if offer is None or not _counts(payment, deposit):
            continue
        sums[deposit.token] += deposit.units
        if sums[deposit.token] >= offer.min_units:
            return deposit
    return None


def advance(payment: Payment, evidence: Evidence, head: Head) -> Outcome:
    """Decide what the chain, read up to `head`, makes of `payment`. Calling it again changes nothing.

    The only clock is `head`: its block times.
    """
    events: list[Draft] = []
    while (step := _step(payment, evidence, head)) is not None:
        payment, draft = step
        events.append(replace(draft, moment=payment))
    if payment.status is Status.PAID:
        # Its transfer may have moved to another block: that changes where the payment is found, not that it is paid.
        payment = replace(payment, completion=_rests_on(payment, evidence) or payment.completion)
    payment = replace(payment, settlement=_settlement(payment, evidence, head))
    events.extend(_reports(payment, evidence))
    return Outcome(payment=payment, events=tuple(events))


def _step(payment: Payment, evidence: Evidence, head: Head) -> tuple[Payment, Draft] | None:
    """One change of status (or of the transaction it rests on), or None when there is nothing left to change."""
    if payment.status in WAITING:
        return _step_waiting(payment, evidence, head)
    if payment.status is Status.CONFIRMING:
        return _step_confirming(payment, evidence, head)
    if payment.status is Status.PAID and _is_reversed(payment, evidence, head):
        return replace(payment, reversed_at=head.time), Draft(type=EventType.REVERSED)
    return None


def _step_waiting(payment: Payment, evidence: Evidence, head: Head) -> tuple[Payment, Draft] | None:
    completion = _completion(payment, evidence)
    if completion is not None:
        trigger = Trigger.REVERT_REPORTED if completion.reverted else Trigger.SUFFICIENT_DEPOSIT
        moved = payment.moved(trigger, completion=completion, confirming_since=head.believable(head.time))
        return moved, Draft(type=EventType.CONFIRMING)
    # Before the partial deposit is looked at: a deadline that has passed finally leaves nothing to wait for.
    if head.final_time is not None and head.final_time > payment.deadline:
        return payment.moved(Trigger.DEADLINE_PASSED, ended_at=head.final_time), Draft(type=EventType.EXPIRED)
    if payment.status is Status.INITIATED and any(_counts(payment, deposit) for deposit in evidence.deposits):
        return payment.moved(Trigger.PARTIAL_DEPOSIT), Draft(type=EventType.PENDING)
    return None


def _step_confirming(payment: Payment, evidence: Evidence, head: Head) -> tuple[Payment, Draft] | None:
    completion = _completion(payment, evidence)
    if completion is None or (completion.reverted and not _is_reverted(payment)):
        now = head.believable(head.tip_time)
        since = now if payment.confirming_since is None else payment.confirming_since
        # What the customer gets back is the time since it became confirming: never more than there was at first.
        left = min(payment.deadline - since, payment.expires_at - payment.created_at)
        moved = payment.moved(
            Trigger.RETRACTED,
            completion=None,
            confirming_since=None,
            retracted_at=payment.retracted_at if _is_reverted(payment) else now,
            deadline=max(payment.deadline, now + left, now + RETRACTION_GRACE_S),
        )
        return moved, Draft(type=EventType.PENDING)
    if completion != payment.completion:
        # A successful transfer beats a reverted one, and an earlier sum beats a later: same status, other transaction.
        return replace(payment, completion=completion), Draft(type=EventType.CONFIRMING)
    if not head.is_final(completion.block_number):
        return None
    if completion.reverted:
        moved = payment.moved(Trigger.REVERT_FINAL, ended_at=head.believable(head.time), failure="reverted")
        return moved, Draft(type=EventType.FAILED)
    match _escrow_answer(evidence, head):
        case Accepted():
            number, time = _made_final_by(payment, completion, head)
            moved = payment.moved(
                Trigger.CONFIRMED,
                paid_at=time,
                ended_at=time,
                paid_confirmations=number - completion.block_number + 1,
            )
            return moved, Draft(type=EventType.COMPLETED)
        case Refused(error=error):
            moved = payment.moved(Trigger.REFUSED, ended_at=head.believable(head.time), failure=error)
            return moved, Draft(type=EventType.FAILED)
        case None:
            return None


def _made_final_by(payment: Payment, completion: Completion, head: Head) -> tuple[int, int]:
    """Number and time of the block with which a payment is paid: the newest one or, where several were read at once,
    the one that completed its confirmations."""
    number = completion.block_number + payment.required_confirmations - 1
    if number < head.number and number in head.times:
        return number, min(head.times[number], head.believable(head.time))
    return head.number, head.believable(head.time)


def _is_reverted(payment: Payment) -> bool:
    return payment.completion is not None and payment.completion.reverted


def _escrow_answer(evidence: Evidence, head: Head) -> EscrowAnswer:
    """A final `Settled` log is the escrow's own word, whoever caused it; otherwise what it answered when asked."""
    if evidence.settled is not None and head.is_final(evidence.settled.block_number):
        return Accepted()
    return evidence.escrow_answer


def _completion(payment: Payment, evidence: Evidence) -> Completion | None:
    """What a confirming payment may rest on: the completing deposit, else the earliest reported revert."""
    deposit = completing_deposit(payment, evidence.deposits)
    if deposit is not None:
        return _completed_by(deposit)
    after = -1 if payment.retracted_at is None else payment.retracted_at
    attempts = [a for a in evidence.attempts if after < a.block_time <= payment.deadline]
    if not attempts:
        return None
    first = min(attempts, key=lambda a: (a.block_number, a.tx_hash))
    return Completion(
        token=first.token,
        tx_hash=first.tx_hash,
        block_number=first.block_number,
        block_hash=first.block_hash,
        reverted=True,
    )


def _counts(payment: Payment, deposit: Deposit) -> bool:
    """Whether a deposit adds to what was received in time: of a token that this payment accepts, and not late."""
    return payment.offer(deposit.token) is not None and not is_late(payment, deposit)


def _is_reversed(payment: Payment, evidence: Evidence, head: Head) -> bool:
    """Whether it shows only now that a paid payment lost its money for good."""
    return payment.reversed_at is None and not head.is_rereading and _rests_on(payment, evidence) is None


def _rests_on(payment: Payment, evidence: Evidence) -> Completion | None:
    """What a paid payment rests on now; None when the money it was paid by is gone.

    Up to its completing block enough must have come; or its completing transfer is in another block, and enough has
    come in all. Other money that came later is excess, and hides nothing.
    """
    completion = payment.completion
    if completion is None:
        return None
    deposits = evidence.deposits
    by_then = completing_deposit(payment, [d for d in deposits if d.block_number <= completion.block_number])
    moved = completion.tx_hash is None or any(d.tx_hash == completion.tx_hash for d in deposits)
    deposit = completing_deposit(payment, deposits) if by_then is None and moved else by_then
    if deposit is None:
        return None
    stands = any((d.block_hash, d.tx_hash) == (completion.block_hash, completion.tx_hash) for d in deposits)
    return completion if stands else _completed_by(deposit)


def _completed_by(deposit: Deposit) -> Completion:
    return Completion(
        token=deposit.token,
        # Which transaction moved money inside a contract is one node's word, and may be another's tomorrow.
        tx_hash=None if deposit.source is Source.INTERNAL else deposit.tx_hash,
        block_number=deposit.block_number,
        block_hash=deposit.block_hash,
    )


def _settlement(payment: Payment, evidence: Evidence, head: Head) -> Settlement | None:
    """Settlement is what the chain says: only a final `Settled` log makes it settled, and only a paid one has it."""
    if payment.status is not Status.PAID:
        return None
    log = evidence.settled
    if log is not None and head.is_final(log.block_number):
        return Settlement(
            status=SettlementStatus.SETTLED, tx_hash=log.tx_hash, units=log.units, settled_at=log.block_time
        )
    if payment.settlement is None:
        return Settlement(status=SettlementStatus.PENDING)
    if payment.settlement.status is SettlementStatus.SETTLED and not head.is_rereading:
        return Settlement(status=SettlementStatus.PENDING)
    return payment.settlement


def _reports(payment: Payment, evidence: Evidence) -> Iterable[Draft]:
    """Events about money rather than status. Each names what it is about, so that saying it again stores nothing."""
    tallies = tally(payment, evidence.deposits)
    if payment.status is Status.PENDING:
        for token, sums in sorted(tallies.items()):
            if sums.on_time_units > 0 and sums.remaining_units > 0:
                yield Draft(
                    type=EventType.UNDERPAID,
                    subject=f"{token}:{sums.on_time_units}",
                    data={
                        "token": token,
                        "received_units": str(sums.on_time_units),
                        "remaining_units": str(sums.remaining_units),
                    },
                )
    if payment.status in ENDED:
        for deposit in sorted(evidence.deposits, key=lambda d: d.order):
            if is_late(payment, deposit):
                yield Draft(type=EventType.LATE_DEPOSIT, subject=deposit.key, data=deposit_data(deposit))
    if payment.settlement is not None and payment.settlement.status is SettlementStatus.SETTLED:
        tx_hash = payment.settlement.tx_hash
        yield Draft(
            type=EventType.SETTLED,
            subject="settled",
            data={
                "tx_hash": None if tx_hash is None else "0x" + tx_hash.hex(),
                "amount_units": str(payment.settlement.units),
            },
        )


def deposit_data(deposit: Deposit) -> Mapping[str, str | int | None]:
    """A deposit as events show it."""
    return {
        "token": deposit.token,
        "amount_units": str(deposit.units),
        "tx_hash": None if deposit.tx_hash is None else "0x" + deposit.tx_hash.hex(),
        "block_number": deposit.block_number,
    }
