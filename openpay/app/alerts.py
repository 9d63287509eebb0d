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

import structlog

from openpay.app.lag import lag_s
from openpay.app.ports import Clock, Database, UnitOfWork
from openpay.app.signals import Signals
from openpay.domain.alert_board import Board, Key, key_of
from openpay.domain.alerts import Alarm, Alert, AlertKind, Severity, Silent, notice_of
from openpay.domain.chains import Chain
from openpay.domain.ids import derived_id, new_id
from openpay.errors import RetryableError

POLL_S = 5.0
"""How often it is looked what is over, and how old the views are; what is raised is written at once."""
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
        self._board = Board()
        self._passed_on: set[Key] = set()
        """What this process was told and does not watch for: said once in its log."""
        self._took_over_at: dict[int, int] = {}
        self._unread: set[int] = set()
        """Chains just taken over, whose open alerts are not known yet."""
        self._lags_since: dict[int, int] = {}
        self._forgot_at: int | None = None
        self._wake = asyncio.Event()

    # --- what the parts call ---------------------------------------------------------------------------------------

    def raise_(self, kind: AlertKind, chain_id: int, *, subject: str = "", detail: str) -> None:
        key = Key(kind, chain_id, subject)
        if chain_id in self._took_over_at:
            self._raise(key, detail)
        elif key not in self._passed_on:
            self._passed_on.add(key)
            _log.warning("seen by a process that does not watch", **_names(key), detail=detail)

    def clear(self, kind: AlertKind, chain_id: int, *, subject: str = "") -> None:
        key = Key(kind, chain_id, subject)
        self._passed_on.discard(key)
        if chain_id in self._took_over_at:
            self._board.clear(key, self._wall.now(), may_be_recorded=chain_id in self._unread)

    @contextmanager
    def watching(self, chain_id: int) -> Iterator[None]:
        """While this process watches the chain, and its word about it counts."""
        self._board.disown(chain_id)
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
        if self._board.raise_(key, detail, self._wall.now()):
            log = _log.critical if key.kind.severity is Severity.CRITICAL else _log.error
            log("alert", **_names(key), detail=detail)
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
        for key in self._board.settle(now):
            _log.info("alert is over", **_names(key))
        stale = self._board.stale(now)
        forgets = self._forgot_at is None or now >= self._forgot_at + FORGET_EVERY_S
        changed = self._board.take_changed()
        if not (changed or stale or forgets):
            return
        try:
            async with self._db.write() as uow:
                told = [await self._write(uow, key, now) for key in sorted(changed)]
                for key in sorted(stale - changed):
                    await self._refresh(uow, key)
                if forgets:
                    await uow.alerts.forget_cleared_before(now - KEPT_S)
        except BaseException:
            self._board.put_back(changed)
            raise
        self._board.written(changed | stale, now)
        self._forgot_at = now if forgets else self._forgot_at
        if any(told):
            self._signals.notify("alerts")

    async def _write(self, uow: UnitOfWork, key: Key, now: int) -> bool:
        standing = self._board.standing.get(key)
        if standing is not None:
            return await record_raised(uow, key, standing.detail, at=standing.raised_at, now=now, notify=self._notify)
        return await record_cleared(uow, key, at=self._board.ended.get(key, now), now=now, notify=self._notify)

    async def _refresh(self, uow: UnitOfWork, key: Key) -> None:
        """Never raises it anew: somebody else may have ended it a moment ago."""
        standing = self._board.standing.get(key)
        if standing is not None:
            await uow.alerts.refresh(*key, detail=standing.detail, seen_at=standing.seen_at)

    async def _look(self) -> None:
        """Read how things stand: what others left or ended, what of that is over, and how old the views are."""
        unread = set(self._unread)
        async with self._db.read() as uow:
            cursors = {chain_id: await uow.chain.cursor(chain_id) for chain_id in self._chains}
            recorded = {key_of(alert): alert for alert in await uow.alerts.open()}
        now = self._wall.now()
        self._board.compare(recorded, now, ours=self._is_ours)
        self._unread -= unread
        for key, standing in self._board.standing.items():
            cursor, took_over_at = cursors.get(key.chain_id), self._took_over_at.get(key.chain_id)
            followed = cursor is not None and took_over_at is not None and cursor.read_at >= took_over_at + INHERITED_S
            if standing.inherited and followed:
                self._board.clear(key, now)
        for chain_id, cursor in cursors.items():
            if cursor is not None:
                behind_s = lag_s(cursor, self._chains[chain_id], now=self._clock.now(), wall_now=now)
                self._judge_view(chain_id, behind_s, now)

    def _is_ours(self, key: Key) -> bool:
        """Whether this process may end it. The views' age is the same for all."""
        return key.chain_id in (self._chains if key.kind is AlertKind.VIEW_LAGS else self._took_over_at)

    def _judge_view(self, chain_id: int, behind_s: int, now: int) -> None:
        chain = self._chains[chain_id]
        key = Key(AlertKind.VIEW_LAGS, chain_id, "")
        limit_s = max(LAGS_AFTER_S, LAGS_BLOCKS * chain.block_interval_s)
        if behind_s > limit_s:
            since = self._lags_since.setdefault(chain_id, now)
            if key in self._board.standing or now - since >= LAGS_SEEN_S:
                self._raise(
                    key, f"what is recorded of {chain.name} is {behind_s} s old; payments wait until it is read"
                )
        elif behind_s <= limit_s / 2:  # not at the limit itself, where it would come and go
            self._lags_since.pop(chain_id, None)
            self._board.clear(key, now)


def _names(key: Key) -> dict[str, object]:
    return {"kind": key.kind.value, "chain_id": key.chain_id, "subject": key.subject}


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


async def record_cleared(uow: UnitOfWork, key: Key, *, at: int, now: int, notify: bool) -> bool:
    """Store that an alert is over, since `at`; whether that is news for the operator."""
    return await _tell(uow, await uow.alerts.clear(*key, at=at), now=now, notify=notify)


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
