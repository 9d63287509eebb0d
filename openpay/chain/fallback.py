"""A block that no endpoint can prove whole: what can be proven of it is, and the rest is taken where hosts agree.

Part by part, each from whoever has it: the header and the transactions in it, then the receipts. Agreement never takes
the place of a proof that can be made and fails: it stands in for a format that is not known yet, and for receipts that
are not offered. What this brings back says which parts it is agreed in (`ProvenBlock.agreed`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec

from openpay.chain import reads
from openpay.chain.agreement import HOSTS, Json, agreed, header_difference, shared_difference, text
from openpay.chain.blocks import Header, Log, Receipt, Transaction, read_bytes, read_quantity
from openpay.chain.encoding import KNOWN_TYPES
from openpay.chain.errors import BadAnswer, JsonRpcError, Missing, NoEndpointAnswered, NotAgreed, Part, ProofFailed
from openpay.chain.headers import proven_or_agreed, read_header
from openpay.chain.optional import optional
from openpay.chain.pool import Pool
from openpay.chain.proofs import (
    NOT_UNDERSTOOD,
    ProvenBlock,
    prove_header,
    prove_logs,
    prove_receipts,
    prove_transactions,
    transaction_hash,
)
from openpay.chain.rpc import Endpoint


@dataclass(frozen=True, kw_only=True)
class _Body:
    """A block without its receipts; `listed_hashes` and `agreed` as in `ProvenBlock`."""

    header: Header
    transactions: tuple[Transaction, ...]
    listed_hashes: tuple[bytes, ...] = ()
    agreed: frozenset[Part] = frozenset()

    @property
    def is_understood(self) -> bool:
        return Part.TRANSACTIONS not in self.agreed


@dataclass(frozen=True, kw_only=True)
class _Served:
    """A body as one host serves it, with the JSON that it was read from."""

    block: Json
    rows: tuple[Json, ...]
    body: _Body


async def fetch_unproven_block(pool: Pool, block_hash: bytes, *, try_to_prove: bool = True) -> ProvenBlock:
    """The block with `block_hash`, after no endpoint alone could prove it whole.

    `try_to_prove` is false when the header or the transactions were seen to prove at no endpoint. Raises `NotAgreed`
    where hosts would have to agree and do not, and `ChainUnavailable` as every question does.
    """
    body = await _body(pool, block_hash, try_to_prove=try_to_prove)
    receipts = await _receipts(pool, block_hash, body)
    parts = body.agreed
    if receipts is None:
        receipts, parts = await _from_logs(pool, block_hash, body), parts | {Part.LOGS}
    return ProvenBlock(
        hash=block_hash,
        header=body.header,
        transactions=body.transactions,
        receipts=tuple(receipts),
        agreed=parts,
        listed_hashes=body.listed_hashes,
    )


async def learn_outcomes(pool: Pool, block: ProvenBlock, indices: Iterable[int]) -> ProvenBlock:
    """`block` with the outcomes of these transactions, as hosts agree on them. One whose receipts are proven says them
    by itself. Raises `NotAgreed`."""
    wanted = [index for index in indices if Part.LOGS in block.agreed and index not in block.outcomes]
    if not wanted:
        return block

    async def ask(endpoint: Endpoint) -> list[bool]:
        calls = [reads.transaction_receipt(block.transaction_hash(index)) for index in wanted]
        receipts = await endpoint.batch(calls)
        for receipt in receipts:
            if read_bytes(receipt.block_hash) != block.hash or read_quantity(receipt.status) > 1:
                raise BadAnswer(endpoint.name, f"a receipt of another block, or without an outcome: {receipt}")
        return [read_quantity(receipt.status) == 1 for receipt in receipts]

    outcomes = agreed(
        await pool.ask_hosts(ask),
        lambda one, other: None if one == other else "the outcome of a transaction",
        part=Part.LOGS,
        what=f"outcomes in block {block.number}",
        hosts=_as_many_as_there_are(pool),
    )
    return replace(block, outcomes={**block.outcomes, **dict(zip(wanted, outcomes, strict=True))})


# --- header and transactions ----------------------------------------------------------------------------------------


async def _body(pool: Pool, block_hash: bytes, *, try_to_prove: bool) -> _Body:
    async def ask(endpoint: Endpoint) -> _Body:
        block = await endpoint.call(reads.block(block_hash))
        prove_header(block, block_hash=block_hash, endpoint=endpoint.name)
        prove_transactions(block, block.transactions, endpoint=endpoint.name)
        return _Body(header=block, transactions=block.transactions)

    async def serve(endpoint: Endpoint) -> _Served:
        return await _serve(endpoint, block_hash)

    async def agree() -> _Body:
        what = f"block 0x{block_hash.hex()}"
        body = agreed(await pool.ask_hosts(serve), _difference, part=Part.HEADER, what=what).body
        return _prove_what_can_be(body, block_hash)

    return await proven_or_agreed(pool, ask, agree, proven=True) if try_to_prove else await agree()


def _prove_what_can_be(body: _Body, block_hash: bytes) -> _Body:
    """`body`, with what of it is only agreed. Raises `NotAgreed` when a proof that can be made fails."""
    parts = set()
    try:
        prove_header(body.header, block_hash=block_hash, endpoint="hosts that agree")
    except ProofFailed:
        parts.add(Part.HEADER)
    if body.listed_hashes:
        parts.add(Part.TRANSACTIONS)
    else:
        try:
            prove_transactions(body.header, body.transactions, endpoint="hosts that agree")
        except ProofFailed as fault:
            raise NotAgreed(Part.TRANSACTIONS, str(fault), {}) from fault
    return replace(body, agreed=frozenset(parts))


async def _serve(endpoint: Endpoint, block_hash: bytes) -> _Served:
    """A body as this endpoint has it."""
    block = await endpoint.call(reads.served_block(block_hash))
    header = read_header(block, block_hash, endpoint)
    try:
        rows = msgspec.convert(block.get("transactions"), tuple[Json, ...])
        transactions = tuple(map(_read_transaction, rows))
        hashes = [None if each is NOT_UNDERSTOOD else transaction_hash(each) for each in transactions]
    except ValueError as error:  # msgspec's errors are among them
        raise BadAnswer(endpoint.name, f"transactions of 0x{block_hash.hex()}: {error}") from error
    body = _Body(header=header, transactions=transactions)
    if None in hashes:
        body = replace(body, listed_hashes=await _list_hashes(endpoint, block_hash, hashes))
    return _Served(block=block, rows=rows, body=body)


def _read_transaction(row: Json) -> Transaction:
    """Nothing is read from a transaction of a later type: a familiar name may mean something else there."""
    return msgspec.convert(row, Transaction) if row.get("type", "0x0") in KNOWN_TYPES else NOT_UNDERSTOOD


async def _list_hashes(endpoint: Endpoint, block_hash: bytes, computed: Sequence[bytes | None]) -> tuple[bytes, ...]:
    """The hashes that the endpoint lists, which must be those that were computed where any was."""
    listed = await endpoint.call(reads.transaction_hashes(block_hash))
    hashes = tuple(map(read_bytes, listed.transactions))
    if len(hashes) != len(computed) or any(own not in (None, one) for own, one in zip(computed, hashes, strict=True)):
        raise BadAnswer(endpoint.name, f"lists other transactions of 0x{block_hash.hex()} than it serves")
    return hashes


def _difference(one: _Served, other: _Served) -> str | None:
    """The first thing in which two hosts' bodies differ, as far as it is used or both serve it."""
    if (where := header_difference(one.block, other.block)) is not None:
        return where
    if len(one.rows) != len(other.rows):
        return "the number of transactions"
    for index, (a, b) in enumerate(zip(one.body.transactions, other.body.transactions, strict=True)):
        if a is not NOT_UNDERSTOOD and b is not NOT_UNDERSTOOD:
            where = None if transaction_hash(a) == transaction_hash(b) else "its hash"
        else:
            where = shared_difference(one.rows[index], other.rows[index])
        if where is not None:
            return f"transaction {index}: {where}"
    return None if one.body.listed_hashes == other.body.listed_hashes else "the list of transactions"


# --- receipts, or the logs alone ------------------------------------------------------------------------------------


async def _receipts(pool: Pool, block_hash: bytes, body: _Body) -> tuple[Receipt, ...] | None:
    """The proven receipts; None where the logs must do: no endpoint that offers receipts has them, or they are of a
    later format. Raises `ChainUnavailable` when there are receipts and none prove."""
    is_absent = False

    async def ask(endpoint: Endpoint) -> tuple[Receipt, ...]:
        nonlocal is_absent
        try:
            async with optional(endpoint, reads.RECEIPTS):
                receipts = await endpoint.call(reads.receipts(block_hash))
        except (Missing, JsonRpcError):
            is_absent = True
            raise
        prove_receipts(body.header, receipts, endpoint=endpoint.name)
        if len(receipts) != len(body.transactions):
            raise BadAnswer(endpoint.name, f"{len(receipts)} receipts of {len(body.transactions)} transactions")
        return receipts

    try:
        return await pool.ask(ask, proven=True)
    except (NoEndpointAnswered, JsonRpcError):
        if is_absent or not body.is_understood:
            return None
        raise


async def _from_logs(pool: Pool, block_hash: bytes, body: _Body) -> tuple[Receipt, ...]:
    """Receipts that hold the logs of each transaction, as hosts agree on them, and nothing else.

    A `null`, or an error, says that a node does not have the block: no word about its logs.
    """

    async def ask(endpoint: Endpoint) -> tuple[tuple[Log, ...], ...]:
        served = await endpoint.call(reads.logs(block_hash))
        placed = _place(served, block_hash, len(body.transactions), endpoint)
        prove_logs(body.header, (log for logs in placed for log in logs), endpoint=endpoint.name)
        return placed

    by_transaction = agreed(
        await pool.ask_hosts(ask),
        lambda one, other: None if text(one) == text(other) else "the logs",
        part=Part.LOGS,
        what=f"logs of block 0x{block_hash.hex()}",
        hosts=_as_many_as_there_are(pool),
    )
    return tuple(
        Receipt(status="", cumulative_gas_used="", logs_bloom="", logs=logs, type="") for logs in by_transaction
    )


def _place(
    served: Sequence[reads.ServedLog], block_hash: bytes, transactions: int, endpoint: Endpoint
) -> tuple[tuple[Log, ...], ...]:
    """The logs of each transaction. Raises `BadAnswer` when they are not one block's, in order and without a hole."""
    placed: list[list[Log]] = [[] for _ in range(transactions)]
    newest = 0
    for position, log in enumerate(served):
        index = read_quantity(log.transaction_index)
        if (
            read_bytes(log.block_hash) != block_hash
            or read_quantity(log.log_index) != position
            or not newest <= index < transactions
        ):
            raise BadAnswer(endpoint.name, f"log {position} of 0x{block_hash.hex()} is out of place: {log}")
        newest = index
        placed[index].append(Log(address=log.address, topics=log.topics, data=log.data))
    return tuple(map(tuple, placed))


def _as_many_as_there_are(pool: Pool) -> int:
    """Two hosts, or the one that there is: what proofs cover has been proven, and every other node offers no more."""
    return min(HOSTS, len(pool.hosts))
