"""What becomes of payments and withdrawals when the operator's transactions go out and come back. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from openpay.app.records import EscrowLog, OperatorTransaction, TransactionStatus, Withdrawal, WithdrawalStatus
from openpay.domain.payment import Payment, Settlement, SettlementStatus
from openpay.settlement.nonces import Slot


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """What the chain says of one nonce of ours, and of the transactions signed for it.

    `mined` is the one with a receipt; `block_number`, `succeeded` and `gas_used` are the receipt's; all four None while
    none has one. `latest_nonce` is the sender's next nonce at the newest block, `final_number` the newest final block
    that the watcher read, `final_nonce` the next nonce there. `final_nonce` is None before the first final block, and
    where it was not needed.
    """

    mined: OperatorTransaction | None
    block_number: int | None
    succeeded: bool | None
    gas_used: int | None
    latest_nonce: int
    final_number: int | None
    final_nonce: int | None


class Fate(Enum):
    """Where a nonce of ours stands."""

    UNMINED = "in no block: send it again, or replace it"
    MINED = "in a block that a reorg could still take back"
    SUCCEEDED = "end: in a final block"
    REVERTED = "end: in a final block, without effect"
    DROPPED = "end: another transaction with its nonce is in a final block"


ENDS = frozenset({Fate.SUCCEEDED, Fate.REVERTED, Fate.DROPPED})


def fate_of(nonce: int, sighting: Sighting) -> Fate:
    """Judge a nonce by what was seen of it."""
    if sighting.block_number is None:
        replaced = sighting.final_nonce is not None and sighting.final_nonce > nonce
        return Fate.DROPPED if replaced else Fate.UNMINED
    if sighting.final_number is None or sighting.block_number > sighting.final_number:
        return Fate.MINED
    return Fate.SUCCEEDED if sighting.succeeded else Fate.REVERTED


def ended(slot: Slot, sighting: Sighting, *, now: int) -> list[OperatorTransaction]:
    """All that was signed for a nonce, with its end recorded: at most one was mined, and only that one cost gas."""
    over = [replace(each, ended_at=now, ended_block=sighting.final_number) for each in slot.attempts]
    return [
        replace(each, status=TransactionStatus.MINED, fee_wei=_gas_paid(each, sighting) * each.gas_price)
        if sighting.mined is not None and each.id == sighting.mined.id
        else replace(each, status=TransactionStatus.DROPPED)
        for each in over
    ]


def _gas_paid(transaction: OperatorTransaction, sighting: Sighting) -> int:
    """No node's word makes a transaction cost more than its limit: it counts towards the cap per day."""
    return min(sighting.gas_used or 0, transaction.gas)


def settlement_submitted(payment: Payment, tx_hash: bytes) -> Payment:
    """The payment while `tx_hash` is on its way to settle it."""
    return replace(payment, settlement=Settlement(status=SettlementStatus.SUBMITTED, tx_hash=tx_hash))


def settlement_due_again(payment: Payment) -> Payment:
    """The payment after a transaction ended without settling it."""
    return replace(payment, settlement=Settlement(status=SettlementStatus.PENDING))


def withdrawal_submitted(withdrawal: Withdrawal, tx_hash: bytes) -> Withdrawal:
    """The withdrawal while `tx_hash` is on its way."""
    return replace(withdrawal, status=WithdrawalStatus.SUBMITTED, tx_hash=tx_hash)


def withdrawal_refused(withdrawal: Withdrawal, reason: str, *, now: int) -> Withdrawal:
    """The withdrawal when the escrow says beforehand that it would revert."""
    return replace(withdrawal, status=WithdrawalStatus.FAILED, failure=reason, completed_at=now)


def withdrawal_after(withdrawal: Withdrawal, fate: Fate, log: EscrowLog | None, *, now: int) -> Withdrawal | None:
    """The withdrawal after the end of its transaction; None while the watcher has not read its `Withdrawn` log.

    `log` is that of its own transaction, and outweighs what a node says. A dropped transaction moved nothing, so the
    withdrawal is tried again.
    """
    if log is not None:
        return replace(
            withdrawal,
            status=WithdrawalStatus.SUCCEEDED,
            tx_hash=log.tx_hash,  # of several with one nonce, the one that was mined
            units=log.units,
            completed_at=log.block_time,
            failure=None,
        )
    if fate is Fate.DROPPED:
        return replace(withdrawal, status=WithdrawalStatus.PENDING, tx_hash=None)
    if fate is Fate.REVERTED:
        return withdrawal_refused(withdrawal, "reverted", now=now)
    return None


MOST_SWEEPS_IN_VAIN = 3
"""So many sweeps of one vault and token may be mined without effect, one after the other: what only pretends to move
costs no more. Anyone may still sweep it by hand."""


def sweep_may_be_tried(transactions: Sequence[OperatorTransaction], logs: Sequence[EscrowLog]) -> bool:
    """Whether a sweep for which these were signed, oldest first, may be signed again: none is under way, and not too
    many of the last ones were in vain. `logs` are the escrow's of that payment.
    """
    swept = {log.tx_hash for log in logs if log.name == "Swept"}
    in_vain = 0
    for each in transactions:
        if each.status is TransactionStatus.SIGNED:
            return False
        if each.tx_hash in swept:
            in_vain = 0
        elif each.status is TransactionStatus.MINED:
            in_vain += 1
    return in_vain < MOST_SWEEPS_IN_VAIN
