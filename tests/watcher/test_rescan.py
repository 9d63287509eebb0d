"""Rescans on a real chain, while the watcher follows it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import delete

from openpay.chain.errors import NoEndpointAnswered
from openpay.chain.words import Agreement, HostWord
from openpay.domain.deposit import Source
from openpay.domain.payment import Payment, Status
from openpay.store.tables import deposits, escrow_logs
from tests.app.worlds import Interrupted, failing
from tests.settlement.till import Till
from tests.watcher.code import forward
from tests.watcher.rescanning import Clock, ask, now, rescanned, rescans
from tests.watcher.rewinding import differences
from tests.watcher.scene import Scene, due


async def forget(scene: Scene, payment: Payment) -> None:
    """The watcher never saw the payment's money."""
    async with scene.store.write() as uow:
        await uow.connection.execute(delete(deposits).where(deposits.c.payment_id == payment.id))


async def test_missed_deposit_is_found_whoever_is_still_watched(either_scene: Scene) -> None:
    scene = either_scene
    payment = await scene.create("USDT")
    first = scene.anvil.block_number()
    scene.pay(payment, "USDT", due(payment, "USDT")[0])
    await scene.mine(12)
    await forget(scene, payment)
    done = await rescanned(scene, 0, first + 1)
    assert done.found_deposits == 1
    (deposit,) = await scene.deposits(payment)
    assert deposit.block_number == first + 1
    assert await scene.status(payment) is Status.PAID
    again = await rescanned(scene, 0, first + 1)
    assert again.found_deposits == 0
    assert await differences(scene) == []


async def test_every_source_of_money_is_counted_once(scene: Scene) -> None:
    till = Till(scene)
    settled = await till.settled("USDT")
    plain = await till.paid("BNB")
    inner = await scene.create("BNB")
    forward(scene, inner, due(inner, "BNB")[0])
    await scene.mine(14)
    before = {payment.id: await scene.deposits(payment) for payment in (settled, plain, inner)}
    done = await rescanned(scene, 0, (await scene.cursor()).final_number or 0)
    assert (done.found_deposits, done.found_logs) == (0, 0)
    assert {payment.id: await scene.deposits(payment) for payment in (settled, plain, inner)} == before
    assert await differences(scene) == []


async def test_transfer_that_passed_for_money_from_a_contract_is_counted_once(scene: Scene) -> None:
    """A direct transfer of BNB is missed, its money seen in the balance, and then a rescan finds it."""
    payment = await scene.create("BNB")
    scene.pay(payment, "BNB", due(payment, "BNB")[0])
    await scene.watch()
    await forget(scene, payment)
    await scene.mine(14)
    assert [each.source for each in await scene.deposits(payment)] == [Source.INTERNAL]
    done = await rescanned(scene, 0, (await scene.cursor()).final_number or 0)
    assert done.found_deposits == 1
    (deposit,) = await scene.deposits(payment)
    assert (deposit.source, deposit.units) == (Source.TRANSACTION, due(payment, "BNB")[0])
    await scene.mine(2)
    assert len(await scene.deposits(payment)) == 1
    assert await scene.status(payment) is Status.PAID
    assert "reversed" not in await scene.events(payment)
    assert await differences(scene) == []


async def test_missed_log_of_the_escrow_is_found(scene: Scene) -> None:
    settled = await Till(scene).settled("USDT")
    async with scene.store.write() as uow:
        await uow.connection.execute(delete(escrow_logs))
    assert await differences(scene) != []
    done = await rescanned(scene, 0, (await scene.cursor()).final_number or 0)
    assert done.found_logs >= 1
    assert await differences(scene) == []
    assert "reversed" not in await scene.events(settled)


async def test_following_goes_on_between_the_parts(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.rescan.MOST_BLOCKS", 3)
    payment = await scene.create("USDT")
    await scene.mine(20)
    rescan = await ask(scene, 0, 15)
    reader = rescans(scene)
    scene.pay(payment, "USDT", due(payment, "USDT")[0])
    while await reader.turn():
        scene.anvil.mine(3)
        await scene.watch()
    done = await now(scene, rescan)
    assert (done.next, done.done_at is not None, done.found_deposits) == (16, True, 0)
    assert await scene.status(payment) is Status.PAID
    assert len(await scene.deposits(payment)) == 1


async def test_process_that_dies_is_followed_by_one_that_goes_on(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.rescan.MOST_BLOCKS", 4)
    await scene.mine(20)
    rescan = await ask(scene, 2, 12)
    await rescans(scene).turn()
    assert (await now(scene, rescan)).next == 6
    await rescans(scene).turn()
    assert (await now(scene, rescan)).next == 10
    await rescans(scene).turn()
    assert (await now(scene, rescan)).done_at is not None


async def test_process_killed_at_any_moment_counts_nothing_twice(scene: Scene) -> None:
    payment = await scene.create("BNB")
    scene.pay(payment, "BNB", due(payment, "BNB")[0])
    await scene.watch()
    await forget(scene, payment)
    await scene.mine(14)  # its money passes for some from a contract
    rescan = await ask(scene, 0, (await scene.cursor()).final_number or 0)
    for moment in range(1, 200):
        try:
            await rescans(scene, db=failing(scene.store, at=moment)).turn()
        except Interrupted:
            assert await scene.received(payment, "BNB") == due(payment, "BNB")[0]
        else:
            break
    assert (await now(scene, rescan)).done_at is not None
    (deposit,) = await scene.deposits(payment)
    assert deposit.source is Source.TRANSACTION


async def test_slow_nodes_do_not_hold_following_up(scene: Scene) -> None:
    await scene.mine(20)
    rescan = await ask(scene, 2, 12)

    class Slow(Clock):
        def __call__(self) -> float:
            self.now += 0.3
            return self.now

    await rescans(scene, clock=Slow()).turn()
    assert 2 < (await now(scene, rescan)).next < 12


class Doubting:
    """A pool whose hosts do not agree, until told."""

    def __init__(self, pool: Any, word: HostWord) -> None:
        self._pool = pool
        self.word: HostWord | None = word

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    async def second_host(self, number: int, block_hash: bytes) -> Agreement:
        if self.word is None:
            agreement: Agreement = await self._pool.second_host(number, block_hash)
            return agreement
        return Agreement(words={"a": HostWord.AGREES, "b": self.word})


@pytest.mark.parametrize("word", [HostWord.DISAGREES, HostWord.SILENT, HostWord.NOT_YET])
async def test_one_hosts_word_adds_nothing(scene: Scene, word: HostWord) -> None:
    payment = await scene.create("USDT")
    scene.pay(payment, "USDT", due(payment, "USDT")[0])
    await scene.mine(12)
    await forget(scene, payment)
    rescan = await ask(scene, 0, (await scene.cursor()).final_number or 0)
    clock, pool = Clock(), Doubting(scene.pool, word)
    reader = rescans(scene, pool, clock)
    assert not await reader.turn()
    assert (await now(scene, rescan)).next == 0
    assert await scene.deposits(payment) == []
    pool.word = None
    assert not await reader.turn(), "it rests first"
    clock.now += 60
    assert await reader.turn()
    assert len(await scene.deposits(payment)) == 1


async def test_nodes_that_are_away_are_waited_for(scene: Scene) -> None:
    await scene.mine(14)
    rescan = await ask(scene, 0, 3)

    class Away(Doubting):
        async def second_host(self, number: int, block_hash: bytes) -> Agreement:
            raise NoEndpointAnswered({})

    assert not await rescans(scene, Away(scene.pool, HostWord.SILENT)).turn()
    waiting = await now(scene, rescan)
    assert waiting.done_at is None
    assert waiting.failure is not None
    assert await rescans(scene).turn()
    assert (await now(scene, rescan)).failure is None


async def test_chain_that_changed_below_ends_the_rescan(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.rescan.MOST_BLOCKS", 10)
    await scene.mine(40)
    rescan = await ask(scene, 5, 25)
    reader = rescans(scene)
    await reader.turn()
    scene.anvil.reorg(scene.anvil.block_number() - 10)
    await reader.turn()
    ended = await now(scene, rescan)
    assert ended.done_at is not None
    assert ended.failure is not None
    assert "block 14 is no longer the one" in ended.failure


async def test_nothing_is_asked_of_nodes_while_nothing_is_wanted(scene: Scene) -> None:
    class Untouched:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"a node was asked: {name}")

    assert not await rescans(scene, Untouched()).turn()
