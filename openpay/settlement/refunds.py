"""Refunding as the operator's work: a deposit goes from the vault of an expired payment back to who sent it."""

from __future__ import annotations

import re

import structlog

from openpay.app.ports import UnitOfWork
from openpay.app.records import Cursor, TransactionStatus
from openpay.app.refunds import refresh_refunds
from openpay.chain.escrow_abi import refund_data
from openpay.domain.accounts import is_covered
from openpay.domain.chains import Chain
from openpay.domain.payment import Payment
from openpay.domain.refunding import SETTLEABLE_S
from openpay.domain.refunds import Refund, RefundStatus, refused, sent, without_effect
from openpay.errors import ConcurrentChange, InvariantViolated
from openpay.settlement.decisions import Fate
from openpay.settlement.reminders import Reminders
from openpay.settlement.sources import Ending, Work

_log = structlog.get_logger(__name__)

GAS = 300_000
"""Fixed: deploying the vault and a plain transfer take 130,000. The rest is for receivers that are contracts, and
bounds what a hostile one can burn."""

_NOT_NOW = frozenset(
    {
        "AlreadySettled",
        "BalanceTooLow",
        "CanStillSettle",
        "NothingToMove",
        "RefundTooEarly",
        "PriceNewerThanQuote",
        "PriceNotPositive",
        "PriceTooOld",
    }
)
"""What time, or a log that the watcher is about to read, resolves."""

_BY_THE_RECEIVER = "FailedCall"
_NAME = re.compile(r"[A-Z][A-Za-z0-9]*")
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Refunds:
    """The scheduled refunds of one chain whose time has come and whose money is final."""

    kind = "refund"

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._prepared: dict[str, Refund] = {}
        """What `due` last made calls of: a refund that changed meanwhile must not be taken for it."""
        self._reminders = Reminders()

    async def due(self, uow: UnitOfWork, *, now: int, limit: int) -> list[Work]:
        # By block time, not by the server's clock: the escrow knows no other.
        cursor = await uow.chain.cursor(self._chain.chain_id)
        if cursor is None:
            return []
        refunds = [
            refund
            for refund in await uow.refunds.due(self._chain.chain_id, cursor.time, limit=limit)
            if await self._may_go(uow, refund, cursor, now=now)
        ]
        self._prepared = {refund.id: refund for refund in refunds}
        return [await self._work(uow, refund) for refund in refunds]

    async def more_is_coming(self, uow: UnitOfWork) -> bool:
        return False

    async def submitted(self, uow: UnitOfWork, subject: str, tx_hash: bytes, *, replaced: bytes | None = None) -> None:
        refund, payment = await _load(uow, subject)
        if replaced is None:
            prepared = self._prepared.get(subject)
            if prepared is None or _call_of(refund) != _call_of(prepared):
                raise ConcurrentChange(f"{subject} is {refund.status.value}, or goes elsewhere by now")
            cursor = await uow.chain.cursor(self._chain.chain_id)
            # Once more, now that nobody else can change the payment: a rewind may have come and gone since `due`.
            if cursor is None or not await self._may_go(uow, refund, cursor, besides=tx_hash):
                raise ConcurrentChange(f"{subject} may not go out any more")
        elif refund.status is not RefundStatus.SUBMITTED or refund.tx_hash != replaced:
            return
        await uow.refunds.put([sent(refund, tx_hash)])
        await uow.payments.save(payment)

    async def ended(self, uow: UnitOfWork, subject: str, ending: Ending, *, now: int) -> bool:
        refund, payment = await _load(uow, subject)
        if refund.status is not RefundStatus.SUBMITTED or refund.tx_hash not in ending.hashes:
            return True  # most often succeeded: the watcher read the log
        if ending.fate is Fate.SUCCEEDED:
            logs = (await uow.chain.escrow_logs_of([payment.id])).get(payment.id, [])
            if not any(log.tx_hash in ending.hashes for log in logs):
                return False
        again = without_effect(refund)
        if ending.fate is Fate.REVERTED and await _reverted_before(uow, subject, ending):
            # Once may be bad luck, such as a deposit that arrived first. Twice is a receiver that wastes gas.
            again = refused(again, "transaction_reverted")
        await uow.refunds.put([again])
        await refresh_refunds(uow, payment.id, tokens=self._chain.tokens, wall_now=now)
        return True

    async def is_in_vain(self, uow: UnitOfWork, subject: str, hashes: frozenset[bytes]) -> bool:
        # The escrow refunds as often as it is told, from whatever lies in the vault.
        refund = await uow.refunds.get(subject)
        if refund is None or refund.status is RefundStatus.CANCELED:
            return True
        is_done = refund.status in (RefundStatus.SUBMITTED, RefundStatus.SUCCEEDED)
        return is_done and refund.tx_hash not in hashes

    async def refused(self, uow: UnitOfWork, work: Work, reason: str, *, now: int) -> bool:
        if reason in _NOT_NOW:
            return False
        refund, payment = await _load(uow, work.subject)
        if refund.status is not RefundStatus.SCHEDULED:
            return True
        named = reason if _NAME.fullmatch(reason) else None
        if named is None and await self._may_be_the_feed(uow, refund, payment):
            return False
        await uow.refunds.put([refused(refund, _failure(named))])
        await uow.payments.save(payment)
        return True

    async def _may_go(
        self, uow: UnitOfWork, refund: Refund, cursor: Cursor, *, besides: bytes | None = None, now: int | None = None
    ) -> bool:
        """Whether its money is final and its own, and no transaction is under way for it `besides` the one that is just
        being signed. Said at `now`, where it is not its own: that is a mistake of ours, for a person to look at."""
        if not await _is_final(uow, refund, cursor) or await _is_under_way(uow, refund, besides=besides):
            return False
        if await uow.rewinds.marked_among(refund.chain_id, [refund.payment_id]):
            return False  # what somebody asked for since is not held against the payment's other refunds yet
        deposits = (await uow.deposits.of([refund.payment_id])).get(refund.payment_id, [])
        refunds = (await uow.refunds.of([refund.payment_id])).get(refund.payment_id, [])
        covered = all(is_covered(refund, each, refunds) for each in deposits if each.key == refund.source)
        if not covered and now is not None and self._reminders.is_due(refund.id, now=now):
            _log.error("a refund would move more than is left of its deposit", refund=refund.id, units=refund.units)
        return covered

    async def _may_be_the_feed(self, uow: UnitOfWork, refund: Refund, payment: Payment) -> bool:
        """Whether the escrow still reads a price for this refund: a feed that reverts says nothing of the receiver."""
        token, cursor = self._chain.token(refund.token), await uow.chain.cursor(self._chain.chain_id)
        reads_price = token is not None and token.feed is not None and payment.offer(refund.token) is not None
        return reads_price and cursor is not None and cursor.time < payment.terms.expiry + SETTLEABLE_S

    async def _work(self, uow: UnitOfWork, refund: Refund) -> Work:
        token, payment = self._chain.token(refund.token), await uow.payments.get(refund.payment_id)
        if token is None or payment is None or refund.destination is None:
            raise InvariantViolated(f"{refund.id} is scheduled without a listed token, a payment or an address")
        return Work(
            kind=self.kind,
            subject=refund.id,
            to=payment.escrow,
            data=refund_data(payment.terms, token.contract, refund.destination, refund.units),
            gas=GAS,
        )


async def _is_final(uow: UnitOfWork, refund: Refund, cursor: Cursor) -> bool:
    """Whether the money came in final blocks: of the refund's own deposit, or all that the merchant may draw on."""
    deposits = (await uow.deposits.of([refund.payment_id])).get(refund.payment_id, [])
    sources = [
        deposit for deposit in deposits if deposit.token == refund.token and refund.source in (None, deposit.key)
    ]
    final = -1 if cursor.final_number is None else cursor.final_number
    return bool(sources) and all(deposit.block_number <= final for deposit in sources)


async def _is_under_way(uow: UnitOfWork, refund: Refund, *, besides: bytes | None) -> bool:
    """Whether a transaction for it may yet be mined. One that had ended may be open again after a rewind."""
    transactions = await uow.operations.transactions_of(refund.id)
    return any(each.status is TransactionStatus.SIGNED for each in transactions if each.tx_hash != besides)


async def _load(uow: UnitOfWork, refund_id: str) -> tuple[Refund, Payment]:
    """A refund and its payment, locked for change."""
    known = await uow.refunds.get(refund_id)
    if known is None:
        raise InvariantViolated(f"a transaction names no refund: {refund_id}")
    (payment,) = await uow.payments.lock([known.payment_id])
    refund = await uow.refunds.get(refund_id)
    if refund is None:
        raise InvariantViolated(f"{refund_id} vanished")
    return refund, payment


async def _reverted_before(uow: UnitOfWork, subject: str, ending: Ending) -> bool:
    return any(
        transaction.status is TransactionStatus.MINED and transaction.tx_hash not in ending.hashes
        for transaction in await uow.operations.transactions_of(subject)
    )


def _call_of(refund: Refund) -> tuple[RefundStatus, bytes | None, int]:
    return (refund.status, refund.destination, refund.units)


def _failure(error: str | None) -> str:
    """`RefundedByMerchant` is `refunded_by_merchant`; a reason without a name is the token's or the receiver's own."""
    if error is None or error == _BY_THE_RECEIVER:
        return "transfer_reverted"
    return _CAPITAL.sub("_", error).lower()
