"""What the ledger must hold, kept small: a digest of each transfer of the final chain, and sums by payment."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from openpay.domain.deposit import Deposit, Source
from openpay.domain.payment import WAITING, Payment, Status
from openpay.store import Store
from tests.faults.chain import MadeBlock
from tests.faults.ledger import Credit, credit_of, credits_in

COIN = "BNB"
PAYMENTS_AT_ONCE = 200


@dataclass(kw_only=True)
class Verdict:
    """`missed` transfers of the chain have no deposit, `duplicate` deposits have no transfer of their own. `wrong`
    names payments whose status, or BNB from inside contracts, is not what the chain says."""

    transfers: int
    missed: int = 0
    duplicate: int = 0
    wrong: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)

    @property
    def is_right(self) -> bool:
        return not (self.missed or self.duplicate or self.wrong)


class Books:
    """Filled with blocks as they become final, in order; compared with a database once, at the end."""

    def __init__(self, payments: Sequence[Payment]) -> None:
        self._payments = payments
        self._watched = {payment.address: payment.id for payment in payments}
        self._owed: set[int] = set()
        self._sums: dict[tuple[str, str], int] = defaultdict(int)
        self._coins: Mapping[bytes, int] = {}
        self.settled = 0
        """The height up to which the chain is in the books."""

    def settle(self, block: MadeBlock) -> None:
        """Enter a block that no reorg can take back any more."""
        for credit in credits_in(block, self._watched):
            self._owed.add(_digest(credit))
            self._sums[credit.payment_id, credit.token] += credit.units
        self._coins = block.coins
        self.settled = block.number

    async def compare(self, store: Store) -> Verdict:
        """Hold every deposit on record, and the status of every payment, against the chain."""
        verdict = Verdict(transfers=len(self._owed))
        unseen = set(self._owed)
        for start in range(0, len(self._payments), PAYMENTS_AT_ONCE):
            some = self._payments[start : start + PAYMENTS_AT_ONCE]
            async with store.read() as uow:
                deposits = await uow.deposits.of([payment.id for payment in some])
                now = [await uow.payments.get(payment.id) for payment in some]
            for payment in filter(None, now):
                rows = deposits.get(payment.id, [])
                for row in rows:
                    if row.source is Source.INTERNAL:
                        continue
                    digest = _digest(credit_of(row))
                    if digest in unseen:
                        unseen.remove(digest)
                    else:
                        verdict.duplicate += 1
                verdict.statuses[payment.status.value] += 1
                verdict.wrong += self._wrong(payment, rows)
        verdict.missed = len(unseen)
        if verdict.statuses.total() != len(self._payments):
            verdict.wrong.append(f"{len(self._payments) - verdict.statuses.total()} payments are gone")
        return verdict

    def _wrong(self, payment: Payment, deposits: Sequence[Deposit]) -> list[str]:
        recorded = sum(row.units for row in deposits if row.token == COIN)
        arrived = self._coins.get(payment.address, 0)
        takes_coins = payment.offer(COIN) is not None
        sums = {offer.token: self._sums[payment.id, offer.token] for offer in payment.offers}
        if takes_coins:
            sums[COIN] = recorded
        suffices = any(sums[offer.token] >= offer.min_units for offer in payment.offers)
        wrong = []
        if recorded > arrived or (takes_coins and payment.status in WAITING and recorded < arrived):
            wrong.append(f"{payment.id}: {recorded} wei on record, {arrived} arrived")
        if suffices != (payment.status is Status.PAID) or payment.reversed_at is not None:
            wrong.append(f"{payment.id}: {payment.status}, received {sums}")
        return wrong


def _digest(credit: Credit) -> int:
    """Eight bytes that stand for a transfer: two in a million collide once in 37 million runs."""
    text = repr(credit).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
