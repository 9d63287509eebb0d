"""Which refund each log of the escrow carried out, and which nobody asked us for. Pure.

Invariant: one log carries out one refund. A log of a transaction that we signed for one refund is never another's,
however alike the two are: the other would count as done, and the first would be sent again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from openpay.domain.ids import derived_id
from openpay.domain.payment import Payment
from openpay.domain.refunds import (
    UNSENT,
    NamedBy,
    Refund,
    RefundMode,
    RefundReason,
    RefundStatus,
    RefundTrigger,
    undone,
    unmined,
    unsigned,
)


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


def unasked(pairs: Mapping[str, Outflow], outflows: Sequence[Outflow]) -> list[Outflow]:
    """What the merchant gave back at the escrow without asking for it here."""
    ours = set(pairs.values())
    return [log for log in outflows if log.name == "Refunded" and log not in ours]


def pair(refunds: Sequence[Refund], logs: Sequence[Outflow], *, signed_for: Mapping[bytes, str]) -> dict[str, Outflow]:
    """Which refund each `Refunded` log is: the one that names it, else ours by its transaction, else one of the same
    amount to the same address, else one of the same amount that has no address yet. Each log and refund once.

    A refund names only the newest of the transactions that replaced one another; `signed_for` knows them all, by hash.
    """
    candidates = sorted(
        (rank, log.block_number, log.log_index, position)
        for position, refund in enumerate(refunds)
        for log in logs
        if (rank := _likeness(refund, log, signed_for.get(log.tx_hash))) is not None
    )
    by_place = {(log.block_number, log.log_index): log for log in logs}
    pairs: dict[str, Outflow] = {}
    for _, block_number, log_index, position in candidates:
        log = by_place.get((block_number, log_index))
        if log is not None and refunds[position].id not in pairs:
            pairs[refunds[position].id] = by_place.pop((block_number, log_index))
    return pairs


def _likeness(refund: Refund, log: Outflow, signed_for: str | None) -> int | None:
    """How surely this log is that refund's, 0 for certain; None when it is not. `signed_for` is the refund that we
    signed its transaction for, None where it is not known to be ours."""
    if (refund.token, refund.units) != (log.token, log.units) or refund.mode is RefundMode.MERCHANT_SIGNATURE:
        return 0 if _names(refund, log) else None
    if refund.status is RefundStatus.SUCCEEDED:
        return 0 if _names(refund, log) else None
    if refund.status not in UNSENT | {RefundStatus.SUBMITTED}:
        return None
    if signed_for not in (None, refund.id):
        return None
    if refund.destination == log.to:
        return 1 if signed_for == refund.id or refund.tx_hash == log.tx_hash else 2
    if refund.destination is None:
        return 3 if refund.sender == log.to else 4
    return None


def _names(refund: Refund, log: Outflow) -> bool:
    return refund.log_index == log.log_index and refund.tx_hash == log.tx_hash


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


def direct(payment: Payment, log: Outflow) -> Refund:
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
        elif is_of_treasury(refund):
            after = unsigned(refund)
        else:
            after = undone(refund)
        if after != refund:
            changed.append(after)
    return tuple(changed)


def _is_of(refund: Refund, log: Outflow) -> bool:
    named = (refund.tx_hash, refund.token, refund.units, refund.destination)
    return named == (log.tx_hash, log.token, log.units, log.to)


def is_of_treasury(refund: Refund) -> bool:
    """Whether the merchant signs it: it moves nothing out of the vault."""
    return refund.mode is RefundMode.MERCHANT_SIGNATURE and not _is_direct(refund)


def _is_direct(refund: Refund) -> bool:
    """Whether the merchant made it at the escrow without asking for it here."""
    if refund.tx_hash is None or refund.log_index is None:
        return False
    return refund.id == _direct_id(refund.payment_id, refund.tx_hash, refund.log_index)
