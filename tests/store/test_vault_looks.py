"""Whose balances are looked at: those awaiting coin with every block, all others in rounds, doubted ones in between."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from openpay.app.records import BalanceRound, Vault
from openpay.domain.deposit import Source
from openpay.domain.payment import LATE_WINDOW_S, Status
from tests.app.worlds import World
from tests.domain.builders import BNB, START, USDT, block_hash, make_deposit

CHAIN_ID = 56


async def a_round(world: World, *, at: int, limit: int) -> list[Vault]:
    """All vaults of one round, a few at a time."""
    found: list[Vault] = []
    round_: BalanceRound | None = None
    while True:
        async with world.store.read() as uow:
            step = await uow.payments.vaults_after(round_, CHAIN_ID, at=at, limit=limit)
        found += step
        if len(step) < limit:
            return found
        last = step[-1]
        round_ = BalanceRound(chain_id=CHAIN_ID, watched_until=last.watched_until, seq=last.seq, looked_at=at)


def ids(vaults: list[Vault]) -> list[str]:
    return [vault.payment_id for vault in vaults]


async def test_open_payments_that_accept_coin_are_looked_at_with_every_block(world: World) -> None:
    await world.add("pay_coin", offers=(USDT, BNB))
    await world.add("pay_token", offers=(USDT,))
    await world.add("pay_confirming", offers=(BNB,), status=Status.CONFIRMING)
    await world.add("pay_ended", offers=(BNB,), status=Status.EXPIRED, ended_at=START)
    async with world.store.read() as uow:
        assert sorted(ids(await uow.payments.vaults_awaiting_coin(CHAIN_ID))) == ["pay_coin", "pay_confirming"]
        assert await uow.payments.vaults_awaiting_coin(97) == []


async def test_rounds_reach_all_others_once_in_steps_of_any_size(world: World) -> None:
    chance = random.Random(1)
    at = START + LATE_WINDOW_S + 10_000
    expected = []
    for number in range(40):
        name, kind = f"pay_{number}", chance.choice(["awaiting", "token", "ended", "ended", "past", "elsewhere"])
        match kind:
            case "awaiting":
                await world.add(name, offers=(BNB,))
            case "token":
                await world.add(name, offers=(USDT,))
            case "elsewhere":
                await world.add(name, offers=(USDT,), chain_id=97)
            case "ended":
                # Many end in the same second.
                await world.add(name, status=Status.PAID, ended_at=START + 10_000 + chance.randint(0, 3))
            case "past":
                await world.add(name, status=Status.EXPIRED, ended_at=START + 9_999)
        if kind in ("token", "ended"):
            expected.append(name)
    for limit in (1, 2, 3, 7, 40, 100):
        found = ids(await a_round(world, at=at, limit=limit))
        assert len(found) == len(set(found))
        assert sorted(found) == sorted(expected)


async def test_round_goes_on_where_it_stood_though_vaults_fell_out_of_it(world: World) -> None:
    for number in range(4):
        await world.add(f"pay_{number}", status=Status.EXPIRED, ended_at=START + 10_000 + number)
    first_until = START + 10_000 + LATE_WINDOW_S
    stood = BalanceRound(chain_id=CHAIN_ID, watched_until=first_until, seq=1, looked_at=0)
    async with world.store.read() as uow:
        assert ids(await uow.payments.vaults_after(stood, CHAIN_ID, at=first_until, limit=9)) == [
            "pay_1",
            "pay_2",
            "pay_3",
        ]
        later = await uow.payments.vaults_after(stood, CHAIN_ID, at=first_until + 2, limit=9)
        assert ids(later) == ["pay_2", "pay_3"]


async def test_place_of_the_round_is_kept_for_each_chain(world: World) -> None:
    one = BalanceRound(chain_id=CHAIN_ID, watched_until=None, seq=7, looked_at=1)
    other = BalanceRound(chain_id=97, watched_until=5, seq=8, looked_at=2)
    moved = BalanceRound(chain_id=CHAIN_ID, watched_until=9, seq=3, looked_at=4)
    async with world.store.write() as uow:
        for each in (one, other, moved):
            await uow.vault_looks.move_round(each)
    async with world.store.read() as uow:
        assert await uow.vault_looks.round_(CHAIN_ID) == moved
        assert await uow.vault_looks.round_(97) == other
        assert await uow.vault_looks.round_(1) is None


async def test_vault_is_doubted_when_its_internal_deposit_is_taken_back_until_looked_at_long_enough(
    world: World,
) -> None:
    await world.add("pay_inside")
    await world.add("pay_direct")
    async with world.store.write() as uow:
        for block in (10, 12):
            direct = make_deposit(5, "BNB", block=block, payment_id="pay_direct")
            inside = make_deposit(5, "BNB", block=block, payment_id="pay_inside")
            await uow.deposits.add([direct, replace(inside, source=Source.INTERNAL)])
    async with world.store.write() as uow:
        await uow.deposits.remove_block(block_hash(12))
        await uow.deposits.remove_block(block_hash(10))
    async with world.store.read() as uow:
        assert ids(await uow.vault_looks.doubted(CHAIN_ID)) == ["pay_inside"]
        assert await uow.vault_looks.doubted(97) == []
    for at, remains in ((111, True), (112, False)):
        async with world.store.write() as uow:
            await uow.vault_looks.settle(["pay_inside"], at=at)
        async with world.store.read() as uow:
            assert bool(await uow.vault_looks.doubted(CHAIN_ID)) is remains


async def test_more_doubted_vaults_than_one_query_may_name_are_all_looked_at(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openpay.store.parts.MOST_NAMED", 2)
    names = [f"pay_{number}" for number in range(5)]
    for name in names:
        await world.add(name)
    async with world.store.write() as uow:
        inside = [make_deposit(5, "BNB", block=10, payment_id=name) for name in reversed(names)]
        await uow.deposits.add([replace(each, source=Source.INTERNAL) for each in inside])
    async with world.store.write() as uow:
        await uow.deposits.remove_block(block_hash(10))
    async with world.store.read() as uow:
        assert ids(await uow.vault_looks.doubted(CHAIN_ID)) == names
