"""What must be true between the books and the chain, as pure comparisons. Units are a token's base units.

Every coin that ever reached a deposit address is, at any final block, in the payment's vault, in the merchant's
treasury, withdrawn from it, refunded, or rescued by the merchant. The books say which, by deposits and by the escrow's
logs; the chain says it by balances and by the state of each payment's id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from openpay.domain.custody import EscrowState
from openpay.domain.deposit import Deposit
from openpay.domain.payment import Payment, SettlementStatus, Status
from openpay.domain.refunds import Refund, RefundStatus
from openpay.domain.vaults import vault_address

OUT_OF_VAULT = frozenset({"Settled", "Swept", "Refunded", "Rescued"})
INTO_TREASURY = frozenset({"Settled", "Swept"})
OUT_OF_TREASURY = frozenset({"Withdrawn"})


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of the books: a deposit (`name` "Deposit"), or one of the escrow's logs by its name.

    `token` is None for a token that is not listed; such entries appear on neither side of a comparison.
    """

    name: str
    token: str | None
    units: int
    tx_hash: bytes | None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Books and chain, or two books, disagree about `what` of `subject`."""

    subject: str
    what: str
    books: str
    found: str


@dataclass(frozen=True, kw_only=True)
class Surplus:
    """More of one token at one address than the books explain, where anybody may send some unseen. Nobody lost it."""

    subject: str
    place: str
    address: bytes
    token: str
    units: int


def vault_units(entries: Iterable[Entry], token: str) -> int:
    """What the books say is left in a vault."""
    of_token = [entry for entry in entries if entry.token == token]
    came = sum(entry.units for entry in of_token if entry.name == "Deposit")
    return came - sum(entry.units for entry in of_token if entry.name in OUT_OF_VAULT)


def treasury_units(entries: Iterable[Entry], token: str) -> int:
    """What the books say is in a treasury; `entries` are the logs that name its merchant."""
    of_token = [entry for entry in entries if entry.token == token]
    came = sum(entry.units for entry in of_token if entry.name in INTO_TREASURY)
    return came - sum(entry.units for entry in of_token if entry.name in OUT_OF_TREASURY)


def compare_units(
    subject: str,
    place: str,
    address: bytes,
    books: Mapping[str, int],
    found: Mapping[str, int],
    *,
    unseen: Collection[str] = (),
) -> list[Difference | Surplus]:
    """One address's balances by token, in the order of `books`.

    `unseen`: the tokens that may come there without the watcher being to blame, of which more than in the books is a
    surplus. Each token by itself: what one has too much makes up for nothing that another lacks.
    """
    unequal: list[Difference | Surplus] = []
    for token, units in books.items():
        excess = found.get(token, 0) - units
        if excess > 0 and token in unseen:
            unequal.append(Surplus(subject=subject, place=place, address=address, token=token, units=excess))
        elif excess:
            what, held = f"{token} in the {place}", str(found.get(token, 0))
            unequal.append(Difference(subject=subject, what=what, books=str(units), found=held))
    return unequal


def unseen_in_vault(payment: Payment, tokens: Iterable[str], *, native: Iterable[str], at: int) -> tuple[str, ...]:
    """The tokens, of `tokens`, that may be in a payment's vault at block time `at` without a deposit in the books.

    While an address is watched every transfer to it is read, so a token too much is a deposit that was missed. BNB
    that a contract sends leaves no log; after a payment's end it is looked for in rounds. `native` are the coins.
    """
    if payment.watched_until is None:
        return ()
    return tuple(tokens if payment.watched_until < at else native)


def compare_state(payment: Payment, entries: Iterable[Entry], state: EscrowState) -> list[Difference]:
    """The escrow's state of a payment against the logs that must have led to it."""
    names = {entry.name for entry in entries}
    if "Settled" in names:
        agrees, expected = state is EscrowState.SETTLED, "settled"
    elif "Refunded" in names:
        agrees, expected = state is not EscrowState.SETTLED, "open or refunded by merchant"
    else:
        agrees, expected = state is EscrowState.OPEN, "open"
    if agrees:
        return []
    found = state.name.lower().replace("_", " ")
    return [Difference(subject=payment.id, what="state in the escrow", books=expected, found=found)]


def compare_payment(payment: Payment, entries: Iterable[Entry]) -> list[Difference]:
    """A payment's own fields against the entries they must follow from."""
    entries = tuple(entries)
    differences = []
    address = vault_address(payment.escrow, payment.terms.id())
    if address != payment.address:
        differences.append(
            Difference(
                subject=payment.id,
                what="deposit address",
                books="0x" + payment.address.hex(),
                found=f"0x{address.hex()} from the terms",
            )
        )
    settled = next((entry for entry in entries if entry.name == "Settled"), None)
    if payment.status is Status.PAID:
        differences += _compare_settlement(payment, settled)
        differences += _compare_paid(payment, entries)
    return differences


def compare_given_back(payment_id: str, deposits: Iterable[Deposit], refunds: Iterable[Refund]) -> list[Difference]:
    """What refunds gave back to each sender against what it paid. More went by a refund whose deposit a rewind took
    away, out of others' money; or once for a transfer and once for what it had been taken for."""
    paid: Counter[tuple[str, bytes | None]] = Counter()
    given: Counter[tuple[str, bytes | None]] = Counter()
    for deposit in deposits:
        paid[deposit.token, deposit.payer] += deposit.units
    for refund in refunds:
        if refund.status is RefundStatus.SUCCEEDED and refund.source is not None:
            if refund.sender is not None:
                given[refund.token, refund.sender] += refund.units
            for sender, units in refund.found_senders:
                given[refund.token, sender] += units
    return [
        Difference(
            subject=payment_id,
            what=f"{token} given back to 0x{sender.hex()}",
            books=f"at most {paid[token, sender]}",
            found=str(units),
        )
        for (token, sender), units in given.items()
        if sender is not None and units > paid[token, sender]
    ]


def compare_sent_twice(refunds: Iterable[Refund], signed_for: Mapping[bytes, str]) -> list[Difference]:
    """What the operator's transactions sent for refunds that another of their transactions had carried out. After a
    rewind one that had reverted may be mined with effect. `signed_for`: the refund of each transaction, by hash."""
    done = {refund.id: refund for refund in refunds if refund.status is RefundStatus.SUCCEEDED}
    sent = [(signed_for.get(refund.tx_hash or b"", refund.id), refund) for refund in done.values()]
    return [
        Difference(
            subject=named,
            what=f"{refund.token} sent by another of its transactions",
            books="nothing",
            found=str(refund.units),
        )
        for named, refund in sent
        if named != refund.id and named in done
    ]


def _compare_settlement(payment: Payment, settled: Entry | None) -> list[Difference]:
    settlement = payment.settlement
    says = "none" if settlement is None else settlement.status.value
    is_settled = settlement is not None and settlement.status is SettlementStatus.SETTLED
    if is_settled != (settled is not None):
        found = "no log" if settled is None else "a final log"
        return [Difference(subject=payment.id, what="settlement", books=says, found=found)]
    if settled is None or settlement is None or settlement.units == settled.units:
        return []
    return [
        Difference(
            subject=payment.id, what="settled units", books=str(settlement.units), found=f"{settled.units} in the log"
        )
    ]


def _compare_paid(payment: Payment, entries: Iterable[Entry]) -> list[Difference]:
    """A payment is paid by deposits that suffice, unless a deeper reorg took them and it says so."""
    offer = None if payment.completion is None else payment.offer(payment.completion.token)
    if payment.reversed_at is not None or offer is None:
        return []
    received = sum(entry.units for entry in entries if entry.name == "Deposit" and entry.token == offer.token)
    if received >= offer.min_units:
        return []
    what = f"{offer.token} received for a paid payment"
    return [Difference(subject=payment.id, what=what, books=f"at least {offer.min_units}", found=str(received))]
