"""BNB that arrives from inside a contract (many exchanges and smart wallets send it so) and leaves no log.

A vault's balance says what the logs cannot (`watcher.inflows` says how). Balances are looked at in the newest of the
blocks that are committed together:

- with every commit, those of open payments that may be paid in BNB;
- every `STEP_S` seconds of block time the next `ADDRESSES_PER_CALL` of all others that are watched, open ones that
  accept no BNB and ended ones alike, round and round; and then all are asked of every host, so that a host which hides
  money hides it for seconds only;
- those that an escrow log says were emptied, and those whose money was in a block that was taken back.

Where more is found than is on record, older blocks are looked at until it is known when the money came, each look being
sure: proven by a node against the block's state root, or said by two hosts. A payment that has ended is looked at in
blocks after its end only: what is found then came too late to count, whenever it was sent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from openpay.app.follow import BlockFacts
from openpay.app.ports import Database, UnitOfWork
from openpay.app.records import BalanceRound, Block, EscrowLog, Vault
from openpay.chain.pool import Pool
from openpay.domain.alerts import Alarm, AlertKind
from openpay.domain.chains import Chain
from openpay.domain.deposit import Deposit, Source
from openpay.domain.time import format_time
from openpay.errors import ChainUnavailable
from watcher.balances import ADDRESSES_PER_CALL, Balances, Past, Place
from watcher.dating import Arrival, Search
from watcher.inflows import VaultRecord, outflow
from watcher.naming import Namer, Part
from watcher.vouching import Lamp

STEP_S = 10
"""Of block time, between two steps of the rounds: one request a host, whatever the number of vaults."""
STATE_DEPTH = 100
"""Blocks below the head in which the rounds make steps. Nodes keep the state of 128."""
MOST_AT_ONCE = 200
"""Vaults whose money is dated in one search. With more, the next block's search goes on."""
UNREAD_S = 60
"""Of block time, that balances may stay unread before the operator is told."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Found:
    """The internal deposits of a commit, how far its step of the rounds came, and the doubts that it settles."""

    deposits: tuple[Deposit, ...] = ()
    balance_round: BalanceRound | None = None
    settled_doubts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The vaults to look at with a commit: `each_time`, the `doubted`, and in a step of the rounds those of `step`.

    `every_host`: a step is due, which leads to `round_`.
    """

    each_time: Sequence[Vault] = ()
    doubted: Sequence[Vault] = ()
    step: Sequence[Vault] = ()
    every_host: bool = False
    round_: BalanceRound | None = None
    is_near: bool = False
    """Whether the block is so near the head that nodes should have its state."""


class InternalTransfers:
    """Finds BNB that no log shows, for all watched payments of a chain."""

    def __init__(self, chain: Chain, pool: Pool, db: Database, alarm: Alarm) -> None:
        self._chain_id = chain.chain_id
        self._pool = pool
        self._db = db
        token = chain.token_at(None)
        self._symbol = "" if token is None else token.symbol
        """Of the chain's own coin; empty where that is not listed."""
        self._balances = Balances(pool)
        self._next_step_at = 0
        """Block time. Only to spare questions: what was looked at is in the database."""
        self._unread = Lamp(AlertKind.BALANCES_UNREAD, chain.chain_id, alarm)
        self._unread_since: int | None = None
        """Block time."""

    def is_step_due(self, time: int) -> bool:
        """Whether to look, at block time `time`, how far the rounds are."""
        # A time from far ahead is no reason to wait: its block was invented, and taken back again.
        return bool(self._symbol) and not self._next_step_at - STEP_S <= time < self._next_step_at

    async def wanted(self, uow: UnitOfWork, *, number: int, time: int, head: int) -> Wanted:
        """What to look at in block `number`, `head` being the height of the chain's own newest block."""
        if not self._symbol:
            return Wanted()
        wanted = Wanted(
            each_time=await uow.payments.vaults_awaiting_coin(self._chain_id),
            doubted=await uow.vault_looks.doubted(self._chain_id),
            is_near=head - number <= STATE_DEPTH,
        )
        if not wanted.is_near or not self.is_step_due(time):
            return wanted
        last = await uow.vault_looks.round_(self._chain_id)
        if last is not None and last.looked_at <= time < last.looked_at + STEP_S:
            return wanted
        self._next_step_at = time + STEP_S
        limit = ADDRESSES_PER_CALL
        step = await uow.payments.vaults_after(last, self._chain_id, at=time, limit=limit)
        round_ = _moved(self._chain_id, step, is_whole=len(step) < limit, at=time) if step else None
        return replace(wanted, step=step, every_host=True, round_=round_)

    async def find(self, facts: Sequence[BlockFacts], wanted: Wanted) -> Found:
        """What the balances in the newest of consecutive blocks say, beyond what is on record and in `facts`.

        A node that no longer has that block's state is no reason to stop: a later block's balances show the same money.
        """
        newest = facts[-1].block
        emptied = await self._emptied(facts)
        suspects = {vault.payment_id: vault for vault in (*wanted.doubted, *wanted.step, *emptied)}
        vaults = suspects | {vault.payment_id: vault for vault in wanted.each_time}
        if not vaults:
            return Found()
        read = self._balances.highest if wanted.every_host else self._balances.read
        try:
            balances = await read([vault.address for vault in vaults.values()], newest.hash)
        except ChainUnavailable as error:
            self._tell(newest, wanted, f"refused: {error}")
            return Found()
        held = dict(zip(vaults, balances, strict=True))
        records = await self._records([each for each in held if held[each] or each in suspects], facts)
        shown = [
            each for each, record in records.items() if record.came_in(held[each], at=newest.number) > record.level
        ]
        doubted = {vault.payment_id for vault in wanted.doubted}
        # That nothing came is no more to be taken from one host than that something did.
        searched = [*shown, *sorted(doubted - set(shown))][:MOST_AT_ONCE]
        search = Search([vaults[each] for each in searched], records, self._balances)
        past = Past(self._pool, [each.block for each in facts])
        await search.run(past, first=facts[0].block.number, newest=newest.number)
        deposits = await self._deposits(search.arrivals(), records, past)
        unsure = set(searched) - search.sure
        self._tell(newest, wanted, f"not sure: {', '.join(sorted(unsure)[:3])}" if unsure else None)
        return Found(
            deposits=tuple(deposits),
            balance_round=wanted.round_ if len(shown) <= MOST_AT_ONCE else None,
            settled_doubts=tuple(sorted(doubted & search.sure)),
        )

    def _tell(self, block: Block, wanted: Wanted, trouble: str | None) -> None:
        """Raise the alert once trouble has lasted. Far behind the head there is nothing to wonder at."""
        if trouble is None:
            self._unread_since = None
            self._unread.show(None)
        elif wanted.is_near:
            if self._unread_since is None:
                self._unread_since = block.time
                _log.warning("balances not read", block=block.number, reason=trouble)
            if block.time - self._unread_since >= UNREAD_S:
                self._unread.show(f"since {format_time(self._unread_since)}, block {block.number}: {trouble}")

    async def _emptied(self, facts: Sequence[BlockFacts]) -> list[Vault]:
        """The vaults that logs took coin out of: what came and went in one block lies there no more."""
        logs = [log for fact in facts for log in fact.escrow_logs if outflow(log, self._symbol) > 0]
        terms = {log.terms_id for log in logs if log.terms_id is not None}
        if not terms:
            return []
        async with self._db.read() as uow:
            ids = await uow.payments.ids_by_terms(self._chain_id, terms)
            return await uow.payments.vaults(list(ids.values()))

    async def _records(self, ids: Sequence[str], facts: Sequence[BlockFacts]) -> dict[str, VaultRecord]:
        """What is on record of vaults, and in `facts`."""
        if not ids:
            return {}
        deposits: dict[str, list[Deposit]] = defaultdict(list)
        logs: dict[str, list[EscrowLog]] = defaultdict(list)
        terms = {log.terms_id for fact in facts for log in fact.escrow_logs if log.terms_id is not None}
        async with self._db.read() as uow:
            deposits.update(await uow.deposits.of(ids))
            logs.update(await uow.chain.escrow_logs_of(ids))
            of_terms = await uow.payments.ids_by_terms(self._chain_id, terms)
        for fact in facts:
            for deposit in fact.deposits:
                deposits[deposit.payment_id].append(deposit)
            for log in fact.escrow_logs:
                if log.terms_id is not None and log.terms_id in of_terms:
                    logs[of_terms[log.terms_id]].append(log)
        return {
            each: VaultRecord(token=self._symbol, deposits=tuple(deposits[each]), logs=tuple(logs[each]))
            for each in ids
        }

    async def _deposits(
        self, arrivals: Iterable[Arrival], records: Mapping[str, VaultRecord], past: Past
    ) -> list[Deposit]:
        """What came in as deposits: one for each transaction where all are known, else one for each block."""
        deposits: list[Deposit] = []
        by_block: dict[int, list[Arrival]] = defaultdict(list)
        for arrival in arrivals:
            by_block[arrival.number].append(arrival)
        namer = Namer(self._pool)
        for number, together in sorted(by_block.items()):
            place = await past.at(number)
            parts = await namer.parts(place, {each.vault.address: each.units for each in together})
            for vault in (each.vault for each in together):
                first = records[vault.payment_id].free_position(place.hash)
                for position, part in enumerate(parts[vault.address], start=first):
                    deposits.append(self._deposit(vault, place, position, part))
        return deposits

    def _deposit(self, vault: Vault, place: Place, position: int, part: Part) -> Deposit:
        return Deposit(
            payment_id=vault.payment_id,
            token=self._symbol,
            units=part.wei,
            source=Source.INTERNAL,
            position=position,
            tx_hash=part.tx_hash,
            sender=part.sender,
            sender_nonce=None,
            payer=None,
            block_number=place.number,
            block_hash=place.hash,
            block_time=place.time,
        )


def _moved(chain_id: int, step: Sequence[Vault], *, is_whole: bool, at: int) -> BalanceRound:
    """Where a round stands after `step`; at its start again where that was the last one (`is_whole`)."""
    last = step[-1]
    return BalanceRound(
        chain_id=chain_id,
        watched_until=None if is_whole else last.watched_until,
        seq=0 if is_whole else last.seq,
        looked_at=at,
    )
