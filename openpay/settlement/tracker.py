"""The operator's nonces under way: followed until they are final, sent again, replaced where they are stuck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from openpay.app.ports import Clock, Database, UnitOfWork
from openpay.app.records import Cursor
from openpay.app.signals import Signals
from openpay.chain.signing import SignedCall, read_call
from openpay.domain.address import to_checksum
from openpay.settlement.decisions import ENDS, Fate, Sighting, ended, fate_of
from openpay.settlement.fees import FeePolicy, Patience
from openpay.settlement.nonces import FILL, FILL_GAS, Slot
from openpay.settlement.operator import Account, Operator
from openpay.settlement.reminders import Reminders
from openpay.settlement.sources import Ending, Source

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Missed:
    """When a transaction was first seen in no block: the watcher's block number, and wall-clock seconds."""

    block: int
    at: int


class Tracker:
    """Follows what was signed. Its memory between rounds only spares work: all that counts is in the database."""

    def __init__(
        self,
        db: Database,
        operator: Operator,
        sources: Mapping[str, Source],
        *,
        fees: FeePolicy,
        patience: Patience,
        signals: Signals,
        wall: Clock,
    ) -> None:
        self._db = db
        self._operator = operator
        self._sources = sources
        self._fees = fees
        self._patience = patience
        self._signals = signals
        self._wall = wall
        self._missed: dict[str, _Missed] = {}
        self._reminders = Reminders()

    async def follow(self, slots: Sequence[Slot], cursor: Cursor | None) -> list[Slot]:
        """Look at each nonce and record those that ended; the rest that wait for a block, the lowest nonce first.

        Raises `ChainUnavailable`, `ConcurrentChange`.
        """
        waiting = []
        final_number = None if cursor is None else cursor.final_number
        for slot in slots:
            sighting = await self._operator.look(slot, final_number=final_number)
            fate = fate_of(slot.nonce, sighting)
            if fate is not Fate.UNMINED:
                for attempt in slot.attempts:
                    self._missed.pop(attempt.id, None)
                if fate in ENDS:
                    await self._finish(slot, fate, sighting)
            elif sighting.latest_nonce <= slot.nonce:
                waiting.append(slot)
            elif self._reminders.is_due(f"used {slot.newest.id}", now=self._wall.now()):
                # Not final yet, so it could still be ours that is mined. If not, the work falls due again.
                _log.error(
                    "another program used the operator's nonce",
                    operator=to_checksum(slot.newest.sender),
                    nonce=slot.nonce,
                    tx=slot.newest.tx_hash.hex(),
                )
        return waiting

    async def push(self, waiting: Sequence[Slot], account: Account, cursor: Cursor, *, committed_today: int) -> None:
        """Send again what waits for a block, and replace what waited too long. `committed_today` is in wei.

        Raises `ChainUnavailable`, `ConcurrentChange`.
        """
        async with self._db.read() as uow:
            in_vain = {slot.newest.id for slot in waiting if await self._is_in_vain(uow, slot)}
        for slot in waiting:
            if slot.newest.id in in_vain:
                # Not sent again, and its nonce used by nothing: that this is mined first is all that can be done.
                await self._replace(slot, account, committed_today=committed_today - slot.reserved_wei, by_nothing=True)
                continue
            await self._operator.send(slot.newest)
            if not self._waited_too_long(slot, cursor) or slot.newest.sender != self._operator.address:
                continue
            # Later nonces mostly wait for the lowest. They are replaced only when blocks have become dearer.
            if slot is waiting[0] or account.asked_price > slot.newest.gas_price:
                await self._replace(slot, account, committed_today=committed_today - slot.reserved_wei)

    async def _finish(self, slot: Slot, fate: Fate, sighting: Sighting) -> None:
        """Record the end of a nonce and of what it was for, unless the watcher must read a log first."""
        mined = sighting.mined or slot.newest
        ending = Ending(fate=fate, tx_hash=mined.tx_hash, hashes=slot.hashes)
        now = self._wall.now()
        async with self._db.write() as uow:
            cursor = await uow.chain.cursor(mined.chain_id)
            if cursor is None or cursor.reread_to is not None:
                return  # rewound since the look: this end may lie in a block that was taken back
            for subject in mined.subjects:
                if not await self._sources[mined.kind].ended(uow, subject, ending, now=now):
                    return
            for transaction in ended(slot, sighting, now=now):
                await uow.operations.end_transaction(transaction)
        self._signals.notify("payments", "operations")
        _log.info(
            "transaction ended", tx=mined.tx_hash.hex(), kind=mined.kind, subjects=len(mined.subjects), fate=fate.name
        )

    def _waited_too_long(self, slot: Slot, cursor: Cursor) -> bool:
        now = self._wall.now()
        missed = self._missed.setdefault(slot.newest.id, _Missed(block=cursor.number, at=now))
        return cursor.number - missed.block >= self._patience.blocks and now - missed.at >= self._patience.seconds

    async def _is_in_vain(self, uow: UnitOfWork, slot: Slot) -> bool:
        """Whether nothing that was signed for this nonce is wanted any more."""
        subjects, kind = slot.newest.subjects, slot.newest.kind
        in_vain = [await self._sources[kind].is_in_vain(uow, subject, slot.hashes) for subject in subjects]
        return bool(in_vain) and all(in_vain)

    async def _replace(self, slot: Slot, account: Account, *, committed_today: int, by_nothing: bool = False) -> None:
        """The same call at a higher price; `by_nothing` a transaction that only uses up the nonce."""
        old = slot.newest
        if old.sender != self._operator.address:
            self._hold(slot, "the key is another by now", account)
            return
        price = self._fees.replacement_price(paid=old.gas_price, asked=account.asked_price)
        if price is None:
            self._hold(slot, "a higher price than OPENPAY_MAX_GAS_PRICE_GWEI would be needed", account)
            return
        most = self._fees.most_gas(gas_price=price, committed_today=committed_today)
        gas = FILL_GAS if by_nothing else old.gas
        if most is not None and gas > most:
            self._hold(slot, "the cap per transaction or day leaves nothing for a replacement", account)
            return
        if gas * price > account.balance:
            self._hold(slot, "the operator has no money for gas", account)
            return
        call = SignedCall(to=old.sender, data=b"") if by_nothing else read_call(old.raw)
        new = self._operator.sign(
            kind=FILL if by_nothing else old.kind,
            subjects=() if by_nothing else old.subjects,
            to=call.to,
            data=call.data,
            gas=gas,
            gas_price=price,
            nonce=old.nonce,
        )
        async with self._db.write() as uow:
            await self._operator.record(uow, new, replaces=old)
            for subject in new.subjects:
                await self._sources[new.kind].submitted(uow, subject, new.tx_hash, replaced=old.tx_hash)
        self._signals.notify("payments", "operations")
        _log.info("transaction replaced", nonce=new.nonce, tx=new.tx_hash.hex(), gas_price=price, was=old.gas_price)
        await self._operator.send(new)

    def _hold(self, slot: Slot, reason: str, account: Account) -> None:
        if self._reminders.is_due(f"{reason} {slot.newest.id}", now=self._wall.now()):
            _log.error(
                "transaction is stuck",
                nonce=slot.nonce,
                tx=slot.newest.tx_hash.hex(),
                gas_price=slot.newest.gas_price,
                asked_price=account.asked_price,
                reason=reason,
            )
