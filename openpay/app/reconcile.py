"""Holding the books against the chain: every payment, vault, treasury, refund and withdrawal. Changes nothing.

Each comparison is made at one final block that the watcher has read: the database is read as it was at one moment, and
the chain at the newest block that is final by it. Payments are taken in portions, each at its own final block, because
nodes keep the state of a block only for a minute.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from openpay.app.ports import Database, Holdings, UnitOfWork
from openpay.app.records import EscrowLog, Merchant, Withdrawal, WithdrawalStatus
from openpay.app.refunds import signed_for
from openpay.domain.chains import Chain
from openpay.domain.custody import EscrowState
from openpay.domain.deposit import Deposit
from openpay.domain.ledger import (
    Difference,
    Entry,
    Surplus,
    compare_given_back,
    compare_payment,
    compare_sent_twice,
    compare_state,
    compare_units,
    treasury_units,
    unseen_in_vault,
    vault_units,
)
from openpay.domain.payment import Payment
from openpay.domain.refunds import Refund, RefundStatus
from openpay.domain.vaults import treasury_address
from openpay.errors import ConfigurationError

PORTION = 200
"""Payments compared at one final block."""
PAGE = 100
_GIVES_BACK = frozenset({"Refunded", "Withdrawn"})


@dataclass(kw_only=True)
class Totals:
    """Where all of one token is. What came in is the sum of the rest."""

    deposited: int = 0
    in_vaults: int = 0
    in_treasuries: int = 0
    withdrawn: int = 0
    refunded: int = 0
    rescued: int = 0


@dataclass(kw_only=True)
class Reconciliation:
    """What was compared and how it came out. `final_number` is the block of the last comparison.

    `surplus` is no difference: strangers sent it past the books, and nobody lost it. `left_out`: payments that a rewind
    took something back of, and that are judged when the chain was read again. Until then what is missing on record says
    nothing, neither of them nor of their refunds.
    """

    payments: int = 0
    left_out: int = 0
    treasuries: int = 0
    withdrawals: int = 0
    refunds: int = 0
    final_number: int = 0
    totals: dict[str, Totals] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    surplus: list[Surplus] = field(default_factory=list)

    def add(self, found: Iterable[Difference | Surplus]) -> None:
        for each in found:
            if isinstance(each, Surplus):
                self.surplus.append(each)
            else:
                self.differences.append(each)


@dataclass(frozen=True, kw_only=True)
class _Moment:
    """The newest final block at the moment when the database was read. `block` names it for the chain."""

    number: int
    time: int
    block: bytes | int


async def reconcile(
    db: Database, holdings: Holdings, chain: Chain, *, progress: Callable[[int], None] = lambda _count: None
) -> Reconciliation:
    """Compare everything on one chain; `progress` is told how many payments are done.

    Raises `ConfigurationError` before the watcher has read a final block, and `ChainUnavailable`.
    """
    result = Reconciliation(totals={token.symbol: Totals() for token in chain.tokens})
    returned: list[Refund] = []
    seq = 0
    while True:
        async with db.read() as uow:
            moment = await _moment(uow, chain)
            numbered = await uow.payments.after(chain.chain_id, seq, limit=PORTION)
            payments = [payment for _, payment in numbered]
            ids = [payment.id for payment in payments]
            deposits, logs = await uow.deposits.of(ids), await uow.chain.escrow_logs_of(ids)
            refunds = await uow.refunds.of(ids)
            waiting = await uow.rewinds.marked_among(chain.chain_id, ids)
            hashes = {refund.tx_hash for of in refunds.values() for refund in of if refund.tx_hash is not None}
            signed = await signed_for(uow, hashes)
        result.final_number = moment.number
        if not numbered:
            break
        seq = numbered[-1][0]
        entries = {id_: entries_of(deposits.get(id_, ()), logs.get(id_, ()), moment.number) for id_ in ids}
        await _compare_vaults(holdings, chain, payments, entries, moment, result, waiting=waiting)
        compared = [id_ for id_ in ids if id_ not in waiting]
        result.left_out += len(waiting)
        returned += (refund for id_ in compared for refund in refunds.get(id_, ()))
        for id_ in compared:
            result.differences += compare_given_back(id_, deposits.get(id_, ()), refunds.get(id_, ()))
            result.differences += compare_sent_twice(refunds.get(id_, ()), signed)
        progress(result.payments)
    await _compare_treasuries(db, holdings, chain, returned, result)
    return result


async def _moment(uow: UnitOfWork, chain: Chain) -> _Moment:
    cursor = await uow.chain.cursor(chain.chain_id)
    if cursor is None or cursor.final_number is None or cursor.final_time is None:
        raise ConfigurationError(f"the watcher has not read a final block of chain {chain.chain_id} yet: let it run")
    block = await uow.chain.block(chain.chain_id, cursor.final_number)
    return _Moment(
        number=cursor.final_number,
        time=cursor.final_time,
        block=cursor.final_number if block is None else block.hash,
    )


def entries_of(deposits: Sequence[Deposit], logs: Sequence[EscrowLog], final_number: int) -> tuple[Entry, ...]:
    """The books' lines up to a final block."""
    came = (
        Entry(name="Deposit", token=deposit.token, units=deposit.units, tx_hash=deposit.tx_hash)
        for deposit in deposits
        if deposit.block_number <= final_number
    )
    went = (
        Entry(name=log.name, token=log.token, units=log.units, tx_hash=log.tx_hash)
        for log in logs
        if log.block_number <= final_number
    )
    return (*came, *went)


async def _compare_vaults(
    holdings: Holdings,
    chain: Chain,
    payments: Sequence[Payment],
    entries: Mapping[str, tuple[Entry, ...]],
    moment: _Moment,
    result: Reconciliation,
    *,
    waiting: Collection[str],
) -> None:
    """Each payment's vault and state, except of those that are `waiting`, whose money is counted all the same."""
    contracts = [token.contract for token in chain.tokens]
    units = await holdings.units(chain.chain_id, [p.address for p in payments], contracts, block=moment.block)
    states = await _states(holdings, chain.chain_id, payments, moment)
    native = [token.symbol for token in chain.tokens if token.contract is None]
    for payment, held in zip(payments, units, strict=True):
        of_payment = entries[payment.id]
        books = {token.symbol: vault_units(of_payment, token.symbol) for token in chain.tokens}
        found = {token.symbol: held[token.contract] for token in chain.tokens}
        if payment.id not in waiting:
            result.payments += 1
            wrong = [*compare_payment(payment, of_payment), *compare_state(payment, of_payment, states[payment.id])]
            result.differences += wrong
            # Where the payment itself disagrees, money too much is more likely ours than a stranger's.
            unseen = () if wrong else unseen_in_vault(payment, books, native=native, at=moment.time)
            result.add(compare_units(payment.id, "vault", payment.address, books, found, unseen=unseen))
        for symbol, total in result.totals.items():
            total.in_vaults += found[symbol]
            total.deposited += _sum(of_payment, symbol, "Deposit")
            total.refunded += _sum(of_payment, symbol, "Refunded")
            total.rescued += _sum(of_payment, symbol, "Rescued")


async def _states(
    holdings: Holdings, chain_id: int, payments: Sequence[Payment], moment: _Moment
) -> Mapping[str, EscrowState]:
    """By payment id. Payments made under an older escrow are asked of that one."""
    by_escrow: dict[bytes, list[Payment]] = defaultdict(list)
    for payment in payments:
        by_escrow[payment.escrow].append(payment)
    found: dict[str, EscrowState] = {}
    for escrow, theirs in by_escrow.items():
        ids = [payment.terms.id() for payment in theirs]
        states = await holdings.states(chain_id, escrow, ids, block=moment.block)
        found |= {payment.id: state for payment, state in zip(theirs, states, strict=True)}
    return found


async def _compare_treasuries(
    db: Database, holdings: Holdings, chain: Chain, refunds: Sequence[Refund], result: Reconciliation
) -> None:
    """Treasuries, and what is recorded as paid out of vaults and treasuries, against every log of the escrow."""
    async with db.read() as uow:
        moment = await _moment(uow, chain)
        merchants = await uow.merchants.all()
        logs = await uow.chain.escrow_logs_in(chain.chain_id, 0, moment.number)
        withdrawals = [each for merchant in merchants for each in await _withdrawals(uow, chain, merchant)]
    contracts = [token.contract for token in chain.tokens]
    owners = list(dict.fromkeys(merchant.address for merchant in merchants))  # one account may own several shops
    treasuries = [treasury_address(chain.escrow, owner) for owner in owners]
    units = await holdings.units(chain.chain_id, treasuries, contracts, block=moment.block)
    for owner, treasury, held in zip(owners, treasuries, units, strict=True):
        entries = entries_of((), [log for log in logs if log.account == owner], moment.number)
        books = {token.symbol: treasury_units(entries, token.symbol) for token in chain.tokens}
        found = {token.symbol: held[token.contract] for token in chain.tokens}
        result.treasuries += 1
        # Nobody watches treasuries: anybody may send them any token.
        result.add(compare_units(f"0x{owner.hex()}", "treasury", treasury, books, found, unseen=tuple(books)))
        for symbol, total in result.totals.items():
            total.in_treasuries += found[symbol]
            total.withdrawn += _sum(entries, symbol, "Withdrawn")
    of_transactions = {(log.tx_hash, log.token): log for log in logs if log.name == "Withdrawn"}
    for withdrawal in withdrawals:
        result.withdrawals += 1
        result.differences += compare_withdrawal(withdrawal, of_transactions)
    unclaimed = {(log.tx_hash, log.log_index): log for log in logs}
    for refund in refunds:
        result.refunds += 1
        # Taken out: one log gives back one refund.
        named = None if refund.tx_hash is None or refund.log_index is None else (refund.tx_hash, refund.log_index)
        result.differences += compare_refund(refund, None if named is None else unclaimed.pop(named, None))


async def _withdrawals(uow: UnitOfWork, chain: Chain, merchant: Merchant) -> list[Withdrawal]:
    found: list[Withdrawal] = []
    for livemode in (True, False):
        after, more = None, True
        while more:
            page = await uow.operations.withdrawals(merchant.id, livemode, limit=PAGE, starting_after=after)
            found += [each for each in page.items if each.chain_id == chain.chain_id]
            more = page.has_more
            after = page.items[-1].id if page.items else None
    return found


def compare_withdrawal(withdrawal: Withdrawal, logs: Mapping[tuple[bytes, str | None], EscrowLog]) -> list[Difference]:
    """A withdrawal that succeeded against the final `Withdrawn` log of its transaction."""
    if withdrawal.status is not WithdrawalStatus.SUCCEEDED:
        return []
    log = None if withdrawal.tx_hash is None else logs.get((withdrawal.tx_hash, withdrawal.token))
    if log is not None and log.units == withdrawal.units:
        return []
    what, books = f"withdrawn {withdrawal.token}", str(withdrawal.units)
    found = "no final log" if log is None else str(log.units)
    return [Difference(subject=withdrawal.id, what=what, books=books, found=found)]


def compare_refund(refund: Refund, log: EscrowLog | None) -> list[Difference]:
    """A refund that succeeded against the log it names: out of the vault, or by the merchant out of the treasury."""
    if refund.status is not RefundStatus.SUCCEEDED:
        return []
    if log is not None and log.name in _GIVES_BACK and (log.token, log.units) == (refund.token, refund.units):
        return []
    found = "no log of its own" if log is None else f"{log.units} {log.token or 'of another token'} by {log.name}"
    return [Difference(subject=refund.id, what=f"refunded {refund.token}", books=str(refund.units), found=found)]


def _sum(entries: Sequence[Entry], token: str, name: str) -> int:
    return sum(entry.units for entry in entries if (entry.token, entry.name) == (token, name))
