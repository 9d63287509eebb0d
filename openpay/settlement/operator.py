"""The operator's key at work: signs, records, sends and looks up transactions.

The invariant that makes a crash harmless: a transaction is sent only after its signed bytes were committed, and what
was committed is sent again, byte for byte, or replaced under the same nonce, until that nonce is final. A nonce can be
used once, so no number of repetitions moves money twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import structlog

from openpay.app.ports import Clock, Database, UnitOfWork
from openpay.app.records import OperatorTransaction, TransactionStatus
from openpay.chain import reads
from openpay.chain.blocks import read_bytes, read_quantity
from openpay.chain.errors import BadAnswer, JsonRpcError, Missing
from openpay.chain.escrow_abi import read_settled
from openpay.chain.pool import Pool
from openpay.chain.rpc import Endpoint
from openpay.chain.signing import Signer
from openpay.chain.words import NEEDED
from openpay.domain.chains import Chain
from openpay.domain.ids import new_id
from openpay.errors import ChainUnavailable, ConcurrentChange
from openpay.settlement.decisions import ENDS, Sighting, fate_of
from openpay.settlement.nonces import Slot
from openpay.settlement.reminders import Reminders

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Account:
    """What one node says of the operator's account at its newest block: next nonces, wei, and the gas price it asks."""

    latest_nonce: int
    pending_nonce: int
    balance: int
    asked_price: int
    newest_block: int


class Operator:
    """Signs calls, records and sends them, and reports where they stand. Decides nothing."""

    def __init__(self, chain: Chain, pool: Pool, db: Database, *, signer: Signer, wall: Clock) -> None:
        self._chain = chain
        self._pool = pool
        self._db = db
        self._signer = signer
        self._wall = wall
        self._reminders = Reminders()

    @property
    def address(self) -> bytes:
        return self._signer.address

    # --- questions: each raises `ChainUnavailable` when no node gave an answer ---------------------------------------

    async def account(self) -> Account:
        latest, pending, balance, asked, newest = await self._pool.batch(
            [
                reads.transaction_count(self.address, "latest"),
                reads.transaction_count(self.address, "pending"),
                reads.balance(self.address, "latest"),
                reads.gas_price(),
                reads.newest_height(),
            ]
        )
        return Account(
            latest_nonce=read_quantity(latest),
            pending_nonce=read_quantity(pending),
            balance=read_quantity(balance),
            asked_price=read_quantity(asked),
            newest_block=read_quantity(newest),
        )

    async def least_nonce(self) -> int:
        """The lowest next nonce that any host names, for when one of them names a strange one. A transaction above the
        true nonce would wait for ever; one below is refused at once."""
        call = reads.transaction_count(self.address, "latest")
        words = await self._pool.ask_hosts(lambda endpoint: endpoint.call(call))
        nonces = [read_quantity(word) for word in words.values() if isinstance(word, str)]
        if not nonces:
            raise ChainUnavailable("no host named the operator's nonce")
        return min(nonces)

    async def refusal(self, to: bytes, data: bytes) -> JsonRpcError | None:
        """Why this call would revert now; None when it would not. Costs nothing."""
        try:
            await self._pool.call(reads.eth_call(to=to, data=data, at="latest", sender=self.address))
        except JsonRpcError as error:
            if error.is_revert:
                return error
            raise
        return None

    async def would_settle(self, escrow: bytes, data: bytes, *, count: int) -> list[bool]:
        """For each item of a `settleMany`, whether it would be settled now. Costs nothing."""
        call = reads.eth_call(to=escrow, data=data, at="latest", sender=self.address)

        async def ask(endpoint: Endpoint) -> list[bool]:
            try:
                return read_settled(read_bytes(await endpoint.call(call)), count)
            except ValueError as error:
                raise BadAnswer(endpoint.name, str(error)) from error

        return await self._pool.ask(ask)

    async def look(self, slot: Slot, *, final_number: int | None) -> Sighting:
        """What the chain says of a nonce. `final_number` is the newest final block that the watcher read.

        After the end of a nonce its work may be signed again under another one, which would move money twice if the
        first transaction lived on. So an end on which two hosts do not agree (one, where only one is configured) is
        reported as not final yet.
        """
        sender = slot.newest.sender

        async def ask(endpoint: Endpoint) -> Sighting:
            latest = read_quantity(await endpoint.call(reads.transaction_count(sender, "latest")))
            found = await _mined(endpoint, slot)
            final_nonce = None
            if found is None and latest > slot.nonce and final_number is not None:
                final_nonce = read_quantity(await endpoint.call(reads.transaction_count(sender, final_number)))
                # One of ours may have been mined since the first look: this node has that block by now.
                found = await _mined(endpoint, slot)
            mined, receipt = found or (None, None)
            return Sighting(
                mined=mined,
                block_number=None if receipt is None else read_quantity(receipt.block_number),
                succeeded=None if receipt is None else read_quantity(receipt.status) == 1,
                gas_used=None if receipt is None else read_quantity(receipt.gas_used),
                latest_nonce=latest,
                final_number=final_number,
                final_nonce=final_nonce,
            )

        sighting = await self._pool.ask(ask)
        if fate_of(slot.nonce, sighting) not in ENDS:
            return sighting
        words = await self._pool.ask_hosts(ask)
        agreeing = [host for host, word in words.items() if isinstance(word, Sighting) and _agree(slot, word, sighting)]
        if len(agreeing) >= min(NEEDED, len(words)):
            return sighting
        if self._reminders.is_due(f"end of {slot.newest.id}", now=self._wall.now()):
            _log.warning(
                "hosts do not agree on the end of a transaction",
                tx=slot.newest.tx_hash.hex(),
                nonce=slot.nonce,
                agreeing=sorted(agreeing),
                hosts=sorted(words),
            )
        return replace(sighting, final_number=None, final_nonce=None)

    # --- transactions ------------------------------------------------------------------------------------------------

    def sign(
        self, *, kind: str, subjects: tuple[str, ...], to: bytes, data: bytes, gas: int, gas_price: int, nonce: int
    ) -> OperatorTransaction:
        """Sign a call, which is neither stored nor sent by this."""
        signed = self._signer.sign(
            chain_id=self._chain.chain_id, nonce=nonce, to=to, gas=gas, gas_price=gas_price, data=data
        )
        return OperatorTransaction(
            id=new_id("otx"),
            chain_id=self._chain.chain_id,
            kind=kind,
            subjects=subjects,
            sender=self.address,
            nonce=nonce,
            tx_hash=signed.hash,
            raw=signed.raw,
            gas=gas,
            gas_price=gas_price,
            status=TransactionStatus.SIGNED,
            created_at=self._wall.now(),
        )

    async def record(
        self, uow: UnitOfWork, transaction: OperatorTransaction, *, replaces: OperatorTransaction | None = None
    ) -> None:
        """Store a signed transaction, in the unit of work that records what it is for; `send` comes after the commit.

        Raises `ConcurrentChange` when another settler signed for this nonce meanwhile, or saw its end.
        """
        open_ = await uow.operations.open_transactions(transaction.chain_id, lock=True)
        ended = await uow.operations.last_ended_nonce(transaction.chain_id, transaction.sender)
        same = [each for each in open_ if each.sender == transaction.sender and each.nonce == transaction.nonce]
        newest = same[-1].id if same else None
        expected = None if replaces is None else replaces.id
        if newest != expected or (ended is not None and ended >= transaction.nonce):
            raise ConcurrentChange(f"nonce {transaction.nonce} is no longer as it was: another settler is running")
        await uow.operations.add_transaction(transaction)

    async def send(self, transaction: OperatorTransaction) -> None:
        """Hand a committed transaction to a node; may be called any number of times. Raises `ChainUnavailable` when
        none answered. A node that refuses is only logged: the nonce may be used, or the account lack gas. `look` finds
        out what became of it."""
        try:
            await self._pool.call(reads.send_raw_transaction(transaction.raw))
        except JsonRpcError as refusal:
            if not _is_known(refusal):
                if self._reminders.is_due(f"{transaction.id} {refusal.message}", now=self._wall.now()):
                    _log.warning(
                        "transaction not taken",
                        tx=transaction.tx_hash.hex(),
                        nonce=transaction.nonce,
                        reason=refusal.message,
                    )
                return
        if transaction.sent_at is None:
            async with self._db.write() as uow:
                await uow.operations.mark_sent(transaction.id, now=self._wall.now())


async def _mined(endpoint: Endpoint, slot: Slot) -> tuple[OperatorTransaction, reads.MinedReceipt] | None:
    """The transaction of a slot that has a receipt, the newest first: that one is the likeliest."""
    for attempt in reversed(slot.attempts):
        try:
            return attempt, await endpoint.call(reads.transaction_receipt(attempt.tx_hash))
        except Missing:
            continue
    return None


def _agree(slot: Slot, one: Sighting, other: Sighting) -> bool:
    """Whether two hosts tell the same end of a nonce, by the same transaction of ours or by none."""
    mined, mined_too = (None if each.mined is None else each.mined.id for each in (one, other))
    return mined == mined_too and fate_of(slot.nonce, one) is fate_of(slot.nonce, other)


def _is_known(refusal: JsonRpcError) -> bool:
    """Whether the node refused only because it has the transaction already."""
    message = refusal.message.lower()
    return "already known" in message or "already imported" in message or "known transaction" in message
