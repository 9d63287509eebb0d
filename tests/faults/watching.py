"""The watcher under test: wired as the program wires it, and killed at a chosen moment."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from openpay.app.clock import SystemClock
from openpay.app.signals import Signals
from openpay.chain.escrow import EscrowClient
from openpay.chain.pool import connect_to
from openpay.domain.chains import Chain
from openpay.store import Store
from tests.faults.shop import OPERATOR
from watcher.facts import FactFinder
from watcher.follower import Follower
from watcher.watch_set import WatchSet

T = TypeVar("T")


@asynccontextmanager
async def follower_on(urls: Sequence[str], store: Store, chain: Chain, *, timeout_s: float) -> AsyncIterator[Follower]:
    """A follower as a new process makes it: nothing of an earlier one survives but the database."""
    async with connect_to(chain, urls, timeout_s=timeout_s) as pool:
        escrow = EscrowClient(pool, chain, operator=OPERATOR)
        finder = FactFinder(chain, pool, store, WatchSet(chain.chain_id, monotonic=lambda: 0.0))
        yield Follower(chain, pool, store, escrow, finder, signals=Signals(), wall=SystemClock())


class Lifetime:
    """Counts suspensions, and brings `death` at the n-th: with the request or statement then awaited on its way.

    `death` is a signal that ends the process, or cancels the task, which is as close to it as a task can get: what it
    waits for is not heard any more. With `ends_at` None it only counts.
    """

    def __init__(self, ends_at: int | None, death: Callable[[], object]) -> None:
        self.suspensions = 0
        self._ends_at = ends_at
        self._death = death

    def suspend(self) -> None:
        self.suspensions += 1
        if self.suspensions == self._ends_at:
            self._death()

    def of_every_task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        """A task factory: all tasks share this life."""
        return asyncio.Task(Mortal(coroutine, self), loop=loop, **options)


class Mortal(Coroutine[Any, Any, Any]):
    """A coroutine whose suspensions count towards a lifetime."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], life: Lifetime) -> None:
        self._coroutine = coroutine
        self._life = life

    def send(self, value: Any) -> Any:
        return self._suspended(self._coroutine.send(value))

    def throw(self, *error: Any) -> Any:
        return self._suspended(self._coroutine.throw(*error))

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield from self._coroutine.__await__())

    def _suspended(self, waited_for: Any) -> Any:
        self._life.suspend()
        return waited_for


async def run_until(coroutine: Coroutine[Any, Any, T], suspension: int | None) -> T:
    """Run a coroutine in a task that is cancelled at this suspension, and so raises `CancelledError`."""
    life = Lifetime(suspension, lambda: task.cancel())
    task: asyncio.Task[T] = asyncio.create_task(Mortal(coroutine, life))
    return await task


def kill_own_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
