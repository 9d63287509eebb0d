"""The operator's transactions in both databases."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from openpay.app.records import OperatorTransaction, TransactionStatus
from openpay.store import Store

CHAIN_ID = 56
SENDER = b"\x01" * 20


def transaction(number: int, *, nonce: int = 0, subjects: tuple[str, ...] = ("pay_1",)) -> OperatorTransaction:
    return OperatorTransaction(
        id=f"otx_{number}",
        chain_id=CHAIN_ID,
        kind="settle",
        subjects=subjects,
        sender=SENDER,
        nonce=nonce,
        tx_hash=number.to_bytes(32, "big"),
        raw=b"raw",
        gas=200_000,
        gas_price=10**30,
        status=TransactionStatus.SIGNED,
        created_at=1,
    )


async def add(store: Store, *transactions: OperatorTransaction) -> None:
    async with store.write() as uow:
        for each in transactions:
            await uow.operations.add_transaction(each)


async def end(store: Store, *transactions: OperatorTransaction) -> None:
    async with store.write() as uow:
        for each in transactions:
            await uow.operations.end_transaction(each)


def mined(each: OperatorTransaction, *, fee_wei: int = 1, at: int = 10) -> OperatorTransaction:
    return replace(each, status=TransactionStatus.MINED, ended_at=at, fee_wei=fee_wei)


async def test_transaction_keeps_its_subjects_in_order(store: Store) -> None:
    many = transaction(1, subjects=tuple(f"pay_{number}" for number in (3, 1, 2)))
    none = transaction(2, nonce=1, subjects=())
    await add(store, many, none)
    async with store.read() as uow:
        assert await uow.operations.open_transactions(CHAIN_ID) == [many, none]
        assert await uow.operations.transactions_of("pay_1") == [many]
        assert await uow.operations.transactions_of("pay_9") == []
        known = await uow.operations.subjects_by_hash({many.tx_hash, none.tx_hash, b"\x09" * 32})
    assert known == {many.tx_hash: ("pay_3", "pay_1", "pay_2")}


async def test_replacement_follows_what_it_replaced(store: Store) -> None:
    old, other, new = transaction(1), transaction(2, nonce=1), transaction(3)
    await add(store, old, other, new)
    async with store.read() as uow:
        assert await uow.operations.open_transactions(CHAIN_ID) == [old, new, other]
        assert await uow.operations.transactions_of("pay_1") == [old, other, new]


async def test_sending_is_recorded_once_and_survives_the_end(store: Store) -> None:
    sent = transaction(1)
    await add(store, sent)
    for now in (5, 6):
        async with store.write() as uow:
            await uow.operations.mark_sent(sent.id, now=now)
    await end(store, mined(sent, fee_wei=10**30))  # by one who read it before it was sent
    async with store.read() as uow:
        assert await uow.operations.transactions_of("pay_1") == [replace(mined(sent, fee_wei=10**30), sent_at=5)]
        assert await uow.operations.open_transactions(CHAIN_ID) == []
        assert await uow.operations.last_ended_nonce(CHAIN_ID, SENDER) == 0
        assert await uow.operations.last_ended_nonce(CHAIN_ID, b"\x02" * 20) is None


async def test_fees_of_a_day_are_summed_exactly(store: Store) -> None:
    each = [transaction(number, nonce=number, subjects=()) for number in range(4)]
    await add(store, *each)
    dropped = replace(each[3], status=TransactionStatus.DROPPED, ended_at=20)
    await end(store, mined(each[0], fee_wei=7, at=9), mined(each[1], fee_wei=10**30), mined(each[2]), dropped)
    async with store.read() as uow:
        assert await uow.operations.fees_since(CHAIN_ID, 10) == 10**30 + 1
        assert await uow.operations.fees_since(CHAIN_ID, 30) == 0
        assert await uow.operations.fees_since(97, 0) == 0


async def test_subject_that_a_mined_transaction_left_is_named(store: Store) -> None:
    first, second = transaction(1, subjects=("pay_1", "pay_2")), transaction(2, nonce=1, subjects=("pay_3",))
    await add(store, first, second)
    await end(store, mined(first), replace(second, status=TransactionStatus.DROPPED, ended_at=1))
    async with store.read() as uow:
        named = await uow.operations.mined_without_success(["pay_2", "pay_3", "pay_4"])
        assert named == frozenset({"pay_2"})
        assert await uow.operations.mined_without_success([]) == frozenset()


async def test_settlers_take_turns_at_signing(database_url: str) -> None:
    one, two = Store.open(database_url), Store.open(database_url)
    seen: list[int] = []

    async def sign(store: Store, number: int) -> None:
        async with store.write() as uow:
            open_ = await uow.operations.open_transactions(CHAIN_ID, lock=True)
            seen.append(len(open_))
            await asyncio.sleep(0.05)
            await uow.operations.add_transaction(transaction(number, nonce=number))

    await asyncio.gather(*(sign(store, number) for number, store in enumerate((one, two, one, two))))
    assert seen == [0, 1, 2, 3]
    await one.close()
    await two.close()
