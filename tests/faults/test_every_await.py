"""SIGKILL at every await of the block loop: at each of them the ledger is that of the blocks read, and reading goes on.

A child process reads and dies at its first suspension, the next one at its second, and so on, until one outlives all
there is to read. Every request and every statement is a suspension, in whatever task; dying there leaves it on its
way, done by the other side or not.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from openpay.domain.payment import Payment, Status
from openpay.store import Store
from tests.faults.chain import MadeBlock, Tree, native_transfer, token_transfer
from tests.faults.ledger import check_coverage, compare, credits_of, stored_deposits
from tests.faults.node import SimulatedNode, in_own_process
from tests.faults.shop import (
    CHAIN_ID,
    ESCROW,
    UNIT,
    USDT,
    HonestEscrow,
    make_chain,
    make_payment,
    store_merchant,
    store_payments,
)
from tests.faults.watching import Lifetime, follower_on, kill_own_process

KILLED = -signal.SIGKILL
START = 1_770_000_000
CHAIN = make_chain(confirmations=2)
PAYMENT = make_payment(1, created_at=START, expires_at=START + 3600, symbols=["USDT", "BNB"])
MOST_SUSPENSIONS = 3_000


@dataclass(frozen=True)
class Watched:
    """A node to read from and a database to read into."""

    url: str
    database_url: str

    async def read_all(self) -> None:
        store = Store.open(self.database_url)
        async with follower_on([self.url], store, CHAIN, timeout_s=20) as follower:
            while await follower.step():
                pass
        await store.close()

    def live_until(self, suspension: int) -> int:
        """Read in a child process that dies at this suspension; its exit status, 0 when it outlived all reading."""
        child = os.fork()
        if child == 0:
            status = 1
            try:
                loop = asyncio.new_event_loop()
                loop.set_task_factory(Lifetime(suspension, kill_own_process).of_every_task)
                loop.run_until_complete(self.read_all())
                status = 0
            finally:
                os._exit(status)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def lives(self, every: int = 1) -> Iterator[int]:
        """Die at suspension 1, 1 + `every`, …, each in a new process; yields after each death."""
        for suspension in range(1, MOST_SUSPENSIONS, every):
            status = self.live_until(suspension)
            if status == 0:
                return
            assert status == KILLED
            yield suspension
        raise AssertionError(f"still not read after {MOST_SUSPENSIONS} suspensions")


def node(tip: MadeBlock) -> SimulatedNode:
    return SimulatedNode(tip, chain_id=CHAIN_ID, finality_lag=4, contracts={ESCROW: HonestEscrow([PAYMENT])})


def check_ledger(database_url: str, tip: MadeBlock, *others: MadeBlock) -> None:
    """The ledger holds exactly what the blocks up to the cursor hold; the cursor is on the branch of a given block."""

    async def check() -> None:
        store = Store.open(database_url)
        async with store.read() as uow:
            cursor = await uow.chain.cursor(CHAIN_ID)
        known = {block.hash: block for each in (tip, *others) for block in each.branch()}
        deposits = await stored_deposits(store, [PAYMENT])
        if cursor is None:
            assert not deposits
        else:
            reached = known[cursor.hash]
            await check_coverage(store, reached, chain_id=CHAIN_ID)
            comparison = compare(credits_of(reached, [PAYMENT]), deposits.get(PAYMENT.id, []))
            assert comparison.is_exact, comparison
        await store.close()

    asyncio.run(check())


def payment_now(database_url: str) -> tuple[Payment, list[str]]:
    """The payment, and the types of its events, oldest first."""

    async def read() -> tuple[Payment, list[str]]:
        store = Store.open(database_url)
        async with store.read() as uow:
            payment = await uow.payments.get(PAYMENT.id)
            assert payment is not None
            page = await uow.events.page(
                PAYMENT.merchant_id, PAYMENT.livemode, limit=100, starting_after=None, payment_id=PAYMENT.id
            )
        await store.close()
        return payment, [event.type.value for event in reversed(page.items)]

    return asyncio.run(read())


async def _begin(database_url: str) -> None:
    store = Store.open(database_url)
    await store_merchant(store)
    await store_payments(store, [PAYMENT])
    await store.close()


def test_watcher_killed_at_awaits_of_the_block_loop_loses_and_repeats_nothing(sqlite_url: str) -> None:
    die_at_awaits(sqlite_url, every=7)


@pytest.mark.nightly
def test_watcher_killed_at_every_await_of_the_block_loop_loses_and_repeats_nothing(database_url: str) -> None:
    die_at_awaits(database_url, every=1)


def die_at_awaits(database_url: str, every: int) -> None:
    """A payment that is paid, moved by a reorg, and final in the end, read by watchers that die all the time."""
    asyncio.run(_begin(database_url))
    tree = Tree(chain_id=CHAIN_ID, time=START)
    parts = [token_transfer(each, USDT, PAYMENT.address, 5 * UNIT) for each in range(5)]
    root = tree.extend(tree.root)
    # A part of the amount in one block, the rest, and some BNB, in the next.
    left = tree.extend(root, parts[:2])
    left = tree.extend(left, [*parts[2:], native_transfer(9, PAYMENT.address, 3)])
    with in_own_process(node(left)) as (url,):
        for _ in Watched(url, database_url).lives(every):
            check_ledger(database_url, left)
    check_ledger(database_url, left)
    assert payment_now(database_url)[0].status is Status.CONFIRMING

    # Another branch: one part moved to a later block, one is gone, the BNB is gone.
    right = tree.extend(tree.extend(root, parts[:2], salt=1), parts[3:], salt=1)
    right = tree.extend(right, [parts[2]], salt=1)
    with in_own_process(node(right)) as (url,):
        for _ in Watched(url, database_url).lives(every):
            check_ledger(database_url, left, right)
    check_ledger(database_url, right)
    assert payment_now(database_url)[0].status is Status.CONFIRMING

    # Then it becomes final, and is paid.
    right = tree.grow(right, 5)
    with in_own_process(node(right)) as (url,):
        for _ in Watched(url, database_url).lives(every):
            check_ledger(database_url, right)
    check_ledger(database_url, right)
    payment, events = payment_now(database_url)
    assert payment.status is Status.PAID
    assert events.count("payment.completed") == 1
    assert "payment.reversed" not in events


def test_reading_a_block_awaits_often_enough_for_that_to_mean_something(sqlite_url: str) -> None:
    asyncio.run(_begin(sqlite_url))
    tree = Tree(chain_id=CHAIN_ID, time=START)
    tip = tree.extend(tree.root, [token_transfer(1, USDT, PAYMENT.address, UNIT)])
    with in_own_process(node(tip)) as (url,):
        lives = sum(1 for _ in Watched(url, sqlite_url).lives(3))
    # For one block: chain id, heads, header, block, second host; cursor, addresses, balances, a commit.
    assert lives * 3 >= 40
