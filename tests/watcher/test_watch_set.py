"""No payment is overlooked, in whatever order transactions commit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from openpay.app.merchants import create_merchant
from openpay.app.records import Watched
from openpay.store import Store
from tests.domain.builders import make_payment
from watcher.watch_set import GAP_PATIENCE_S, WatchSet


class Rows:
    """A database with nothing but deposit addresses; rows become visible when a test commits them."""

    def __init__(self) -> None:
        self.committed: dict[int, Watched] = {}
        self.asked: list[tuple[int, list[int]]] = []

    def commit(self, seq: int) -> bytes:
        address = seq.to_bytes(20, "big")
        self.committed[seq] = Watched(seq=seq, address=address, payment_id=f"pay_{seq}")
        return address

    async def watched(self, chain_id: int, *, after: int, also: Collection[int]) -> list[Watched]:
        self.asked.append((after, sorted(also)))
        return [row for seq, row in sorted(self.committed.items()) if seq > after or seq in also]

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Any]:
        yield SimpleNamespace(payments=self)


def watch_set(rows: Rows, clock: list[float]) -> WatchSet:
    return WatchSet(rows, 56, monotonic=lambda: clock[0])  # type: ignore[arg-type]


async def test_address_is_known_after_a_refresh() -> None:
    rows = Rows()
    watched = watch_set(rows, [0.0])
    address = rows.commit(1)
    assert address not in watched
    await watched.refresh()
    assert watched[address] == "pay_1"


async def test_only_new_rows_are_asked_for() -> None:
    rows = Rows()
    watched = watch_set(rows, [0.0])
    for seq in (1, 2, 3):
        rows.commit(seq)
    await watched.refresh()
    await watched.refresh()
    assert rows.asked == [(0, []), (3, [])]


async def test_number_that_commits_out_of_order_is_found() -> None:
    rows = Rows()
    watched = watch_set(rows, [0.0])
    rows.commit(1)
    rows.commit(4)
    await watched.refresh()
    late = rows.commit(2)
    await watched.refresh()
    assert watched[late] == "pay_2"
    await watched.refresh()
    assert rows.asked[-1] == (4, [3])


async def test_number_that_was_rolled_back_is_given_up_after_an_hour() -> None:
    rows, clock = Rows(), [0.0]
    watched = watch_set(rows, clock)
    rows.commit(1)
    rows.commit(3)
    await watched.refresh()
    clock[0] = GAP_PATIENCE_S + 1
    await watched.refresh()
    await watched.refresh()
    assert rows.asked[-1] == (3, [])


async def test_number_of_another_chain_is_no_gap() -> None:
    """As gaps, those of a busy chain would soon be more than a query can name."""
    rows = Rows()
    watched = watch_set(rows, [0.0])
    rows.commit(1)
    rows.committed[2] = Watched(seq=2, address=None, payment_id="pay_2")
    rows.commit(3)
    await watched.refresh()
    await watched.refresh()
    assert rows.asked[-1] == (3, [])
    assert len(watched) == 2


async def test_only_payments_of_the_chain_are_watched(database_url: str) -> None:
    store = Store.open(database_url)
    async with store.write() as uow:
        merchant = await create_merchant(uow, name="Shop", address=b"\1" * 20, now=0)
        for number in range(1, 6):
            chain_id = 56 if number in (1, 5) else 97
            await uow.payments.add(make_payment(f"pay_{number}", merchant_id=merchant.id, chain_id=chain_id))
    watched = WatchSet(store, 56, monotonic=lambda: 0.0)
    await watched.refresh()
    assert sorted(watched.values()) == ["pay_1", "pay_5"]
    await store.close()


async def test_more_gaps_than_a_query_can_name_are_looked_for_all_the_same(database_url: str) -> None:
    store = Store.open(database_url)
    async with store.write() as uow:
        merchant = await create_merchant(uow, name="Shop", address=b"\1" * 20, now=0)
        await uow.payments.add(make_payment("pay_1", merchant_id=merchant.id))
    async with store.read() as uow:
        (seen,) = await uow.payments.watched(56, after=10**6, also=range(-40_000, 2))
    assert seen.payment_id == "pay_1"
    await store.close()
