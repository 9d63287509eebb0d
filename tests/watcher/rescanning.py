"""Rescans of a scene: asked for, read in parts by a process that just started, and looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openpay.app.clock import SystemClock
from openpay.app.mending import Rescan
from openpay.app.ports import Database
from openpay.app.rescan import request_rescan, rescan_of
from openpay.app.signals import Signals
from tests.watcher.scene import CHAIN_ID, Scene
from watcher.facts import FactFinder
from watcher.rescan import Rescans
from watcher.watch_set import WatchSet


class Clock:
    """Monotonic seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def rescans(
    scene: Scene, pool: Any = None, clock: Callable[[], float] | None = None, db: Database | None = None
) -> Rescans:
    """As a process that just started: it has not even loaded the addresses that are watched."""
    pool, db = pool or scene.pool, db or scene.store
    finder = FactFinder(scene.chain, pool, db, WatchSet(CHAIN_ID, monotonic=lambda: 0.0))
    return Rescans(
        scene.chain,
        pool,
        db,
        finder,
        signals=Signals(),
        wall=SystemClock(),
        monotonic=clock or Clock(),
    )


async def ask(scene: Scene, first: int, last: int) -> Rescan:
    return await request_rescan(scene.store, CHAIN_ID, first, last, now=1)


async def now(scene: Scene, rescan: Rescan) -> Rescan:
    current = await rescan_of(scene.store, rescan.id)
    assert current is not None
    return current


async def rescanned(scene: Scene, first: int, last: int) -> Rescan:
    rescan = await ask(scene, first, last)
    reader = rescans(scene)
    while await reader.turn():
        pass
    done = await now(scene, rescan)
    assert (done.done_at is not None, done.failure) == (True, None)
    return done
