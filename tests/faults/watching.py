"""The watcher under test: wired as the program wires it, and killed at a chosen moment."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from openpay.app.clock import SystemClock
from openpay.app.signals import Signals
from openpay.chain.escrow import EscrowClient
from openpay.chain.pool import connect
from openpay.domain.chains import Chain
from openpay.store import Store
from tests.faults.shop import OPERATOR
from watcher.facts import FactFinder
from watcher.follower import Follower
from watcher.watch_set import WatchSet


@asynccontextmanager
async def follower_on(urls: Sequence[str], store: Store, chain: Chain, *, timeout_s: float) -> AsyncIterator[Follower]:
    """A follower as a new process makes it: nothing of an earlier one survives but the database."""
    async with connect(
        urls,
        chain_id=chain.chain_id,
        has_finalized_tag=chain.has_finalized_tag,
        stalled_finality_confirmations=chain.stalled_finality_confirmations,
        timeout_s=timeout_s,
    ) as pool:
        escrow = EscrowClient(pool, chain, operator=OPERATOR)
        finder = FactFinder(chain, pool, store, WatchSet(chain.chain_id, monotonic=lambda: 0.0))
        yield Follower(chain, pool, store, escrow, finder, signals=Signals(), wall=SystemClock())


class Killed(BaseException):
    """Stands for the death of the process: nothing catches it."""


class Lifetime:
    """Counts suspensions, and brings `death` at the n-th: with the request or statement then awaited on its way.

    `death` either does not return (a signal) or raises `Killed`. With `ends_at` None it only counts.
    """

    def __init__(self, ends_at: int | None, death: Callable[[], None]) -> None:
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
        try:
            self._life.suspend()
        except Killed as killed:
            return self.throw(killed)
        return waited_for


def throw() -> None:
    raise Killed


def kill_own_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
