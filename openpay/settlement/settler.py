"""The settler: follows what is under way, then turns the work that is due into transactions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import structlog

from openpay.app.ports import Clock, Database
from openpay.app.records import Cursor
from openpay.app.signals import Signals
from openpay.app.stopping import pause
from openpay.chain.errors import JsonRpcError
from openpay.chain.escrow_abi import error_name
from openpay.chain.pool import Pool
from openpay.chain.signing import Signer
from openpay.domain.address import to_checksum
from openpay.domain.chains import Chain
from openpay.errors import ConcurrentChange, RetryableError
from openpay.settlement.batches import Batching, Bundle, bundles_of
from openpay.settlement.fees import FeePolicy, Patience, start_of_day
from openpay.settlement.nonces import FILL, FILL_GAS, Slot, slots_of
from openpay.settlement.operator import Account, Operator
from openpay.settlement.pauses import Pauses
from openpay.settlement.refunds import Refunds
from openpay.settlement.reminders import Reminders
from openpay.settlement.rounds import Round
from openpay.settlement.settlements import Settlements
from openpay.settlement.sources import Source, Work
from openpay.settlement.sweeps import Sweeps
from openpay.settlement.tracker import Tracker
from openpay.settlement.withdrawals import Withdrawals

POLL_S = 1.0
WORK_PER_ROUND = 400
"""How much waiting work of each kind is looked at in one round."""
MOST_IN_FLIGHT = 8
"""Nonces of ours in no block; nodes keep at least 16 of one account in their pools."""
LARGEST_NONCE_STEP = 16
"""A next nonce further above ours than this is not believed from one host: its gaps would cost gas to fill."""
MOST_BLOCKS_BEHIND = 100
"""So far behind the chain may the watcher be while work is started; on BNB Chain 45 seconds."""

_ORDINARY = frozenset({"AlreadySettled", "NothingToMove", "CanStillSettle"})
"""A stranger's kindness, or a deposit that came first: the watcher is about to read its log."""

_log = structlog.get_logger(__name__)


class Settler:
    """Carries out the operator's work on one chain. A second one on the same database does no harm and is no help."""

    def __init__(
        self,
        chain: Chain,
        pool: Pool,
        db: Database,
        *,
        signer: Signer,
        signals: Signals,
        wall: Clock,
        sources: Sequence[Source] | None = None,
        batching: Batching | None = None,
        fees: FeePolicy | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._chain = chain
        self._db = db
        self._signals = signals
        self._wall = wall
        self._batching = batching or Batching()
        self._fees = fees or FeePolicy()
        # People wait for withdrawals and refunds, and there are few of them.
        ordered = sources or (Withdrawals(chain), Refunds(chain), Settlements(chain), Sweeps(chain))
        self._sources: dict[str, Source] = {source.kind: source for source in ordered}
        self._operator = Operator(chain, pool, db, signer=signer, wall=wall)
        self._tracker = Tracker(
            db,
            self._operator,
            self._sources,
            fees=self._fees,
            patience=patience or Patience(),
            signals=signals,
            wall=wall,
        )
        self._reminders = Reminders()
        # Memory of this process only: forgetting it delays work by seconds, and never repeats any.
        self._pauses = Pauses()
        self._waiting_since: dict[str, int] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. What fails for lack of a node, or because a row changed meanwhile, comes again."""
        while not stop.is_set():
            under_way = False
            try:
                under_way = await self.step()
            except RetryableError as error:
                _log.warning("settler tries again", chain_id=self._chain.chain_id, reason=str(error))
            # While one is under way the next block matters; otherwise only news do.
            poll_s = min(self._chain.block_interval_s, POLL_S) if under_way else POLL_S
            await pause(stop, poll_s, unless=self._signals.wait("operations", timeout_s=poll_s))

    async def step(self) -> bool:
        """One round: follow what was signed, then start what is due; whether anything waits for a block.

        Raises `RetryableError` when a node or the database gave no answer: take the step again, later.
        """
        async with self._db.read() as uow:
            cursor = await uow.chain.cursor(self._chain.chain_id)
            slots = slots_of(await uow.operations.open_transactions(self._chain.chain_id))
        if self._is_rereading(cursor):
            return False
        waiting = await self._tracker.follow(slots, cursor)
        bundles = await self._bundles()
        if cursor is None or not (waiting or bundles):
            return False
        account = await self._operator.account()
        if waiting:
            round_ = await self._round(account, waiting)
            await self._tracker.push(waiting, account, cursor, committed_today=round_.committed_today)
        if self._knows_too_little(account, cursor):
            return bool(waiting)
        return await self._start_all(bundles, await self._round(account, waiting)) or bool(waiting)

    def _is_rereading(self, cursor: Cursor | None) -> bool:
        """Whether a rewind took back what the record knew of our transactions, and not all is read again: nothing is
        sent, and no end recorded, until the refunds and settlements concerned were judged."""
        holds = cursor is not None and cursor.reread_to is not None
        self._hold("the chain is being read again after a rewind: doing nothing until then", holds)
        return holds

    def _knows_too_little(self, account: Account, cursor: Cursor) -> bool:
        """Whether the database is far behind the chain, as one restored from a backup is.

        What it calls due may have been done by transactions that it forgot: a refund done again would be paid from
        the vault's other deposits.
        """
        behind = account.newest_block - cursor.number
        holds = behind > MOST_BLOCKS_BEHIND
        self._hold("watcher is behind: starting nothing until it has read on", holds, blocks=behind)
        return holds

    # --- what is due -------------------------------------------------------------------------------------------------

    async def _bundles(self) -> list[Bundle]:
        """What is to be sent now, as far as the database can say."""
        now = self._wall.now()
        async with self._db.read() as uow:
            limit = WORK_PER_ROUND + len(self._pauses)
            due = [work for source in self._sources.values() for work in await source.due(uow, now=now, limit=limit)]
            self._pauses.keep({work.subject for work in due})
            ready = [work for work in due if not self._pauses.holds(work.subject, now)]
            batchable = [work for work in ready if work.item is not None]
            alone = await uow.operations.mined_without_success([work.subject for work in batchable])
            more_coming = [
                kind for kind in {work.kind for work in batchable} if await self._sources[kind].more_is_coming(uow)
            ]
        self._waiting_since = {work.subject: self._waiting_since.get(work.subject, now) for work in batchable}
        return bundles_of(
            ready,
            rules=self._batching,
            alone=alone,
            waiting_since=self._waiting_since,
            more_coming=more_coming,
            now=now,
        )

    async def _round(self, account: Account, waiting: Sequence[Slot]) -> Round:
        chain_id, address = self._chain.chain_id, self._operator.address
        async with self._db.read() as uow:
            slots = slots_of(await uow.operations.open_transactions(chain_id))
            spent = await uow.operations.fees_since(chain_id, start_of_day(self._wall.now()))
            ended_nonce = await uow.operations.last_ended_nonce(chain_id, address)
        known = [slot.nonce for slot in slots if slot.newest.sender == address]
        known += [] if ended_nonce is None else [ended_nonce]
        named = max(account.latest_nonce, account.pending_nonce)
        if known and named > max(known) + 1 + LARGEST_NONCE_STEP:
            least = await self._operator.least_nonce()
            _log.warning("a node names a strange nonce for the operator", named=named, least=least, ours=max(known))
            account = replace(account, latest_nonce=least, pending_nonce=least)
        unmined = {slot.nonce for slot in waiting if slot.newest.sender == address}
        ours = [slot for slot in slots if slot.newest.sender == address]
        return Round(
            account=account,
            taken={slot.nonce for slot in ours},
            ended_nonce=ended_nonce,
            committed_today=spent + sum(slot.reserved_wei for slot in slots),
            promised=sum(slot.reserved_wei for slot in ours if slot.nonce in unmined),
            in_flight=len(unmined),
        )

    # --- starting ----------------------------------------------------------------------------------------------------

    async def _start_all(self, bundles: Sequence[Bundle], round_: Round) -> bool:
        started = False
        for bundle in bundles:
            if round_.in_flight >= MOST_IN_FLIGHT:
                break
            started = await self._start(bundle, round_) or started
        if round_.has_gap:
            started = await self._fill(round_) or started
        return started

    async def _start(self, bundle: Bundle, round_: Round) -> bool:
        price = self._price(round_)
        affordable = None if price is None else self._affordable(bundle, round_, price)
        passing = None if affordable is None else await self._passing(affordable)
        if price is None or passing is None:
            return False
        source = self._sources[passing.kind]
        transaction = self._operator.sign(
            kind=passing.kind,
            subjects=passing.subjects,
            to=passing.to,
            data=passing.data,
            gas=passing.gas,
            gas_price=price,
            nonce=round_.nonce,
        )
        async with self._db.write() as uow:
            if self._is_rereading(await uow.chain.cursor(self._chain.chain_id)):
                raise ConcurrentChange("the record was rewound while work was prepared")
            await self._operator.record(uow, transaction)
            for subject in passing.subjects:
                await source.submitted(uow, subject, transaction.tx_hash)
        round_.spend(transaction.nonce, transaction.gas * price)
        for subject in passing.subjects:
            self._pauses.end(subject)
        # From here on a failure is mended by the next round, which finds the transaction open.
        self._signals.notify("payments", "operations")
        _log.info(
            "transaction signed",
            tx=transaction.tx_hash.hex(),
            nonce=transaction.nonce,
            kind=passing.kind,
            subjects=len(passing.subjects),
        )
        await self._operator.send(transaction)
        return True

    async def _fill(self, round_: Round) -> bool:
        """Use up a nonce that another program left unused, on which later ones of ours wait."""
        price = self._price(round_)
        if price is None:
            return False
        transaction = self._operator.sign(
            kind=FILL,
            subjects=(),
            to=self._operator.address,
            data=b"",
            gas=FILL_GAS,
            gas_price=price,
            nonce=round_.nonce,
        )
        async with self._db.write() as uow:
            await self._operator.record(uow, transaction)
        round_.spend(transaction.nonce, transaction.gas * price)
        _log.warning("a nonce was left unused: filling the gap", nonce=transaction.nonce, tx=transaction.tx_hash.hex())
        await self._operator.send(transaction)
        return True

    def _price(self, round_: Round) -> int | None:
        """Wei per gas to pay; None while nodes ask for more than the cap."""
        asked = round_.account.asked_price
        price = self._fees.price(asked)
        self._hold("gas price above the cap", price is None, asked_price=asked, cap=self._fees.max_gas_price)
        return price

    def _affordable(self, bundle: Bundle, round_: Round, price: int) -> Bundle | None:
        """As much of a bundle as caps and balance allow; None when that is nothing, which is said."""
        within_caps = bundle.within(self._fees.most_gas(gas_price=price, committed_today=round_.committed_today))
        self._hold(
            "gas cap reached",
            within_caps is None,
            committed_today=round_.committed_today,
            cap_per_day=self._fees.max_per_day,
            cap_per_transaction=self._fees.max_per_transaction,
            needed=bundle.works[0].gas * price,
        )
        if within_caps is None:
            return None
        left = max(0, round_.account.balance - round_.promised)
        within_balance = within_caps.within(left // price)
        self._hold(
            "operator has no money for gas",
            within_balance is None,
            operator=to_checksum(self._operator.address),
            balance=round_.account.balance,
            promised=round_.promised,
            needed=bundle.works[0].gas * price,
        )
        return within_balance

    def _hold(self, condition: str, holds: bool, **values: object) -> None:
        """Say what keeps the work waiting: once, every hour, and when it is over. Amounts in wei."""
        if holds and self._reminders.is_due(condition, now=self._wall.now()):
            _log.error(condition, chain_id=self._chain.chain_id, **values)
        elif not holds and self._reminders.is_over(condition):
            _log.info(f"over: {condition}", chain_id=self._chain.chain_id)

    # --- would it work? ----------------------------------------------------------------------------------------------

    async def _passing(self, bundle: Bundle) -> Bundle | None:
        """The part of a bundle that would not revert now. The rest is refused or paused, each for its own reason."""
        if len(bundle.works) == 1:
            settled = [False]
        else:
            settled = await self._operator.would_settle(bundle.to, bundle.data, count=len(bundle.works))
        passing = [
            work for work, fine in zip(bundle.works, settled, strict=True) if fine or not await self._is_refused(work)
        ]
        return Bundle(works=tuple(passing)) if passing else None

    async def _is_refused(self, work: Work) -> bool:
        """Ask for one call alone, and record or pause it when it would revert."""
        try:
            refusal = await self._operator.refusal(work.to, work.data)
        except JsonRpcError as error:
            # No word of the escrow's, such as a receiver that computes until the node gives up: only this work waits.
            self._pause(work.subject, error.message)
            return True
        if refusal is None:
            return False
        reason = _reason(refusal)
        async with self._db.write() as uow:
            over = await self._sources[work.kind].refused(uow, work, reason, now=self._wall.now())
        if over:
            self._signals.notify("operations")
        else:
            self._pause(work.subject, reason)
        return True

    def _pause(self, subject: str, reason: str) -> None:
        length_s = self._pauses.pause(subject, self._wall.now())
        level = _log.info if reason in _ORDINARY else _log.error
        level("cannot be done now", subject=subject, reason=reason, again_in_s=length_s)


def _reason(refusal: JsonRpcError) -> str:
    return error_name(refusal.data) or refusal.message
