"""No payment is overlooked, in whatever order transactions commit; and none is watched for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from openpay.app.merchants import create_merchant
from openpay.app.records import Watched
from openpay.domain.payment import LATE_WINDOW_S, OPEN, Payment, Status
from openpay.store import Store
from tests.domain.builders import LIFE_S, START, make_payment
from watcher.watch_set import GAP_PATIENCE_S, LOOK_BACK, SWEEP_S, WatchSet

ENDED_AT = START + LIFE_S
LAST = ENDED_AT + LATE_WINDOW_S
"""The last moment at which a payment that ended at its deadline is watched."""


class Rows:
    """A database with nothing but deposit addresses; rows become visible when a test commits them."""

    def __init__(self) -> None:
        self.committed: dict[int, Watched] = {}
        self.asked: list[tuple[int, list[int]]] = []
        self.breaks = False

    def commit(self, seq: int) -> bytes:
        address = seq.to_bytes(20, "big")
        self.committed[seq] = Watched(seq=seq, address=address)
        return address

    async def watched(self, chain_id: int, *, after: int, also: Collection[int]) -> list[Watched]:
        self.asked.append((after, sorted(also)))
        return [row for seq, row in sorted(self.committed.items()) if seq > after or seq in also]

    async def newest_numbers(self, limit: int) -> list[int]:
        return [seq for seq in sorted(self.committed) if seq > max(self.committed) - limit]

    async def open_addresses(self, chain_id: int) -> AsyncIterator[Sequence[bytes]]:
        for row in self.committed.values():
            if row.address is not None:
                yield [row.address]
            if self.breaks:
                raise ConnectionError("the database went away")

    async def ended_addresses(
        self, chain_id: int, *, first: int, last: int | None = None
    ) -> AsyncIterator[Sequence[bytes]]:
        none: list[list[bytes]] = []
        for page in none:
            yield page

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Any]:
        yield SimpleNamespace(payments=self)


def watch_set(clock: list[float]) -> WatchSet:
    return WatchSet(56, monotonic=lambda: clock[0])


async def refresh(watched: WatchSet, db: Rows | Store, *, at: int) -> None:
    async with db.read() as uow:
        await watched.refresh(uow, at=at)


# --- what is added -------------------------------------------------------------------------------------------------


async def test_address_is_known_after_a_refresh() -> None:
    rows = Rows()
    watched = watch_set([0.0])
    first = rows.commit(1)
    assert first not in watched
    await refresh(watched, rows, at=0)
    second = rows.commit(2)
    assert first in watched
    assert second not in watched
    await refresh(watched, rows, at=0)
    assert second in watched


async def test_only_new_rows_are_asked_for() -> None:
    rows = Rows()
    watched = watch_set([0.0])
    for seq in (1, 2, 3):
        rows.commit(seq)
    await refresh(watched, rows, at=0)
    await refresh(watched, rows, at=0)
    rows.commit(4)
    await refresh(watched, rows, at=0)
    await refresh(watched, rows, at=0)
    assert rows.asked == [(3, []), (3, []), (4, [])]


async def test_number_that_commits_out_of_order_is_found() -> None:
    rows = Rows()
    watched = watch_set([0.0])
    await refresh(watched, rows, at=0)
    rows.commit(1)
    rows.commit(4)
    await refresh(watched, rows, at=0)
    late = rows.commit(2)
    await refresh(watched, rows, at=0)
    assert late in watched
    await refresh(watched, rows, at=0)
    assert rows.asked[-1] == (4, [3])


async def test_number_that_was_open_while_the_set_was_loaded_is_found() -> None:
    rows = Rows()
    rows.commit(1)
    rows.commit(3)
    watched = watch_set([0.0])
    await refresh(watched, rows, at=0)
    late = rows.commit(2)
    await refresh(watched, rows, at=0)
    assert late in watched


async def test_gaps_far_below_the_newest_number_are_of_no_interest_when_the_set_is_loaded() -> None:
    rows = Rows()
    for seq in (1, 5 * LOOK_BACK, 5 * LOOK_BACK + 2):
        rows.commit(seq)
    watched = watch_set([0.0])
    await refresh(watched, rows, at=0)
    assert len(watched) == 3
    await refresh(watched, rows, at=0)
    assert rows.asked[-1] == (5 * LOOK_BACK + 2, [5 * LOOK_BACK + 1])


async def test_number_that_was_rolled_back_is_given_up_after_an_hour() -> None:
    rows, clock = Rows(), [0.0]
    watched = watch_set(clock)
    rows.commit(1)
    rows.commit(3)
    await refresh(watched, rows, at=0)
    clock[0] = GAP_PATIENCE_S + 1
    await refresh(watched, rows, at=0)
    await refresh(watched, rows, at=0)
    assert rows.asked[-1] == (3, [])


async def test_number_of_another_chain_is_no_gap() -> None:
    """As gaps, those of a busy chain would soon be more than a query can name."""
    rows = Rows()
    watched = watch_set([0.0])
    await refresh(watched, rows, at=0)
    rows.commit(1)
    rows.committed[2] = Watched(seq=2, address=None)
    rows.commit(3)
    await refresh(watched, rows, at=0)
    await refresh(watched, rows, at=0)
    assert rows.asked[-1] == (3, [])
    assert len(watched) == 2


async def test_loading_that_broke_off_is_done_again_whole() -> None:
    rows = Rows()
    addresses = [rows.commit(seq) for seq in (1, 2, 3)]
    watched = watch_set([0.0])
    rows.breaks = True
    with pytest.raises(ConnectionError):
        await refresh(watched, rows, at=0)
    rows.breaks = False
    await refresh(watched, rows, at=0)
    assert all(address in watched for address in addresses)


# --- on both databases ---------------------------------------------------------------------------------------------


@pytest.fixture
async def merchant_id(store: Store) -> str:
    async with store.write() as uow:
        return (await create_merchant(uow, name="Shop", address=b"\1" * 20, now=0)).id


async def add(store: Store, *payments: Payment) -> None:
    async with store.write() as uow:
        for payment in payments:
            await uow.payments.add(payment)


def fresh() -> WatchSet:
    """As a new process has it before its first block."""
    return WatchSet(56, monotonic=lambda: 0.0)


async def test_only_payments_of_the_chain_are_watched(store: Store, merchant_id: str) -> None:
    made = [
        make_payment(f"pay_{number}", merchant_id=merchant_id, chain_id=56 if number % 4 == 1 else 97)
        for number in range(1, 11)
    ]
    watched = fresh()
    await add(store, *made[:5])
    await refresh(watched, store, at=START)
    await add(store, *made[5:])
    await refresh(watched, store, at=START)
    assert len(watched) == 3
    assert all((payment.address in watched) == (payment.chain_id == 56) for payment in made)
    async with store.read() as uow:
        assert await uow.payments.ids_by_address(56, [payment.address for payment in made]) == {
            payment.address: payment.id for payment in made if payment.chain_id == 56
        }


async def test_more_gaps_than_a_query_can_name_are_looked_for_all_the_same(store: Store, merchant_id: str) -> None:
    await add(store, make_payment("pay_1", merchant_id=merchant_id))
    async with store.read() as uow:
        (seen,) = await uow.payments.watched(56, after=10**6, also=range(-40_000, 2))
    assert seen.address == make_payment("pay_1").address


async def test_addresses_come_in_parts_and_all_of_them_come(
    store: Store, merchant_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openpay.store.payments._ADDRESSES_AT_ONCE", 2)
    monkeypatch.setattr("openpay.store.parts.MOST_NAMED", 2)
    made = [make_payment(f"pay_{number}", merchant_id=merchant_id) for number in range(5)]
    await add(store, *made)
    async with store.read() as uow:
        pages = [page async for page in uow.payments.open_addresses(56)]
        ids = await uow.payments.ids_by_address(56, [payment.address for payment in made])
    assert [len(page) for page in pages] == [2, 2, 1]
    assert ids == {payment.address: payment.id for payment in made}


async def test_addresses_of_payments_that_ended_together_come_together(
    store: Store, merchant_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openpay.store.payments._ADDRESSES_AT_ONCE", 2)
    made = [
        make_payment(f"pay_{number}", merchant_id=merchant_id, status=Status.EXPIRED, ended_at=ended_at, deadline=START)
        for number, ended_at in enumerate((START, START + 1, START + 1, START + 1, START + 2, START + 9))
    ]
    await add(store, *made)
    async with store.read() as uow:
        pages = [
            page async for page in uow.payments.ended_addresses(56, first=LATE_WINDOW_S, last=START + LATE_WINDOW_S + 2)
        ]
    assert sorted(address for page in pages for address in page) == sorted(payment.address for payment in made[:5])


@pytest.mark.parametrize("status", sorted(set(Status) - OPEN))
async def test_ended_payment_is_watched_until_its_late_window_is_over(
    store: Store, merchant_id: str, status: Status
) -> None:
    ended = make_payment("ended", merchant_id=merchant_id, status=status, ended_at=ENDED_AT)
    await add(store, ended)
    running = fresh()
    await refresh(running, store, at=ENDED_AT)
    await refresh(running, store, at=LAST)
    assert ended.address in running
    starting = fresh()
    await refresh(starting, store, at=LAST)
    assert ended.address in starting

    await refresh(running, store, at=LAST + SWEEP_S)
    assert ended.address not in running
    starting = fresh()
    await refresh(starting, store, at=LAST + 1)
    assert ended.address not in starting


@pytest.mark.parametrize("status", sorted(OPEN))
async def test_open_payment_is_watched_however_old_it_is(store: Store, merchant_id: str, status: Status) -> None:
    still_open = make_payment("open", merchant_id=merchant_id, status=status)
    await add(store, still_open)
    running, starting = fresh(), fresh()
    await refresh(running, store, at=START)
    await refresh(running, store, at=LAST + 10 * SWEEP_S)
    await refresh(starting, store, at=LAST + 10 * SWEEP_S)
    assert still_open.address in running
    assert still_open.address in starting


async def test_payment_canceled_early_is_watched_for_as_long_as_if_it_had_expired(
    store: Store, merchant_id: str
) -> None:
    """Its page may have shown the address until the deadline."""
    canceled = make_payment("canceled", merchant_id=merchant_id, status=Status.CANCELED, ended_at=START)
    await add(store, canceled)
    watched = fresh()
    await refresh(watched, store, at=LAST)
    assert canceled.address in watched


async def test_payment_that_ended_later_than_others_is_kept_when_they_go(store: Store, merchant_id: str) -> None:
    soon, later = (
        make_payment(name, merchant_id=merchant_id, status=Status.EXPIRED, ended_at=ended_at, deadline=ended_at)
        for name, ended_at in (("soon", ENDED_AT), ("later", ENDED_AT + SWEEP_S))
    )
    await add(store, soon, later)
    watched = fresh()
    await refresh(watched, store, at=ENDED_AT)
    await refresh(watched, store, at=LAST + SWEEP_S)
    assert (soon.address in watched, later.address in watched) == (False, True)


async def test_payment_that_a_retraction_kept_alive_is_watched_from_its_real_end_on(
    store: Store, merchant_id: str
) -> None:
    """What counts is what is stored when the set is swept, not what was stored when the address came in."""
    payment = make_payment("pay_1", merchant_id=merchant_id, status=Status.CONFIRMING)
    await add(store, payment)
    watched = fresh()
    await refresh(watched, store, at=START)
    deadline = ENDED_AT + 10 * SWEEP_S
    async with store.write() as uow:
        payment = await uow.payments.save(replace(payment, status=Status.PENDING, deadline=deadline))
        await uow.payments.save(replace(payment, status=Status.EXPIRED, ended_at=deadline))
    await refresh(watched, store, at=LAST + 10 * SWEEP_S)
    assert payment.address in watched
    await refresh(watched, store, at=LAST + 20 * SWEEP_S)
    assert payment.address not in watched


async def test_address_that_was_let_go_is_watched_again_when_blocks_are_read_again(
    store: Store, merchant_id: str
) -> None:
    ended = make_payment("ended", merchant_id=merchant_id, status=Status.EXPIRED, ended_at=ENDED_AT)
    await add(store, ended)
    watched = fresh()
    await refresh(watched, store, at=ENDED_AT)
    await refresh(watched, store, at=LAST + SWEEP_S)
    await refresh(watched, store, at=LAST + 1)
    assert ended.address not in watched
    await refresh(watched, store, at=LAST)
    assert ended.address in watched
    await refresh(watched, store, at=LAST + SWEEP_S)
    assert ended.address not in watched
