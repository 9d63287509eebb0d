"""SIGKILL at every commit boundary: nothing is lost, nothing is counted twice."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from openpay.domain.payment import Payment, Status
from openpay.store import Store
from openpay.store.store import DatabaseBusy
from tests.support.anvil import Anvil
from tests.support.databases import POSTGRESQL_BY_NIGHT
from tests.watcher.scene import Scene, Setting, due, open_scene

T = TypeVar("T")

KILLED = -signal.SIGKILL


class DyingStore(Store):
    """Kills its own process at the first commit: `before` it, with everything written, or right `after` it."""

    moment = ""

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Any]:
        async with super().write() as uow:
            yield uow
            if self.moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Story:
    """A chain and a database, told in several processes one after another."""

    anvil: Anvil
    database_url: str
    setting: Setting | None = None

    def tell(self, part: Callable[[Scene], Awaitable[T]]) -> T:
        """Run `part` in this process."""

        async def with_scene() -> T:
            async with open_scene(self.anvil, self.database_url, self.setting) as scene:
                return await part(scene)

        return asyncio.run(with_scene())

    def watch_dying(self, moment: str) -> int:
        """Watch in a child process that dies at its first commit; its exit status, 0 when there was none to make."""
        child = os.fork()
        if child == 0:
            status = 1
            try:

                async def watch(scene: Scene) -> None:
                    scene.store.__class__ = DyingStore
                    scene.store.moment = moment  # type: ignore[attr-defined]
                    await scene.watch()

                self.tell(watch)
                status = 0
            finally:
                os._exit(status)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def die_at_every_commit(self) -> int:
        """Die before each commit and after each commit until all is read; how many commits there were."""
        commits = 0
        while (exit_status := self.watch_dying("before")) != 0:
            assert exit_status == KILLED
            assert self.watch_dying("after") == KILLED
            commits += 1
        return commits


@POSTGRESQL_BY_NIGHT
def test_watcher_killed_at_every_commit_boundary_loses_and_repeats_nothing(anvil: Anvil, database_url: str) -> None:
    async def begin(scene: Scene) -> tuple[Setting, Payment]:
        await scene.watch()
        payment = await scene.create("USDT")
        scene.pay(payment, "USDT", due(payment, "USDT")[0])
        scene.anvil.mine(2)
        return scene.setting, payment

    setting, payment = Story(anvil, database_url).tell(begin)
    story = Story(anvil, database_url, setting)
    assert story.die_at_every_commit() == 3

    anvil.reorg(3)
    # Three blocks are taken back and three are read.
    assert story.die_at_every_commit() == 6

    async def pay_again(scene: Scene) -> None:
        assert await scene.status(payment) is Status.PENDING
        scene.pay(payment, "USDT", due(payment, "USDT")[0])
        scene.anvil.mine(11)

    story.tell(pay_again)
    assert story.die_at_every_commit() == 12

    async def judge(scene: Scene) -> None:
        assert await scene.status(payment) is Status.PAID
        assert len(await scene.deposits(payment)) == 1
        assert await scene.events(payment) == ["confirming", "pending", "confirming", "completed"]
        assert (await scene.cursor()).number == anvil.block_number()

    story.tell(judge)


async def test_commit_whose_outcome_was_never_heard_is_not_taken_for_another_watcher(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = await scene.create("USDT")
    scene.pay(payment, "USDT", due(payment, "USDT")[0])
    write = scene.store.write

    @asynccontextmanager
    async def losing_the_connection() -> AsyncIterator[Any]:
        async with write() as uow:
            yield uow
        monkeypatch.undo()
        raise DatabaseBusy("the connection was lost while committing")

    monkeypatch.setattr(scene.store, "write", losing_the_connection)
    with pytest.raises(DatabaseBusy):
        await scene.watch()
    await scene.mine(11)
    assert await scene.status(payment) is Status.PAID
    assert len(await scene.deposits(payment)) == 1
