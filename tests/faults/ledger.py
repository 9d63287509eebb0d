"""What a ledger must hold after a chain was read: found by reading the chain alone, and compared with the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from openpay.app.records import Cursor
from openpay.domain.deposit import Deposit, Source
from openpay.domain.payment import Payment
from openpay.store import Store
from tests.faults.chain import TRANSFER_TOPIC, MadeBlock
from tests.faults.shop import TOKENS


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """One transfer to a payment, by its place on the chain. `position` counts the block's logs, or its transactions."""

    payment_id: str
    token: str
    units: int
    source: Source
    position: int
    tx_hash: bytes
    block_number: int
    block_hash: bytes


_TOKENS = {token.contract: token.symbol for token in TOKENS}


def credits_in(block: MadeBlock, watched: Mapping[bytes, str]) -> Iterator[Credit]:
    """The transfers that a block itself shows, to addresses of `watched` (address to payment id).

    Reads what was put into the block, not what a node would serve of it.
    """
    position = 0
    for index, tx in enumerate(block.txs):
        if not tx.succeeds:
            continue
        found = [(tx.to, None, tx.value, Source.TRANSACTION, index)]
        for event in tx.events:
            if event.topics[0] == TRANSFER_TOPIC and event.contract in _TOKENS:
                units = int.from_bytes(event.data, "big")
                found.append((event.topics[2][12:], event.contract, units, Source.LOG, position))  # type: ignore[arg-type]
            position += 1
        for address, contract, units, source, place in found:
            if units and address in watched:
                yield Credit(
                    payment_id=watched[address],
                    token=_TOKENS[contract],
                    units=units,
                    source=source,
                    position=place,
                    tx_hash=block.transaction_hash(index),
                    block_number=block.number,
                    block_hash=block.hash,
                )


def credits_of(tip: MadeBlock, payments: Sequence[Payment], *, first: int = 1) -> list[Credit]:
    """Every transfer to these payments on the branch of `tip`, from block `first` on."""
    watched = {payment.address: payment.id for payment in payments}
    return [credit for block in tip.branch() if block.number >= first for credit in credits_in(block, watched)]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`missed`: transfers without a deposit. `duplicate`: deposits beyond one for each transfer of the chain, such as
    a second one, or one from a block that the chain does not hold."""

    transfers: int
    missed: list[Credit] = field(default_factory=list)
    duplicate: list[Credit] = field(default_factory=list)

    @property
    def is_exact(self) -> bool:
        return not (self.missed or self.duplicate)


def compare(transfers: Iterable[Credit], deposits: Iterable[Deposit]) -> Comparison:
    """Hold the deposits that a ledger has against the transfers that it should have. What came from inside contracts
    is not looked at: no block shows it."""
    owed = Counter(transfers)
    held = Counter(credit_of(deposit) for deposit in deposits if deposit.source is not Source.INTERNAL)
    return Comparison(
        transfers=owed.total(),
        missed=list((owed - held).elements()),
        duplicate=list((held - owed).elements()),
    )


def credit_of(deposit: Deposit) -> Credit:
    """The transfer that a deposit says there was."""
    return Credit(
        payment_id=deposit.payment_id,
        token=deposit.token,
        units=deposit.units,
        source=deposit.source,
        position=deposit.position,
        tx_hash=deposit.tx_hash or b"",
        block_number=deposit.block_number,
        block_hash=deposit.block_hash,
    )


async def stored_deposits(store: Store, payments: Sequence[Payment]) -> Mapping[str, list[Deposit]]:
    """All deposits on record by payment id."""
    async with store.read() as uow:
        return await uow.deposits.of([payment.id for payment in payments])


async def check_coverage(store: Store, tip: MadeBlock, *, chain_id: int, first: int = 1) -> Cursor:
    """Assert that the record is continuous from `first` to `tip` and holds the blocks of its branch."""
    async with store.read() as uow:
        cursor = await uow.chain.cursor(chain_id)
        assert cursor is not None
        assert (cursor.number, cursor.hash) == (tip.number, tip.hash)
        assert await uow.chain.covered(chain_id) == (first, tip.number)
        # From the newest final block on there is a row for each; older ones are folded into a range.
        floor = first if cursor.final_number is None else cursor.final_number
        for block in tip.branch():
            if block.number < floor:
                break
            row = await uow.chain.block(chain_id, block.number)
            assert row is not None
            assert (row.hash, row.time) == (block.hash, block.time)
    return cursor
