"""What must go back, and when: from a payment's deposits and the escrow's logs to its refunds.

Invariant: what its unsent and submitted refunds would move of a token never exceeds what lies in the vault. Nothing is
accumulated: the same record gives the same refunds, whether a block was read for the first time, replayed, or undone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

from openpay.domain.accounts import still_owed
from openpay.domain.assessment import Head, is_late
from openpay.domain.chains import Token
from openpay.domain.deposit import Deposit, Source
from openpay.domain.ids import derived_id
from openpay.domain.money import USD_DECIMALS
from openpay.domain.payment import ENDED, Payment, Status
from openpay.domain.refunds import (
    UNSENT,
    NamedBy,
    Refund,
    RefundMode,
    RefundPolicy,
    RefundReason,
    RefundStatus,
    RefundTrigger,
    undone,
    unmined,
    unsigned,
)

DEFAULT_WINDOW_S = 3_600
"""A refund waits this long after its deposit's block, unless the merchant says otherwise."""
SETTLEABLE_S = 86_400
"""The escrow lets the operator refund what could still settle this long after expiry (`REFUND_ALL_AFTER`)."""
MAX_PERSONAL_NONCE = 5_000
"""Senders with more transactions are exchanges' hot wallets: what is sent back to those is lost to the customer."""
MIN_WORTH_USD = 500_000
"""0.50 USD in micros: less is dust, below the gas of its own refund when gas is dear."""


@dataclass(frozen=True, kw_only=True)
class Outflow:
    """A log of the escrow that moved money out of the vault. `name`: Settled, Swept, Refunded or Rescued."""

    name: str
    token: str
    units: int
    to: bytes
    tx_hash: bytes
    log_index: int
    block_number: int
    block_time: int


@dataclass(frozen=True, kw_only=True)
class RefundRules:
    """The merchant's settings. `window_s` in seconds."""

    policy: RefundPolicy = RefundPolicy.AUTOMATIC
    window_s: int = DEFAULT_WINDOW_S


def reason_for(payment: Payment, deposit: Deposit) -> RefundReason | None:
    """Why a deposit must go back while the payment is not settled; None when it counts, or may still count."""
    if payment.offer(deposit.token) is None:
        return RefundReason.NOT_ACCEPTED
    if payment.status not in ENDED or payment.status is Status.PAID:
        return None
    return RefundReason.LATE if is_late(payment, deposit) else RefundReason.PARTIAL


def worth_usd_down(payment: Payment, token: str, units: int, tokens: Sequence[Token]) -> int | None:
    """Micros of USD, rounded down: by the payment's own quote, or 1 USD for a stablecoin that it does not accept. None
    where nothing prices the token."""
    offer = payment.offer(token)
    if offer is not None:
        return units * payment.amount_usd // offer.full_units
    listed = next((each for each in tokens if each.symbol == token), None)
    if listed is None or listed.feed is not None:
        return None
    micros: int = units * 10**USD_DECIMALS // 10**listed.decimals
    return micros


def safe_to_send_back(deposit: Deposit) -> bool:
    """Whether the money came from a wallet whose owner signed the transfer itself, and which looks like a person's."""
    return (
        deposit.source is not Source.INTERNAL
        and deposit.payer is not None
        and deposit.payer == deposit.sender
        and deposit.sender_nonce is not None
        and deposit.sender_nonce < MAX_PERSONAL_NONCE
    )


def available_at(payment: Payment, *, deposited_at: int, could_settle: bool, window_s: int) -> int:
    """Block time from which the operator may send it back: after the window, never before expiry, and a day after it
    for money that could still settle."""
    allowed = payment.terms.expiry + (SETTLEABLE_S if could_settle else 1)
    return max(deposited_at + window_s, allowed)


def could_settle(payment: Payment, token: str, vault_units: int) -> bool:
    """Whether the escrow would rather settle than let the operator refund."""
    offer = payment.offer(token)
    return offer is not None and vault_units >= offer.min_units


def vault_units(deposits: Sequence[Deposit], outflows: Sequence[Outflow]) -> Mapping[str, int]:
    """What lies in the vault by token, as the canonical chain read so far says."""
    units: dict[str, int] = defaultdict(int)
    for deposit in deposits:
        units[deposit.token] += deposit.units
    for outflow in outflows:
        units[outflow.token] -= outflow.units
    return units


def assess_refunds(
    payment: Payment,
    *,
    deposits: Sequence[Deposit],
    outflows: Sequence[Outflow],
    refunds: Sequence[Refund],
    head: Head,
    tokens: Sequence[Token],
    rules: RefundRules,
) -> tuple[Refund, ...]:
    """All refunds of `payment`, the known ones first, as they stand at `head`. Calling it again changes nothing.

    Refunds from the treasury (`requires_signature`) pass through: their log belongs to no vault.
    """
    known = {refund.id: refund for refund in refunds}
    pairs = _pair(refunds, [log for log in outflows if log.name == "Refunded"])
    known |= {each.id: each for each in _recorded(payment, known, pairs, outflows, head)}
    settlements = [log for log in outflows if log.name == "Settled"]
    if settlements:
        # One that is not final yet may be undone: wait and see.
        final = any(head.is_final(log.block_number) for log in settlements)
        return tuple(
            _gone(each) if final and each.status in UNSENT and each.id not in pairs else each for each in known.values()
        )
    in_vault = vault_units(deposits, outflows)
    left = dict(in_vault)
    for refund in known.values():
        if refund.status is RefundStatus.SUBMITTED and refund.id not in pairs:
            left[refund.token] = left.get(refund.token, 0) - refund.units

    def take(token: str, wanted: int) -> int:
        units = min(wanted, max(0, left.get(token, 0)))
        left[token] = left.get(token, 0) - units
        return units

    def waiting(refund: Refund, units: int, *, since: int) -> Refund:
        when = available_at(
            payment,
            deposited_at=since,
            could_settle=could_settle(payment, refund.token, in_vault.get(refund.token, 0)),
            window_s=0 if refund.named_by is NamedBy.MERCHANT else rules.window_s,
        )
        return replace(refund, units=units, available_at=when)

    owed = _owed(payment, deposits)
    moved = {each.id for each in known.values() if each.status in _OUT_OF_THE_VAULT or each.id in pairs}
    # What the merchant asked for comes before the deposits it is taken from, and is as good as gone.
    for refund in list(known.values()):
        if refund.source is None and refund.status in UNSENT and refund.id not in pairs:
            units = take(refund.token, refund.units)
            known[refund.id] = waiting(refund, units, since=refund.created_at) if units else _gone(refund)
            if units:
                moved.add(refund.id)
    unasked = [_direct(payment, log) for log in _unasked(pairs, outflows) if not head.is_final(log.block_number)]
    from_vault = [each for each in (*known.values(), *unasked) if each.source is not None or not _is_of_treasury(each)]
    left_to_pay = still_owed([deposit for deposit, _ in owed], from_vault, moved | {each.id for each in unasked})
    kept = set(moved)
    for deposit, reason in owed:
        refund_id = next(each for each in _ids_of(payment, deposit) if each not in moved)
        before = known.get(refund_id)
        units = take(deposit.token, left_to_pay.units[deposit.key])
        if units == 0:
            continue
        kept.add(refund_id)
        if before is not None and before.found_senders:
            before = replace(before, found_senders=())  # it moves only what is left of its own deposit
        if before is None:
            before = _begun(payment, deposit, reason, units, refund_id=refund_id, now=head.time)
        if before.status is RefundStatus.CANCELED:
            before = before.moved(RefundTrigger.RETURNED)
        if before.status is RefundStatus.AWAITING_CLAIM:
            asked = replace(rules, policy=RefundPolicy.MANUAL) if deposit.token in left_to_pay.unsure else rules
            before = _judged(replace(before, units=units), payment, deposit, tokens=tokens, rules=asked)
        known[refund_id] = waiting(before, units, since=deposit.block_time)
    for refund in list(known.values()):
        if refund.source is not None and refund.status in UNSENT and refund.id not in kept:
            known[refund.id] = _gone(refund)
    return tuple(known.values())


_OUT_OF_THE_VAULT = frozenset({RefundStatus.SUBMITTED, RefundStatus.SUCCEEDED})


def _owed(payment: Payment, deposits: Sequence[Deposit]) -> Sequence[tuple[Deposit, RefundReason]]:
    """The deposits that must go back and why, in chain order."""
    return [
        (deposit, reason)
        for deposit in sorted(deposits, key=lambda each: each.order)
        if (reason := reason_for(payment, deposit)) is not None
    ]


def _ids_of(payment: Payment, deposit: Deposit) -> Iterator[str]:
    """The ids of a deposit's refunds: the first, for ever the same; and those of the rest where one that is on its way,
    or done, moved less than turned out to be owed."""
    yield derived_id("ref", f"{payment.id}:{deposit.key}")
    for number in count(2):
        yield derived_id("ref", f"{payment.id}:{deposit.key}:{number}")


def _recorded(
    payment: Payment,
    known: Mapping[str, Refund],
    pairs: Mapping[str, Outflow],
    outflows: Sequence[Outflow],
    head: Head,
) -> list[Refund]:
    """What final `Refunded` logs complete, and those that nobody asked us for."""
    completed = [
        logged(known[refund_id], log)
        for refund_id, log in pairs.items()
        if known[refund_id].status is not RefundStatus.SUCCEEDED and head.is_final(log.block_number)
    ]
    direct = [_direct(payment, log) for log in _unasked(pairs, outflows) if head.is_final(log.block_number)]
    return [*completed, *direct]


def _unasked(pairs: Mapping[str, Outflow], outflows: Sequence[Outflow]) -> list[Outflow]:
    """What the merchant gave back at the escrow without asking for it here."""
    ours = set(pairs.values())
    return [log for log in outflows if log.name == "Refunded" and log not in ours]


def _pair(refunds: Sequence[Refund], logs: Sequence[Outflow]) -> dict[str, Outflow]:
    """Which refund each `Refunded` log is: the one that names it, else ours by its transaction, else one of the same
    amount to the same address, else one of the same amount that has no address yet. Each log and refund once."""
    candidates = sorted(
        (rank, log.block_number, log.log_index, position)
        for position, refund in enumerate(refunds)
        for log in logs
        if (rank := _likeness(refund, log)) is not None
    )
    by_place = {(log.block_number, log.log_index): log for log in logs}
    pairs: dict[str, Outflow] = {}
    for _, block_number, log_index, position in candidates:
        log = by_place.get((block_number, log_index))
        if log is not None and refunds[position].id not in pairs:
            pairs[refunds[position].id] = by_place.pop((block_number, log_index))
    return pairs


def _likeness(refund: Refund, log: Outflow) -> int | None:
    """How surely this log is that refund's, 0 for certain; None when it is not."""
    if (refund.token, refund.units) != (log.token, log.units) or refund.mode is RefundMode.MERCHANT_SIGNATURE:
        return 0 if _names(refund, log) else None
    if refund.status is RefundStatus.SUCCEEDED:
        return 0 if _names(refund, log) else None
    if refund.status not in UNSENT | {RefundStatus.SUBMITTED}:
        return None
    if refund.destination == log.to:
        return 1 if refund.tx_hash == log.tx_hash else 2
    if refund.destination is None:
        return 3 if refund.sender == log.to else 4
    return None


def _names(refund: Refund, log: Outflow) -> bool:
    return refund.log_index == log.log_index and refund.tx_hash == log.tx_hash


def _begun(payment: Payment, deposit: Deposit, reason: RefundReason, units: int, *, refund_id: str, now: int) -> Refund:
    return Refund(
        id=refund_id,
        payment_id=payment.id,
        merchant_id=payment.merchant_id,
        livemode=payment.livemode,
        chain_id=payment.chain_id,
        token=deposit.token,
        units=units,
        reason=reason,
        mode=RefundMode.CLAIM,
        source=deposit.key,
        sender=deposit.payer,
        status=RefundStatus.AWAITING_CLAIM,
        available_at=payment.terms.expiry + 1,
        created_at=now,
    )


def _judged(
    refund: Refund, payment: Payment, deposit: Deposit, *, tokens: Sequence[Token], rules: RefundRules
) -> Refund:
    """What the rules make of a refund that nobody has spoken for."""
    worth = worth_usd_down(payment, refund.token, refund.units, tokens)
    if worth is not None and worth < MIN_WORTH_USD:
        return refund.moved(RefundTrigger.TOO_SMALL, mode=RefundMode.MANUAL)
    safe = worth is not None and safe_to_send_back(deposit)
    if rules.policy is RefundPolicy.MANUAL:
        refund = replace(refund, mode=RefundMode.MANUAL)
        return refund.moved(RefundTrigger.NAMED, destination=deposit.payer, named_by=NamedBy.RULE) if safe else refund
    if not safe:
        return replace(refund, mode=RefundMode.CLAIM)
    return refund.moved(
        RefundTrigger.RULED, destination=deposit.payer, named_by=NamedBy.RULE, mode=RefundMode.AUTOMATIC
    )


def logged(refund: Refund, log: Outflow) -> Refund:
    """The refund that this final log of the escrow carried out."""
    return refund.moved(
        RefundTrigger.LOGGED,
        destination=log.to,
        tx_hash=log.tx_hash,
        log_index=log.log_index,
        completed_at=log.block_time,
        failure=None,
    )


def _direct(payment: Payment, log: Outflow) -> Refund:
    """A refund that the merchant made by itself, at the escrow: nothing here asked for it."""
    return Refund(
        id=_direct_id(payment.id, log.tx_hash, log.log_index),
        payment_id=payment.id,
        merchant_id=payment.merchant_id,
        livemode=payment.livemode,
        chain_id=payment.chain_id,
        token=log.token,
        units=log.units,
        reason=RefundReason.MERCHANT,
        mode=RefundMode.MERCHANT_SIGNATURE,
        source=None,
        sender=None,
        status=RefundStatus.SUCCEEDED,
        available_at=log.block_time,
        created_at=log.block_time,
        destination=log.to,
        named_by=NamedBy.MERCHANT,
        tx_hash=log.tx_hash,
        log_index=log.log_index,
        completed_at=log.block_time,
    )


def _direct_id(payment_id: str, tx_hash: bytes, log_index: int) -> str:
    return derived_id("ref", f"{payment_id}:{tx_hash.hex()}:{log_index}")


def read_again(
    refunds: Sequence[Refund], logs: Sequence[Outflow], *, followed: Collection[bytes]
) -> tuple[Refund, ...]:
    """Refunds that had succeeded, as they stand once the chain was read again after a rewind: those that changed.

    `logs` are all that the transactions named by them left on the chain, out of vault or treasury; `followed` the
    hashes of our transactions whose end is not known. A log that moved keeps its refund. Where it is gone, our own
    transaction may yet be mined, once; so nothing is sent in its place before its end is known.
    """
    left = list(logs)
    changed = []
    succeeded = [refund for refund in refunds if refund.status is RefundStatus.SUCCEEDED]
    for refund in sorted(succeeded, key=lambda each: not any(_names(each, log) for log in logs)):
        same = [log for log in left if _is_of(refund, log)]
        if same:
            log = next((log for log in same if _names(refund, log)), same[0])
            left.remove(log)
            after = replace(refund, log_index=log.log_index, completed_at=log.block_time)
        elif refund.tx_hash in followed:
            after = unmined(refund)
        elif _is_of_treasury(refund):
            after = unsigned(refund)
        else:
            after = undone(refund)
        if after != refund:
            changed.append(after)
    return tuple(changed)


def _is_of(refund: Refund, log: Outflow) -> bool:
    named = (refund.tx_hash, refund.token, refund.units, refund.destination)
    return named == (log.tx_hash, log.token, log.units, log.to)


def _is_of_treasury(refund: Refund) -> bool:
    """Whether the merchant signs it: it moves nothing out of the vault."""
    return refund.mode is RefundMode.MERCHANT_SIGNATURE and not _is_direct(refund)


def _is_direct(refund: Refund) -> bool:
    """Whether the merchant made it at the escrow without asking for it here."""
    if refund.tx_hash is None or refund.log_index is None:
        return False
    return refund.id == _direct_id(refund.payment_id, refund.tx_hash, refund.log_index)


def _gone(refund: Refund) -> Refund:
    return refund.moved(RefundTrigger.GONE, destination=None, named_by=None, failure=None, tx_hash=None)
