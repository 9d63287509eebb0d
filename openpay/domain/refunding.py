"""What must go back, and when: from a payment's deposits and the escrow's logs to its refunds.

Invariant: what its unsent and submitted refunds would move of a token never exceeds what lies in the vault. Nothing is
accumulated: the same record gives the same refunds, whether a block was read for the first time, replayed, or undone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from types import MappingProxyType

from openpay.domain.accounts import still_owed
from openpay.domain.assessment import Head, is_late
from openpay.domain.chains import Token
from openpay.domain.deposit import Deposit, Source
from openpay.domain.ids import derived_id
from openpay.domain.money import USD_DECIMALS
from openpay.domain.payment import ENDED, Payment, Status
from openpay.domain.receipts import Outflow, direct, is_of_treasury, logged, pair, unasked
from openpay.domain.refunds import (
    UNSENT,
    NamedBy,
    Refund,
    RefundMode,
    RefundPolicy,
    RefundReason,
    RefundStatus,
    RefundTrigger,
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
    signed_for: Mapping[bytes, str] = MappingProxyType({}),
) -> tuple[Refund, ...]:
    """All refunds of `payment`, the known ones first, as they stand at `head`. Calling it again changes nothing.

    `signed_for` says of the operator's transactions, by hash, which refund each was signed for.

    Refunds from the treasury (`requires_signature`) pass through: their log belongs to no vault.
    """
    known = {refund.id: refund for refund in refunds}
    pairs = pair(refunds, [log for log in outflows if log.name == "Refunded"], signed_for=signed_for)
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
    not_final = [direct(payment, log) for log in unasked(pairs, outflows) if not head.is_final(log.block_number)]
    from_vault = [each for each in (*known.values(), *not_final) if each.source is not None or not is_of_treasury(each)]
    left_to_pay = still_owed([deposit for deposit, _ in owed], from_vault, moved | {each.id for each in not_final})
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
    made_alone = [direct(payment, log) for log in unasked(pairs, outflows) if head.is_final(log.block_number)]
    return [*completed, *made_alone]


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


def _gone(refund: Refund) -> Refund:
    return refund.moved(RefundTrigger.GONE, destination=None, named_by=None, failure=None, tx_hash=None)
