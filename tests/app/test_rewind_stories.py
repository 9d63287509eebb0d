"""Any blocks, taken back and read again: the same record for the same branch, no trace of the old one for another."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openpay.domain.deposit import Deposit
from openpay.domain.keccak import keccak
from openpay.domain.payment import Status
from tests.app.rewinding import mine_to, take_back
from tests.app.worlds import World
from tests.domain.builders import make_deposit


async def fresh(world: World) -> tuple[str, int]:
    """A payment, and a chain of its own: all examples share one database."""
    rows = await world.rows()
    payment_id, chain_id = f"pay_{len(rows['payments'])}", 1_000 + len(rows["cursors"])
    await world.add(payment_id, chain_id=chain_id)
    return payment_id, chain_id


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(
    blocks=st.lists(st.lists(st.sampled_from([30, 70, 100]), max_size=2), min_size=3, max_size=9),
    target=st.integers(0, 6),
)
async def test_rewind_and_the_same_blocks_end_where_no_rewind_does(
    world: World, blocks: list[list[int]], target: int
) -> None:
    target = min(target, len(blocks) - 2)
    payment_id, chain_id = await fresh(world)

    deposits = {
        number: [make_deposit(each, position=at, payment_id=payment_id) for at, each in enumerate(units)]
        for number, units in enumerate(blocks)
    }
    read = partial(mine_to, world, deposits=deposits, branch=str(chain_id), chain_id=chain_id, payment_id=payment_id)
    await read(len(blocks) + 3)
    before, told = await world.get(payment_id), await world.told(payment_id)
    await take_back(world, target, chain_id=chain_id)
    await read(len(blocks) + 6)
    after = await world.get(payment_id)
    assert (after.status, after.completion, after.reversed_at) == (before.status, before.completion, None)
    assert await world.told(payment_id) == told or before.status is not Status.PAID


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(data=st.data())
async def test_other_branch_leaves_its_own_deposits_and_reverses_what_it_took_away(
    world: World, data: st.DataObject
) -> None:
    """Transfers of one branch are on the other in other blocks, or not at all. Payments may be paid before, after, both
    times, or never."""
    payment_id, chain_id = await fresh(world)
    length = 8
    units = data.draw(st.lists(st.sampled_from([30, 50, 70, 100]), max_size=4))
    place = st.none() | st.integers(1, length - 1)
    there, then = ([data.draw(place) for _ in units] for _ in range(2))

    async def read(last: int, blocks: Sequence[int | None], branch: str) -> None:
        deposits: dict[int, list[Deposit]] = {}
        for at, (each, block) in enumerate(zip(units, blocks, strict=True)):
            if block is not None:
                tx_hash = keccak(f"{payment_id} {at}".encode())
                moved = make_deposit(each, position=at, payment_id=payment_id, tx_hash=tx_hash)
                deposits.setdefault(block, []).append(moved)
        branch = f"{chain_id} {branch}"
        await mine_to(world, last, deposits=deposits, branch=branch, chain_id=chain_id, payment_id=payment_id)

    await read(length + 2, there, "there")
    before = await world.get(payment_id)
    target = data.draw(st.integers(0, min([length, *(block - 1 for block in there if block is not None)])))
    then = [None if block is None else max(block, target + 1) for block in then]
    await take_back(world, target, chain_id=chain_id)
    await read(2 * length + 5, then, "then")

    after, told = await world.get(payment_id), await world.told(payment_id)
    async with world.store.read() as uow:
        on_record = (await uow.deposits.of([payment_id])).get(payment_id, [])
    assert sorted((d.block_number, d.units) for d in on_record) == sorted(
        (block, each) for block, each in zip(then, units, strict=True) if block is not None
    )
    assert told.count("completed") == (1 if after.status is Status.PAID else 0)
    assert told.count("reversed") == (0 if after.reversed_at is None else 1)
    came = sum(each for block, each in zip(then, units, strict=True) if block is not None)
    if before.status is Status.PAID:
        assert after.status is Status.PAID
        if None not in then:
            assert after.reversed_at is None
        if came < 100:
            assert after.reversed_at is not None
    else:
        assert after.reversed_at is None
        assert (after.status is Status.PAID) == (came >= 100)
