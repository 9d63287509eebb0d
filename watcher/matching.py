"""From a proven block and the deposit addresses to what the block means for payments. Pure: no node, no database.

A deposit is a `Transfer` log of a *listed* token contract to a watched address, or BNB that a successful transaction
itself sends to one. The contract's address decides, never a symbol. BNB sent from inside a contract leaves no trace
in a block: `watcher.internal` finds it.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

from openpay.app.records import EscrowLog, Report
from openpay.chain.bep20 import TRANSFER_SELECTOR, TRANSFER_TOPIC
from openpay.chain.blocks import Log, read_bytes, read_quantity
from openpay.chain.escrow_abi import decode_log
from openpay.chain.proofs import ProvenBlock
from openpay.domain.chains import Chain, Token
from openpay.domain.deposit import Deposit, RevertedAttempt, Source

PlacedLog = tuple[int, int, Log]
"""The index of a log's transaction, its own among all logs of the block, and the log."""


@dataclass(frozen=True, kw_only=True)
class Matches:
    """What one block holds for us, in the order of the block."""

    deposits: tuple[Deposit, ...]
    escrow_logs: tuple[EscrowLog, ...]


class Matcher:
    """Finds deposits and escrow logs in blocks of one chain."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._tokens = {token.contract: token for token in chain.tokens}
        self._escrow = chain.escrow.hex()
        self._contracts = {self._escrow} | {contract.hex() for contract in self._tokens if contract is not None}
        """Whose logs are looked at."""

    def logs(self, block: ProvenBlock) -> list[PlacedLog]:
        """The logs of the escrow and of listed tokens. Nearly every log is rejected here, once for all."""
        wanted, placed, position = self._contracts, list[PlacedLog](), 0
        for index, receipt in enumerate(block.receipts):
            for log in receipt.logs:
                # The proofs read neither the prefix nor the case: nor does this.
                if log.address[2:].lower() in wanted:
                    placed.append((index, position, log))
                position += 1
        return placed

    def recipients(
        self, block: ProvenBlock, watched: Container[bytes], logs: Sequence[PlacedLog] | None = None
    ) -> Iterator[bytes]:
        """Those addresses in `watched` that `block` may hold money for: which payments they belong to is looked up only
        for these few. One may come up more than once, and for what turns out to be no deposit. `logs`: those of `block`
        that `self.logs` found, where they were looked for already."""
        for transaction in block.transactions:
            if transaction.to is not None and (to := read_bytes(transaction.to)) in watched:
                yield to
        for _, _, log in self.logs(block) if logs is None else logs:
            if len(log.topics) == 3 and (to := bytes.fromhex(log.topics[2][26:])) in watched:
                yield to

    def match(
        self, block: ProvenBlock, watched: Mapping[bytes, str], logs: Sequence[PlacedLog] | None = None
    ) -> Matches:
        """Find everything in `block` that concerns the addresses in `watched` (address to payment id) or the escrow.
        `logs` as for `recipients`."""
        deposits = list(self._native(block, watched)) if watched else []
        escrow_logs: list[EscrowLog] = []
        for index, position, log in self.logs(block) if logs is None else logs:
            if log.address[2:].lower() == self._escrow:
                escrow_logs += self._escrow_log(block, index, position, log)
            elif watched and len(log.topics) == 3 and bytes.fromhex(log.topics[2][26:]) in watched:
                deposits += self._transfer(block, watched, index, position, log)
        return Matches(deposits=tuple(deposits), escrow_logs=tuple(escrow_logs))

    def native_transfers(self, block: ProvenBlock, watched: Container[bytes]) -> Iterator[int]:
        """The indices of the transactions that send the chain's own coin to an address in `watched`, or try to."""
        if None not in self._tokens:
            return
        for index, transaction in enumerate(block.transactions):
            is_to_us = transaction.to is not None and read_bytes(transaction.to) in watched
            if is_to_us and read_quantity(transaction.value) > 0:
                yield index

    def _native(self, block: ProvenBlock, watched: Mapping[bytes, str]) -> Iterator[Deposit]:
        for index in self.native_transfers(block, watched):
            transaction = block.transactions[index]
            if transaction.to is not None and block.succeeded(index):
                payment_id, units = watched[read_bytes(transaction.to)], read_quantity(transaction.value)
                token = self._tokens[None]
                yield self._deposit(block, payment_id, token, units, Source.TRANSACTION, index, transaction=index)

    def _transfer(
        self, block: ProvenBlock, watched: Mapping[bytes, str], index: int, position: int, log: Log
    ) -> Iterator[Deposit]:
        signature, payer, to = (read_bytes(topic) for topic in log.topics)
        if signature != TRANSFER_TOPIC or len(log.data) != 66 or any(payer[:12] + to[:12]):
            return
        units = read_quantity(log.data)
        if units > 0:
            token = self._tokens[read_bytes(log.address)]
            yield self._deposit(
                block, watched[to[12:]], token, units, Source.LOG, position, transaction=index, payer=payer[12:]
            )

    def _deposit(
        self,
        block: ProvenBlock,
        payment_id: str,
        token: Token,
        units: int,
        source: Source,
        position: int,
        *,
        transaction: int,
        payer: bytes | None = None,
    ) -> Deposit:
        sender = block.sender(transaction)
        return Deposit(
            payment_id=payment_id,
            token=token.symbol,
            units=units,
            source=source,
            position=position,
            tx_hash=block.transaction_hash(transaction),
            sender=sender,
            sender_nonce=block.sender_nonce(transaction),
            payer=payer if payer is not None else sender,
            block_number=block.number,
            block_hash=block.hash,
            block_time=block.timestamp,
        )

    def _escrow_log(self, block: ProvenBlock, index: int, position: int, log: Log) -> Iterator[EscrowLog]:
        event = decode_log(log)
        if event is None:
            return
        token = self._tokens.get(event.contract)
        yield EscrowLog(
            chain_id=self._chain.chain_id,
            name=event.name,
            payment_id=None,  # resolved from the terms when the block is committed
            terms_id=event.terms_id,
            account=event.account,
            token=None if token is None else token.symbol,
            units=event.units,
            receiver=event.receiver,
            tx_hash=block.transaction_hash(index),
            log_index=position,
            block_number=block.number,
            block_hash=block.hash,
            block_time=block.timestamp,
        )

    def reverted_attempt(
        self, block: ProvenBlock, index: int, report: Report, address: bytes
    ) -> RevertedAttempt | None:
        """The reported transaction, which is `index` in `block`, if it failed and was a transfer to the deposit
        `address` of the payment it was reported for.

        A page's word is checked: whoever knows its address can report any transaction, but not make it one for this
        payment.
        """
        transaction = block.transactions[index]
        if block.succeeded(index) or transaction.to is None:
            return None
        to, call = read_bytes(transaction.to), read_bytes(transaction.input)
        token = self._tokens.get(to)
        if token is None:
            receiver, token = to, self._tokens.get(None)
        else:
            receiver = call[16:36] if call[:4] == TRANSFER_SELECTOR and len(call) == 68 else b""
        if token is None or receiver != address:
            return None
        return RevertedAttempt(
            payment_id=report.payment_id,
            token=token.symbol,
            tx_hash=report.tx_hash,
            block_number=block.number,
            block_hash=block.hash,
            block_time=block.timestamp,
        )


def index_of(block: ProvenBlock, tx_hash: bytes) -> int | None:
    """Where in the block the transaction with this hash is; None if it is not in it."""
    return next((index for index in range(len(block.transactions)) if block.transaction_hash(index) == tx_hash), None)
