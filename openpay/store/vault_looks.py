"""Whose balances are to be looked at, in SQL."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from operator import attrgetter

from sqlalchemy import delete, select, update

from openpay.app.records import BalanceRound, Vault
from openpay.store.payments import VAULTS
from openpay.store.sql import Repository
from openpay.store.tables import balance_rounds, doubted_balances, payments


class SqlVaultLooks(Repository):
    async def round_(self, chain_id: int) -> BalanceRound | None:
        query = select(balance_rounds).where(balance_rounds.c.chain_id == chain_id)
        row = (await self._connection.execute(query)).first()
        return None if row is None else BalanceRound(**row._mapping)

    async def move_round(self, round_: BalanceRound) -> None:
        if await self._insert_new(balance_rounds, [asdict(round_)]):
            return
        await self._connection.execute(
            update(balance_rounds).where(balance_rounds.c.chain_id == round_.chain_id).values(asdict(round_))
        )

    async def doubted(self, chain_id: int) -> list[Vault]:
        ids = list(await self._connection.scalars(select(doubted_balances.c.payment_id)))
        # Two questions: joined, SQLite goes through all payments of the chain, and nearly always there is no doubt.
        found = await self._among(VAULTS.where(payments.c.chain_id == chain_id), payments.c.id, ids)
        return sorted((Vault(**row._mapping) for row in found), key=attrgetter("seq"))

    async def settle(self, payment_ids: Collection[str], *, at: int) -> None:
        looked_at = delete(doubted_balances).where(doubted_balances.c.block_number <= at)
        await self._delete_among(looked_at, doubted_balances.c.payment_id, payment_ids)
