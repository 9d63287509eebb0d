"""The alarm of a process: takes alerts in from its parts, and keeps them in the database.

A call changes what this process holds to be wrong, in memory; a task of the process brings the database in line with
that, and writes what the operator is to be told in the same transaction. A database that is away is tried again: what
matters is how things stand, so nothing queues up meanwhile.

A chain's alerts are those of the process that watches the chain: another one may reach fewer nodes, and two that see
different things would raise and clear each other's alerts for ever. Its words go to the log.

What a process left open when it died is inherited by the next that watches the chain. It cannot know what its
predecessor saw; but whatever still holds it will see too, and raise again. What it has not raised again after following
the chain for `INHERITED_S` is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from openpay.app.lag import lag_s
from openpay.app.ports import Clock, Database, UnitOfWork
from openpay.app.signals import Signals
from openpay.domain.alerts import Alarm, Alert, AlertKind, Severity, Silent, notice_of
from openpay.domain.chains import Chain
from openpay.domain.ids import derived_id, new_id
from openpay.errors import RetryableError

POLL_S = 5.0
"""How often the views' age is looked at; what is raised or cleared is written at once."""
REFRESH_S = 30
"""An alert that is raised again and again is brought up to date this often."""
INHERITED_S = 600
LAST_WORDS_S = 5.0
"""How long a process that ends may take to write why."""
KEPT_S = 90 * 86_400
"""Alerts that are over are forgotten after this long."""
FORGET_EVERY_S = 3_600

LAGS_AFTER_S = 120
"""A view this old raises an alert,"""
LAGS_BLOCKS = 20
"""or this many block intervals, where a chain is slow;"""
LAGS_SEEN_S = 60
"""and only when it was seen for this long: a process that has just started is about to catch up."""

_log = structlog.get_logger(__name__)


class Key(NamedTuple):
    """What makes two alerts the same."""

    kind: AlertKind
    chain_id: int
    subject: str


@dataclass
class _Standing:
    """Something that is wrong. `written_at`: when the database last heard of it, None: not yet."""

    detail: str
    raised_at: int
    seen_at: int
    written_at: int | None = None
    inherited: bool = False


class Forwarding:
    """An alarm for parts that are made before the one they are to speak to."""

    def __init__(self) -> None:
        self.to: Alarm = Silent()

    def raise_(self, kind: AlertKind, chain_id: int, *, subject: str = "", detail: str) -> None:
        self.to.raise_(kind, chain_id, subject=subject, detail=detail)

    def clear(self, kind: AlertKind, chain_id: int, *, subject: str = "") -> None:
        self.to.clear(kind, chain_id, subject=subject)


class Alarms:
    """`domain.alerts.Alarm` for one process. Use within `kept`, which does the writing."""

    def __init__(
        self,
        db: Database,
        chains: Sequence[Chain],
        *,
        clock: Clock,
        wall: Clock,
        signals: Signals,
        notify: bool,
    ) -> None:
        """`clock` is the time of payments. `notify`: the operator is to be sent what is raised and cleared."""
        self._db = db
        self._chains = {chain.chain_id: chain for chain in chains}
        self._clock = clock
        self._wall = wall
        self._signals = signals
        self._notify = notify
        self._standing: dict[Key, _Standing] = {}
        self._dirty: set[Key] = set()
        self._took_over_at: dict[int, int] = {}
        self._unread: set[int] = set()
        """Chains just taken over, whose open alerts are not known yet."""
        self._lags_since: dict[int, int] = {}
        self._forgot_at: int | None = None
        self._wake = asyncio.Event()

    # --- what the parts call ---------------------------------------------------------------------------------------

    def raise_(self, kind: AlertKind, chain_id: int, *, subject: str = "", detail: str) -> None:
        if chain_id not in self._took_over_at:
            _log.warning(
                "seen by a process that does not watch", kind=kind.value, chain_id=chain_id, subject=subject, why=detail
            )
            return
        self._raise(Key(kind, chain_id, subject), detail)

    def clear(self, kind: AlertKind, chain_id: int, *, subject: str = "") -> None:
        if chain_id in self._took_over_at:
            self._clear(Key(kind, chain_id, subject))

    @contextmanager
    def watching(self, chain_id: int) -> Iterator[None]:
        """While this process watches the chain, and its word about it counts."""
        for key, standing in self._standing.items():
            # From an earlier term of ours: others may have watched since.
            standing.inherited |= key.chain_id == chain_id
        self._took_over_at[chain_id] = self._wall.now()
        self._unread.add(chain_id)
        self._wake.set()
        try:
            yield
        finally:
            # What stands is left to the next who watches; what the database did not hear of yet is still written.
            del self._took_over_at[chain_id]
            self._unread.discard(chain_id)

    def stopped(self, chain_id: int, why: str) -> None:
        """The watcher of a chain ended for good, and will not say so itself."""
        self._raise(Key(AlertKind.WATCHER_STOPPED, chain_id, ""), why)

    def _raise(self, key: Key, detail: str) -> None:
        now = self._wall.now()
        standing = self._standing.get(key)
        if standing is None:
            self._standing[key] = _Standing(detail=detail, raised_at=now, seen_at=now)
            self._mark(key)
            log = _log.critical if key.kind.severity is Severity.CRITICAL else _log.error
            log("alert", kind=key.kind.value, chain_id=key.chain_id, subject=key.subject, detail=detail)
        else:
            standing.detail, standing.seen_at, standing.inherited = detail, now, False

    def _clear(self, key: Key) -> None:
        standing = self._standing.pop(key, None)
        if standing is None and key.chain_id in self._unread:
            self._mark(key)  # an earlier process may have raised it
        elif standing is not None:
            self._mark(key)
            _log.info("alert is over", kind=key.kind.value, chain_id=key.chain_id, subject=key.subject)

    def _mark(self, key: Key) -> None:
        self._dirty.add(key)
        self._wake.set()

    # --- keeping ---------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Keep the alerts until the end of the block, what is raised on the way out included."""
        stop = asyncio.Event()
        keeper = asyncio.create_task(self._keep_until(stop), name="alerts")
        try:
            yield
        finally:
            stop.set()
            self._wake.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(keeper, LAST_WORDS_S)

    async def _keep_until(self, stop: asyncio.Event) -> None:
        while True:
            is_last = stop.is_set()
            self._wake.clear()
            try:
                await self.keep()
            except RetryableError as error:
                _log.warning("alerts cannot be kept, will be tried again", reason=str(error))
            except Exception:  # noqa: BLE001 - whatever it was: later alerts must not be lost for it
                _log.exception("alerts cannot be kept, will be tried again")
            if is_last:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_S)

    async def keep(self) -> None:
        """Bring the database in line with what stands. Raises `RetryableError`; call it again then."""
        await self._look()
        now = self._wall.now()
        dirty, self._dirty = self._dirty, set()
        again = {
            key
            for key, standing in self._standing.items()
            if standing.written_at is not None and standing.seen_at >= standing.written_at + REFRESH_S
        }
        forgets = self._forgot_at is None or now >= self._forgot_at + FORGET_EVERY_S
        if not (dirty or again or forgets):
            return
        try:
            async with self._db.write() as uow:
                told = [await self._write(uow, key, now) for key in sorted(dirty)]
                for key in sorted(again - dirty):  # never anew: somebody else may have ended it a moment ago
                    standing = self._standing[key]
                    await uow.alerts.refresh(*key, detail=standing.detail, seen_at=standing.seen_at)
                if forgets:
                    await uow.alerts.forget_cleared_before(now - KEPT_S)
        except BaseException:
            self._dirty |= dirty
            raise
        self._forgot_at = now if forgets else self._forgot_at
        for key in dirty | again:
            if key in self._standing:
                self._standing[key].written_at = now
        if any(told):
            self._signals.notify("alerts")

    async def _write(self, uow: UnitOfWork, key: Key, now: int) -> bool:
        standing = self._standing.get(key)
        if standing is None:
            return await record_cleared(uow, key, now=now, notify=self._notify)
        return await record_raised(uow, key, standing.detail, at=standing.raised_at, now=now, notify=self._notify)

    async def _look(self) -> None:
        """Read how things stand: what others left or ended, what of that is over, and how old the views are."""
        unread = set(self._unread)
        async with self._db.read() as uow:
            cursors = {chain_id: await uow.chain.cursor(chain_id) for chain_id in self._chains}
            recorded = {Key(alert.kind, alert.chain_id, alert.subject): alert for alert in await uow.alerts.open()}
        self._unread -= unread
        for key, standing in list(self._standing.items()):
            if key not in recorded and key not in self._dirty and standing.written_at is not None:
                del self._standing[key]  # ended elsewhere
        for key, alert in recorded.items():
            if key not in self._standing and key not in self._dirty and self._is_ours(key):
                self._standing[key] = _Standing(
                    detail=alert.detail,
                    raised_at=alert.raised_at,
                    seen_at=alert.seen_at,
                    written_at=self._wall.now(),
                    inherited=True,
                )
        for key in [key for key, standing in self._standing.items() if standing.inherited]:
            cursor, took_over_at = cursors.get(key.chain_id), self._took_over_at.get(key.chain_id)
            if cursor is not None and took_over_at is not None and cursor.read_at >= took_over_at + INHERITED_S:
                self._clear(key)
        for chain_id, cursor in cursors.items():
            if cursor is not None:
                behind_s = lag_s(cursor, self._chains[chain_id], now=self._clock.now(), wall_now=self._wall.now())
                self._judge_view(chain_id, behind_s)

    def _is_ours(self, key: Key) -> bool:
        """Whether this process may end it. The views' age is the same for all."""
        return key.chain_id in (self._chains if key.kind is AlertKind.VIEW_LAGS else self._took_over_at)

    def _judge_view(self, chain_id: int, behind_s: int) -> None:
        chain, now = self._chains[chain_id], self._wall.now()
        key = Key(AlertKind.VIEW_LAGS, chain_id, "")
        limit_s = max(LAGS_AFTER_S, LAGS_BLOCKS * chain.block_interval_s)
        if behind_s > limit_s:
            since = self._lags_since.setdefault(chain_id, now)
            if key in self._standing or now - since >= LAGS_SEEN_S:
                self._raise(
                    key, f"what is recorded of {chain.name} is {behind_s} s old; payments wait until it is read"
                )
        elif behind_s <= limit_s / 2:  # not at the limit itself, where it would come and go
            self._lags_since.pop(chain_id, None)
            self._clear(key)


async def record_raised(uow: UnitOfWork, key: Key, detail: str, *, at: int, now: int, notify: bool) -> bool:
    """Store that an alert stands, since `at`; whether that is news for the operator."""
    alert = Alert(
        id=new_id("alt"),
        kind=key.kind,
        chain_id=key.chain_id,
        subject=key.subject,
        detail=detail,
        raised_at=at,
        seen_at=now,
    )
    return await _tell(uow, await uow.alerts.raise_(alert), now=now, notify=notify)


async def record_cleared(uow: UnitOfWork, key: Key, *, now: int, notify: bool) -> bool:
    """Store that an alert is over; whether that is news for the operator."""
    return await _tell(uow, await uow.alerts.clear(*key, at=now), now=now, notify=notify)


async def tell_untold(uow: UnitOfWork, *, now: int) -> None:
    """Write notices of open alerts that were raised before there was anywhere to send them."""
    for alert in await uow.alerts.untold():
        await _tell(uow, alert, now=now, notify=True)


async def _tell(uow: UnitOfWork, alert: Alert | None, *, now: int, notify: bool) -> bool:
    if alert is None or not notify:
        return False
    # The id follows from the alert, so that two processes write it once.
    event_id = derived_id("evt", f"{alert.id} {'raised' if alert.cleared_at is None else 'cleared'}")
    await uow.alerts.add_notice(notice_of(alert, event_id=event_id, now=now))
    return True
