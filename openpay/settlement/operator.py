"""The operator's transactions: stored before they are sent, followed until they are final.

The invariant that makes a crash harmless: a transaction is sent only after its signed bytes were committed, and a
transaction that was committed is sent again, byte for byte, until it is in a block. Its nonce can be used once, so no
number of repetitions moves money twice.
"""

from __future__ import annotations

from dataclasses import replace

import structlog

from openpay.app.ports import Clock, Database
from openpay.app.records import OperatorTransaction, TransactionStatus
from openpay.chain import reads
from openpay.chain.blocks import read_quantity
from openpay.chain.errors import JsonRpcError
from openpay.chain.pool import Pool
from openpay.chain.signing import Signer, gas_price_to_pay
from openpay.domain.chains import Chain
from openpay.domain.ids import new_id
from openpay.settlement.decisions import Sighting

GAS_PER_CALL = 200_000
"""Fixed, never estimated: settling takes up to 153,000 and a first withdrawal 103,000, and unused gas is not paid."""

_log = structlog.get_logger(__name__)


class Operator:
    """Signs calls to the escrow, sends them, and reports where they stand. Commits nothing but `sent_at`."""

    def __init__(self, chain: Chain, pool: Pool, db: Database, *, signer: Signer, wall: Clock) -> None:
        self._chain = chain
        self._pool = pool
        self._db = db
        self._signer = signer
        self._wall = wall

    @property
    def address(self) -> bytes:
        return self._signer.address

    async def refusal(self, escrow: bytes, data: bytes) -> JsonRpcError | None:
        """Why this call to an escrow would revert now; None when it would not. Costs nothing.

        Raises `ChainUnavailable` when no node gave an answer.
        """
        call = reads.eth_call(to=escrow, data=data, at="latest", sender=self.address)
        try:
            await self._pool.call(call)
        except JsonRpcError as error:
            if error.is_revert:
                return error
            raise
        return None

    async def sign(
        self, escrow: bytes, data: bytes, *, kind: str, subject: str, after: int | None
    ) -> OperatorTransaction:
        """Sign a call to an escrow without sending it. The caller commits the result, then calls `send`.

        `after` is the highest nonce among open transactions, None without one. Raises `ChainUnavailable`.
        """
        counted = read_quantity(await self._pool.call(reads.transaction_count(self.address, "pending")))
        signed = self._signer.sign(
            chain_id=self._chain.chain_id,
            nonce=counted if after is None else max(counted, after + 1),
            to=escrow,
            gas=GAS_PER_CALL,
            gas_price=await gas_price_to_pay(self._pool),
            data=data,
        )
        return OperatorTransaction(
            id=new_id("otx"),
            chain_id=self._chain.chain_id,
            kind=kind,
            subject=subject,
            sender=self.address,
            nonce=signed.nonce,
            tx_hash=signed.hash,
            raw=signed.raw,
            status=TransactionStatus.SIGNED,
            created_at=self._wall.now(),
        )

    async def send(self, transaction: OperatorTransaction) -> None:
        """Hand a committed transaction to a node; may be called any number of times. Raises `ChainUnavailable` when
        none answered. A node that refuses is only logged: it may know the transaction already, its nonce may be used,
        the account may lack gas. `look` finds out what became of it."""
        try:
            await self._pool.call(reads.send_raw_transaction(transaction.raw))
        except JsonRpcError as refusal:
            repeated = "already" in refusal.message.lower()
            log = _log.debug if repeated else _log.warning
            log("transaction not taken", tx=transaction.tx_hash.hex(), reason=refusal.message)
            return
        if transaction.sent_at is None:
            async with self._db.write() as uow:
                await uow.operations.save_transaction(replace(transaction, sent_at=self._wall.now()))

    async def look(self, transaction: OperatorTransaction, *, final_number: int | None) -> Sighting:
        """What the chain says of a transaction now. `final_number` is the newest final block that the watcher read.

        Raises `ChainUnavailable`.
        """
        receipt = await self._pool.find(reads.transaction_receipt(transaction.tx_hash))
        if receipt is not None:
            return Sighting(
                block_number=read_quantity(receipt.block_number),
                succeeded=read_quantity(receipt.status) == 1,
                final_number=final_number,
                final_nonce=None,
            )
        final_nonce = None
        if final_number is not None:
            final_nonce = read_quantity(
                await self._pool.call(reads.transaction_count(transaction.sender, final_number))
            )
        return Sighting(block_number=None, succeeded=None, final_number=final_number, final_nonce=final_nonce)
