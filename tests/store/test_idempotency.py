"""One request per key: the second waits for the first, and hears what it was answered."""

from __future__ import annotations

import asyncio

import pytest

from openpay.app.ports import UnitOfWork
from openpay.app.records import IdempotentAnswer
from openpay.errors import Conflict
from openpay.store import idempotency
from tests.app.worlds import World
from tests.domain.builders import START

KEY, FINGERPRINT = bytes([1]) * 32, bytes([2]) * 32
ANSWER = IdempotentAnswer(fingerprint=FINGERPRINT, status=201, body=b'{"id":"pay_1"}', created_at=START)


async def claim(uow: UnitOfWork, key: bytes = KEY) -> IdempotentAnswer | None:
    return await uow.idempotency.claim(key, fingerprint=FINGERPRINT, now=START)


async def test_free_key_is_claimed_and_afterwards_answers(world: World) -> None:
    async with world.store.write() as uow:
        assert await claim(uow) is None
        await uow.idempotency.store(KEY, ANSWER)
    async with world.store.write() as uow:
        assert await claim(uow) == ANSWER
        assert await claim(uow, bytes([9]) * 32) is None


async def test_claim_of_a_request_that_failed_is_free_again(world: World) -> None:
    async def fail() -> None:
        async with world.store.write() as uow:
            await claim(uow)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with world.store.write() as uow:
        assert await claim(uow) is None


async def test_answers_are_forgotten_after_their_time(world: World) -> None:
    async with world.store.write() as uow:
        await claim(uow)
        await uow.idempotency.store(KEY, ANSWER)
    async with world.store.write() as uow:
        assert await uow.idempotency.forget_before(START) == 0
        assert await uow.idempotency.forget_before(START + 1) == 1
        assert await claim(uow) is None


async def test_second_request_waits_for_the_first_and_gets_its_answer(world: World) -> None:
    claimed, resume = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with world.store.write() as uow:
            assert await claim(uow) is None
            claimed.set()
            await resume.wait()
            await uow.idempotency.store(KEY, ANSWER)

    async def second() -> IdempotentAnswer | None:
        async with world.store.write() as uow:
            return await claim(uow)

    one = asyncio.create_task(first())
    await asyncio.wait({one, asyncio.create_task(claimed.wait())}, return_when=asyncio.FIRST_COMPLETED)
    two = asyncio.create_task(second())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not two.done()
    resume.set()
    await one
    assert await two == ANSWER


async def test_of_many_requests_at_once_one_does_the_work(world: World) -> None:
    worked = 0

    async def request() -> IdempotentAnswer:
        nonlocal worked
        async with world.store.write() as uow:
            earlier = await claim(uow)
            if earlier is not None:
                return earlier
            worked += 1
            await uow.idempotency.store(KEY, ANSWER)
            return ANSWER

    assert await asyncio.gather(*(request() for _ in range(8))) == [ANSWER] * 8
    assert worked == 1


async def test_request_that_waits_too_long_is_told_that_the_first_is_in_progress(
    postgres_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "LOCK_WAIT_S", 0.05)
    world = postgres_world
    async with world.store.write() as slow:
        assert await claim(slow) is None

        async def impatient() -> None:
            async with world.store.write() as uow:
                await claim(uow)

        with pytest.raises(Conflict) as refused:
            await impatient()
        assert refused.value.code == "idempotency_in_progress"
        # The first is not disturbed.
        await slow.idempotency.store(KEY, ANSWER)
    async with world.store.write() as uow:
        assert await claim(uow) == ANSWER
