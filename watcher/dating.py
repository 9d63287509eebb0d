"""Finding the blocks in which money came that no log shows, for several vaults at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import structlog

from openpay.app.records import Vault
from openpay.errors import ChainUnavailable
from watcher.balances import Balances, Past, Place
from watcher.inflows import VaultRecord, next_look, rises

LOOK_BACK = 5_000
"""Blocks before the newest that are looked at, besides those that are committed together: longer than a payment in the
chain's own coin is open, 30 minutes. Most nodes keep the state of 128, and refuse the rest."""
LOOK_BACK_FOR_ENDED = 128
MOST_LOOKS = 64
"""At blocks, in one search: it holds up the commit."""
LOOKS_FOR_ENDED = 16
"""Of them, those made for payments that have ended, which are late whenever the money came."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """`units` of wei that block `number` is the first to show in a vault."""

    vault: Vault
    number: int
    units: int


class Search:
    """One search, for vaults that may hold more than `records` say, by payment id."""

    def __init__(self, vaults: Iterable[Vault], records: Mapping[str, VaultRecord], balances: Balances) -> None:
        self._vaults = {vault.payment_id: vault for vault in vaults}
        self._records = records
        self._balances = balances
        self._seen: dict[str, dict[int, int]] = {payment_id: {} for payment_id in self._vaults}
        """By payment and block number: all that contracts ever sent there, as is sure."""
        self._oldest: dict[str, int] = {}
        """By payment: blocks below cannot be looked at, or are not to be."""

    @property
    def sure(self) -> set[str]:
        """Payments whose balance in the newest block is sure."""
        return {payment_id for payment_id, seen in self._seen.items() if seen}

    async def run(self, past: Past, *, first: int, newest: int) -> None:
        """Look at the newest of the blocks that are committed together, of which `first` is the oldest; then at older
        ones, until the money is dated."""
        for payment_id, vault in self._vaults.items():
            look_back = LOOK_BACK if vault.ended_at is None else LOOK_BACK_FOR_ENDED
            self._oldest[payment_id] = max(0, min(first, newest - look_back))
        if self._vaults:
            await self._look(past, newest, self._vaults)
        for looks in range(1, MOST_LOOKS):
            wanted = {each: number for each in self._vaults if (number := self._next(each, looks)) is not None}
            if not wanted:
                return
            await self._look(past, next(iter(wanted.values())), wanted)

    def arrivals(self) -> list[Arrival]:
        """What came in beyond the records, as far as it is sure."""
        return [
            Arrival(vault=vault, number=rise.number, units=rise.units)
            for payment_id, vault in self._vaults.items()
            for rise in rises(self._records[payment_id].level, self._seen[payment_id])
        ]

    def _next(self, payment_id: str, looks: int) -> int | None:
        """The block to look at next for a payment, so many looks having been made for all."""
        if looks >= LOOKS_FOR_ENDED and self._vaults[payment_id].ended_at is not None:
            return None
        return next_look(self._records[payment_id].level, self._seen[payment_id], oldest=self._oldest[payment_id])

    async def _look(self, past: Past, number: int, payment_ids: Collection[str]) -> None:
        """Look at a block, for all that it may help: those whose money is not dated yet."""
        vaults = [self._vaults[each] for each in payment_ids if number >= self._oldest[each]]
        balances: Mapping[bytes, int] = {}
        try:
            place = await past.at(number)
            addresses = [vault.address for vault in vaults if not _is_before_end(vault, place)]
            balances = await self._balances.sure(addresses, place)
        except ChainUnavailable as error:
            _log.info("no sure balances", block=number, reason=str(error))
        for vault in vaults:
            payment_id, balance = vault.payment_id, balances.get(vault.address)
            if balance is None:
                self._oldest[payment_id] = number + 1
            else:
                self._seen[payment_id][number] = self._records[payment_id].came_in(balance, at=number)


def _is_before_end(vault: Vault, place: Place) -> bool:
    return vault.ended_at is not None and place.time <= vault.ended_at
