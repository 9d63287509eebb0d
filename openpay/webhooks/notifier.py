"""Tells the operator of alerts: takes due notices, posts each, and does not give up.

Like merchants' webhooks, a notice is claimed and committed before it is sent, and recorded afterwards: at least once,
under the same `webhook-id`, whichever process dies when. Every process delivers, whatever its role: an alert gets out
as long as one of them lives.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Self

import structlog

from openpay.app.alerts import tell_untold
from openpay.app.ports import Database
from openpay.app.signals import Signals
from openpay.domain.alerts import Notice
from openpay.domain.retry import next_notice_at
from openpay.errors import RetryableError
from openpay.webhooks.dispatcher import LEASE_S
from openpay.webhooks.sender import Sender
from openpay.webhooks.signing import identified_headers

POLL_S = 2.0
BATCH = 20
LAST_WORDS_S = 5.0
"""How long a process that ends may take to say why. What is not taken by then, its successor delivers."""

_log = structlog.get_logger(__name__)


class Notifier:
    """Posts notices to one URL: the operator's own, so any address may be behind it, private ones included."""

    def __init__(
        self,
        db: Database,
        *,
        url: str,
        secret: str | None,
        signals: Signals,
        wall_now: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
        poll_s: float = POLL_S,
    ) -> None:
        """`secret` (`whsec_` and base64) signs what is sent; None: nothing is signed. `jitter` gives [0, 1)."""
        self._db = db
        self._url = url
        self._secret = secret
        self._signals = signals
        self._wall_now = wall_now
        self._jitter = jitter
        self._poll_s = poll_s
        self._sender = Sender(anywhere=True, wall_now=wall_now)
        self._told_untold = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver until the end of the block, and then what is due by then."""
        stop = asyncio.Event()
        async with self.connected():
            delivering = asyncio.create_task(self._deliver_until(stop), name="alert notices")
            try:
                yield
            finally:
                stop.set()
                self._signals.notify("alerts")
                with suppress(TimeoutError):
                    await asyncio.wait_for(delivering, LAST_WORDS_S)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Self]:
        """While `deliver_due` may be called."""
        async with self._sender:
            yield self

    async def _deliver_until(self, stop: asyncio.Event) -> None:
        is_last = False
        while not is_last:
            is_last = stop.is_set()
            # Listening before looking: what is written meanwhile is not slept through.
            hint = asyncio.create_task(self._signals.wait("alerts", timeout_s=0 if is_last else self._poll_s))
            try:
                await self._deliver_or_log()
                await hint
            finally:
                hint.cancel()

    async def _deliver_or_log(self) -> None:
        try:
            while await self.deliver_due():
                pass
        except RetryableError as error:
            _log.warning("alerts cannot be delivered, will be tried again", reason=str(error))
        except Exception:  # noqa: BLE001 - whatever it was: later alerts must get out
            _log.exception("alerts cannot be delivered, will be tried again")

    async def deliver_due(self) -> bool:
        """Send what is due; whether anything was taken, so that what comes after it may be due now."""
        now = int(self._wall_now())
        if not self._told_untold:
            async with self._db.write() as uow:
                await tell_untold(uow, now=now)
            self._told_untold = True
        async with self._db.read() as uow:
            due_at = await uow.alerts.next_notice_at()
        if due_at is None or due_at > now:
            return False
        async with self._db.write() as uow:
            claimed = await uow.alerts.claim_notices(now=now, lease_s=LEASE_S, limit=BATCH)
        return any(await asyncio.gather(*(self._deliver(notice) for notice in claimed)))

    async def _deliver(self, notice: Notice) -> bool:
        now = int(self._wall_now())
        headers = identified_headers(notice.body, event_id=notice.id, timestamp=now, secret=self._secret)
        reply = await self._sender.send(self._url, notice.body, headers)
        tried = replace(notice, attempts=notice.attempts + 1)
        again_at = None
        if not reply.succeeded:
            again_at = next_notice_at(
                attempts=tried.attempts,
                now=int(self._wall_now()),
                jitter=self._jitter(),
                retry_after_s=reply.retry_after_s,
            )
        async with self._db.write() as uow:
            await uow.alerts.record_notice(tried, next_attempt_at=again_at)
        if reply.succeeded:
            _log.info("alert delivered", notice_type=notice.type.value, alert=notice.alert_id)
        else:
            _log.error(
                "alert not delivered, will be tried again",
                notice_type=notice.type.value,
                alert=notice.alert_id,
                attempt=tried.attempts,
                status=reply.status,
                error=reply.error,
                again_at=again_at,
            )
        return reply.succeeded
