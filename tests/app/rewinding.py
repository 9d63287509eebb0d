"""Blocks taken back and read again, on a made-up chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from openpay.app.ports import Database
from openpay.app.records import Cursor, EscrowLog
from openpay.app.rewind import rewind, survey
from openpay.domain.assessment import Accepted
from openpay.domain.deposit import Deposit
from openpay.domain.keccak import keccak
from openpay.domain.payment import Payment, Status
from tests.app.worlds import World
from tests.domain.builders import make_deposit

TX = keccak(b"refund")


async def take_back(world: World, target: int, *, chain_id: int = 56, db: Database | None = None) -> Cursor:
    """Rewind to a block that is on record and on the chain."""
    kept = [facts for facts in world.read[chain_id] if facts.block.number <= target]
    assert kept[-1].block.number == target
    position = await survey(world.store, chain_id, target)
    cursor = await rewind(db or world.store, position, kept[-1].block, wall_now=1, tokens=())
    world.read[chain_id] = kept
    return cursor


async def mine_to(
    world: World,
    last: int,
    *,
    deposits: Mapping[int, Sequence[Deposit]] | None = None,
    branch: str,
    chain_id: int = 56,
    payment_id: str = "pay_1",
) -> None:
    """Read blocks up to `last`, each final when the second after it is read; the escrow accepts the payment."""
    read = world.read.get(chain_id)
    for number in range(read[-1].block.number + 1 if read else 0, last + 1):
        await world.mine(
            number,
            chain_id=chain_id,
            branch=branch,
            deposits=(deposits or {}).get(number, ()),
            final=number - 2 if number >= 2 else None,
            answers={payment_id: Accepted()},
        )


async def paid(world: World) -> Payment:
    """A payment paid by a deposit in block 5, the record standing at 10."""
    await world.add()
    await mine_to(world, 10, deposits={5: [make_deposit(100)]}, branch="main")
    payment = await world.get()
    assert payment.status is Status.PAID
    return payment


async def cursor_of(world: World) -> Cursor:
    async with world.store.read() as uow:
        cursor = await uow.chain.cursor(56)
    assert cursor is not None
    return cursor


def log_of(payment: Payment, name: str, *, units: int, to: bytes, log_index: int = 3, tx: bytes = TX) -> EscrowLog:
    of_vault = name != "Withdrawn"
    return EscrowLog(
        chain_id=56,
        name=name,
        payment_id=None,
        terms_id=payment.terms.id() if of_vault else None,
        account=to if of_vault else payment.terms.merchant,
        receiver=None if of_vault else to,
        token="USDT",
        units=units,
        tx_hash=tx,
        log_index=log_index,
        block_number=0,
        block_hash=bytes(32),
        block_time=0,
    )
