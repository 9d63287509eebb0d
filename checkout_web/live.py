"""Tells open pages that their payment changed: one read of the database for all viewers of this process.

Every page holds the newest content it was sent. The hub wakes it when there is newer content, never more often, and
content skipped in between is not missed: only the newest matters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

import structlog

from checkout_web.deps import Deps
from checkout_web.reader import Loaded, load, present_now
from checkout_web.view import Checkout
from openpay.app.records import Cursor
from openpay.errors import RateLimited

_log = structlog.get_logger(__name__)


@dataclass
class _Watched:
    """A payment somebody is looking at."""

    loaded: Loaded
    checkout: Checkout
    viewers: set[asyncio.Event] = field(default_factory=set)


class Viewer:
    """One open page's end of the hub."""

    def __init__(self, watched: _Watched, changed: asyncio.Event) -> None:
        self._watched = watched
        self._changed = changed

    @property
    def checkout(self) -> Checkout:
        """The newest content."""
        return self._watched.checkout

    @property
    def has_news(self) -> bool:
        """Whether content changed since the last `wait`."""
        return self._changed.is_set()

    async def wait(self, timeout_s: float) -> None:
        """Until there is newer content, at most `timeout_s`."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        self._changed.clear()


class LiveHub:
    """Watches the payments that have viewers. `run` must be running for `watch` to be of use."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._watched: dict[str, _Watched] = {}
        self._occupied = asyncio.Event()
        self._viewer_count = 0
        self.closed = False

    @contextmanager
    def watch(self, loaded: Loaded) -> Iterator[Viewer]:
        """Join the viewers of a payment just loaded. Raises `RateLimited` when the process holds too many."""
        if self._viewer_count >= self._deps.max_viewers:
            raise RateLimited("Too many open pages here; ask again for the state instead.", retry_after_s=10)
        payment_id = loaded.view.payment.id
        watched = self._watched.get(payment_id)
        if watched is None:
            watched = self._watched[payment_id] = _Watched(loaded=loaded, checkout=present_now(self._deps, loaded))
        changed = asyncio.Event()
        watched.viewers.add(changed)
        self._viewer_count += 1
        self._occupied.set()
        try:
            yield Viewer(watched, changed)
        finally:
            self._viewer_count -= 1
            watched.viewers.discard(changed)
            if not watched.viewers:
                self._watched.pop(payment_id, None)
            if not self._watched:
                self._occupied.clear()

    async def run(self) -> None:
        """Look for changes once per tick, and at once when told of one, for as long as anybody is looking."""
        hint = self._next_hint()
        try:
            while True:
                await self._occupied.wait()
                await hint
                # Listening again before reading: a change during the read is not slept through.
                hint = self._next_hint()
                await self._refresh_or_log()
        finally:
            hint.cancel()

    def _next_hint(self) -> asyncio.Task[bool]:
        return asyncio.create_task(self._deps.signals.wait("payments", timeout_s=self._deps.tick_s))

    async def _refresh_or_log(self) -> None:
        try:
            await self.refresh()
        except Exception:  # noqa: BLE001  # whatever it was: pages keep what they show, and the next tick tries again
            _log.exception("open checkout pages could not be refreshed")

    async def refresh(self) -> None:
        """Read what changed and wake its viewers: one transaction, whatever the number of viewers."""
        if not self._watched:
            return
        watching = dict(self._watched)
        chain_ids = {watched.loaded.view.payment.chain_id for watched in watching.values()}
        async with self._deps.db.read() as uow:
            cursors = {chain_id: await uow.chain.cursor(chain_id) for chain_id in chain_ids}
            versions = await uow.payments.versions(watching.keys())
            changed = {
                payment_id: await load(self._deps, uow, payment_id)
                for payment_id, watched in watching.items()
                if versions.get(payment_id) != watched.loaded.view.payment.version
            }
        for payment_id, watched in watching.items():
            self._show(watched, changed.get(payment_id), cursors[watched.loaded.view.payment.chain_id])

    def _show(self, watched: _Watched, newer: Loaded | None, cursor: Cursor | None) -> None:
        loaded = newer or watched.loaded
        watched.loaded = replace(loaded, view=replace(loaded.view, cursor=cursor))
        checkout = present_now(self._deps, watched.loaded)
        if checkout != watched.checkout:
            watched.checkout = checkout
            self._wake(watched)

    def close(self) -> None:
        """Let every stream end, so that the process can stop; pages connect again elsewhere."""
        self.closed = True
        for watched in self._watched.values():
            self._wake(watched)

    @staticmethod
    def _wake(watched: _Watched) -> None:
        for viewer in watched.viewers:
            viewer.set()
