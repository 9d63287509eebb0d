"""Whose balances are to be looked at, in SQL."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from operator import attrgetter

from sqlalchemy import delete, select, update

from openpay.app.records import BalanceRound, Vault
from openpay.store.parts import in_parts
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
        row = payments.c
        query = select(row.seq, row.id.label("payment_id"), row.address, row.ended_at, row.watched_until)
        found: list[Vault] = []
        for some in in_parts(ids):  # after a rewind they may be many
            theirs = query.where(row.id.in_(some), row.chain_id == chain_id)
            found += [Vault(**each._mapping) for each in await self._connection.execute(theirs)]
        return sorted(found, key=attrgetter("seq"))

    async def settle(self, payment_ids: Collection[str], *, at: int) -> None:
        await self._connection.execute(
            delete(doubted_balances).where(
                doubted_balances.c.payment_id.in_(payment_ids), doubted_balances.c.block_number <= at
            )
        )
