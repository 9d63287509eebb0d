"""What has arrived for a payment, as the page's scripts need it: to know their own wallet's transfer among it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from openpay.domain.deposit import Deposit

MOST_LOOKED_FOR = 20
"""Arrivals among which the page finds the one that its wallet sent: a stranger can send any number of specks."""


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """One transfer that has arrived. Lower-case hexadecimal texts."""

    name: str
    """Its transaction's hash; for coins that no transaction is known for, their place in the chain."""
    payer: str
    """Whose money it was; empty where nobody says, as for coins from inside a contract."""

    def __str__(self) -> str:
        return f"{self.name}@{self.payer}"


def newest_arrivals(deposits: Iterable[Deposit]) -> tuple[Arrival, ...]:
    """The newest first, at most so many as are looked for."""
    newest = sorted(deposits, key=lambda deposit: deposit.order, reverse=True)[:MOST_LOOKED_FOR]
    return tuple(_arrival(deposit) for deposit in newest)


def _arrival(deposit: Deposit) -> Arrival:
    place = f"{deposit.block_number}.{deposit.position}"
    return Arrival(name=_hex(deposit.tx_hash) or place, payer=_hex(deposit.payer))


def _hex(raw: bytes | None) -> str:
    return "" if raw is None else "0x" + raw.hex()
