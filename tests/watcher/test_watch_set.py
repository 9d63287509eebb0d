"""No payment is overlooked, in whatever order transactions commit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from openpay.app.records import Watched
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
