"""Small runs of scripts/soak, and that its books would notice what they are kept for."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from openpay.domain.deposit import Deposit
from openpay.store import Store
from scripts.soaking.books import Books
from scripts.soaking.plan import Plan
from scripts.soaking.run import Soak, Soaked, report
from tests.faults.chain import common_ancestor
from tests.faults.ledger import Credit, credits_of
from tests.faults.shop import store_merchant, store_payments


async def soak(transfers: int, kills: int, seed: int, database_url: str, directory: Path) -> Soaked:
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    run = Soak(
        Plan(seed, transfers),
        kills=kills,
        seed=seed,
        database_url=database_url,
        log=directory / "watcher.log",
        minutes=30,
        echo=print,
    )
    soaked = await run.run()
    print("\n".join(report(soaked)))
    return soaked


def expect_nothing_wrong(soaked: Soaked, *, transfers: int, kills: int) -> None:
    assert report(soaked)[-1] == "missed = 0, duplicate = 0"
    assert soaked.verdict.wrong == []
    assert soaked.verdict.transfers >= transfers
    assert soaked.is_whole
    assert soaked.kills >= kills


async def test_short_soak_misses_and_doubles_nothing(sqlite_url: str, tmp_path: Path) -> None:
    soaked = await soak(1_500, 2, 20261121, sqlite_url, tmp_path)
    expect_nothing_wrong(soaked, transfers=1_500, kills=2)
    assert soaked.reorgs.total() > 0
    assert soaked.troubles.total() > 0


@pytest.mark.nightly
async def test_soak_misses_and_doubles_nothing(database_url: str, tmp_path: Path) -> None:
    soaked = await soak(40_000, 20, 20261122, database_url, tmp_path)
    expect_nothing_wrong(soaked, transfers=40_000, kills=20)
    assert max(soaked.reorgs) > 30


def test_same_seed_draws_the_same_chain_however_it_is_read() -> None:
    first, second = Plan(7, 1_000), Plan(7, 1_000)
    for plan in (first, second):
        while not plan.is_complete:
            plan.next_episode()
        second.forget(second.tip.number - 100)
    assert first.tip.hash == second.tip.hash
    assert Plan(8, 1_000).next_episode().blocks[-1].hash != Plan(7, 1_000).next_episode().blocks[-1].hash


def test_reorgs_of_a_plan_stay_above_what_its_nodes_call_final() -> None:
    plan = Plan(2, 3_000)
    tip, finalized, depths = plan.tip, 0, set()
    while not plan.is_complete:
        episode = plan.next_episode()
        fork = common_ancestor(tip, plan.tip)
        assert tip.number - fork.number == episode.depth
        assert fork.number >= finalized
        depths.add(episode.depth)
        tip = plan.tip
        finalized = max(finalized, tip.number - episode.finality_lag)
    assert max(depths) > 10


@pytest.fixture
def plan() -> Plan:
    made = Plan(7, 300)
    while not made.is_complete:
        made.next_episode()
    return made


async def test_books_notice_what_is_missed_and_what_is_doubled(plan: Plan, sqlite_url: str) -> None:
    books = Books(plan.payments)
    for block in reversed([block for block in plan.tip.branch() if block.number > 0]):
        books.settle(block)
    store = Store.open(sqlite_url)
    await store_merchant(store)
    await store_payments(store, plan.payments)
    credits_ = credits_of(plan.tip, plan.payments)
    deposits = [deposit_of(credit) for credit in credits_]
    orphaned = replace(deposits[0], block_hash=b"\x0b" * 32)
    altered = replace(deposits[1], units=deposits[1].units + 1)
    async with store.write() as uow:
        await uow.deposits.add([altered, *deposits[2:], orphaned])
    verdict = await books.compare(store)
    await store.close()
    # The first was never recorded, the second is there with another amount; and one lies in a block of no chain.
    assert (verdict.transfers, verdict.missed, verdict.duplicate) == (len(credits_), 2, 2)
    # Nobody judged these payments: those that received enough should be paid.
    assert verdict.wrong


def deposit_of(credit: Credit) -> Deposit:
    return Deposit(
        payment_id=credit.payment_id,
        token=credit.token,
        units=credit.units,
        source=credit.source,
        position=credit.position,
        tx_hash=credit.tx_hash,
        sender=None,
        sender_nonce=None,
        payer=None,
        block_number=credit.block_number,
        block_hash=credit.block_hash,
        block_time=0,
    )
