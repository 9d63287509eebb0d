"""One transaction as nodes show it, for telling a customer what became of it.

Nothing here is proven, as a block is that the watcher records: it is fit for words, never for deciding about money.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from openpay.chain import reads
from openpay.chain.bep20 import TRANSFER_SELECTOR, TRANSFER_TOPIC
from openpay.chain.blocks import read_bytes, read_quantity
from openpay.chain.errors import BadAnswer
from openpay.chain.member import Question
from openpay.chain.pool import Pool
from openpay.chain.rpc import Call, Endpoint
from openpay.domain.finding import SeenTransaction, TransactionState, Transfer

T = TypeVar("T")

_SELECTOR_AND_TWO_WORDS = 4 + 2 * 32


class NodeTransactions:
    """Asks the nodes of each chain, by chain id. Keeps nothing."""

    def __init__(self, pools: Mapping[int, Pool]) -> None:
        self._pools = pools

    async def seen(self, chain_id: int, tx_hash: bytes) -> SeenTransaction | None:
        """The transaction with this hash, None when no node knows it. Raises `ChainUnavailable`."""
        pool = self._pools[chain_id]
        sent = await pool.look(_about(tx_hash, reads.sent_transaction(tx_hash), lambda said: said.hash))
        if sent is None:
            return None
        asked_for, calls_contract = tuple(_asked_for(sent)), _calls_contract(sent)
        receipt = None
        if sent.block_hash is not None:
            asking = _about(tx_hash, reads.receipt_with_logs(tx_hash), lambda said: said.transaction_hash)
            receipt = await pool.look(asking)
        if receipt is None:
            return SeenTransaction(state=TransactionState.PENDING, transfers=asked_for, calls_contract=calls_contract)
        header = await pool.find(reads.header_by_hash(read_bytes(receipt.block_hash)))
        succeeded = read_quantity(receipt.status) == 1
        return SeenTransaction(
            state=TransactionState.SUCCEEDED if succeeded else TransactionState.REVERTED,
            transfers=tuple(_moved(sent, receipt)) if succeeded else asked_for,
            calls_contract=calls_contract,
            block_number=read_quantity(receipt.block_number),
            block_time=None if header is None else read_quantity(header.timestamp),
        )


def _about(tx_hash: bytes, call: Call[T], named: Callable[[T], str]) -> Question[T]:
    """`call` as a question whose answer has to name this very transaction."""

    async def ask(endpoint: Endpoint) -> T:
        said = await endpoint.call(call)
        if read_bytes(named(said)) != tx_hash:
            raise BadAnswer(endpoint.name, f"asked for transaction {tx_hash.hex()}, answered with {named(said)}")
        return said

    return ask


def _asked_for(sent: reads.SentTransaction) -> Iterator[Transfer]:
    """What can be read off the transaction itself: its own coins, or the plain token transfer that it calls."""
    to, value, call = _parts(sent)
    if to is None:
        return
    if value:
        yield Transfer(contract=None, to=to, units=value)
    if _is_transfer_call(call):
        units = int.from_bytes(call[36:68], "big")
        if units:
            yield Transfer(contract=to, to=call[16:36], units=units)


def _moved(sent: reads.SentTransaction, receipt: reads.ReceiptWithLogs) -> Iterator[Transfer]:
    """What a successful transaction moved: its own coins, and whatever tokens' logs say."""
    to, value, _ = _parts(sent)
    if to is not None and value:
        yield Transfer(contract=None, to=to, units=value)
    for log in receipt.logs:
        topics = [read_bytes(topic) for topic in log.topics]
        data = read_bytes(log.data)
        # Three topics and one word of data: a collectible's Transfer has four topics, and is no money.
        if len(topics) != 3 or topics[0] != TRANSFER_TOPIC or len(data) != 32 or any(topics[2][:12]):
            continue
        if any(data):
            yield Transfer(contract=read_bytes(log.address), to=topics[2][12:], units=int.from_bytes(data, "big"))


def _calls_contract(sent: reads.SentTransaction) -> bool:
    to, _, call = _parts(sent)
    return to is None or (bool(call) and not _is_transfer_call(call))


def _is_transfer_call(call: bytes) -> bool:
    return call[:4] == TRANSFER_SELECTOR and len(call) == _SELECTOR_AND_TWO_WORDS and not any(call[4:16])


def _parts(sent: reads.SentTransaction) -> tuple[bytes | None, int, bytes]:
    to = None if sent.to is None else read_bytes(sent.to)
    return to, read_quantity(sent.value), read_bytes(sent.input)
